"""Reads cameras and streams, whose pictures arrive in real time.

  for seconds, frame, *_ in live.read_frames("rtsp://camera.local/stream"):
    ...

Only the newest picture waits: while the caller is busy, the pictures of a live source
are skipped, so that the caller never falls behind. Of a file behind a URL, no picture
is skipped.
"""

import contextlib
import functools
import re
import signal
import threading
import time
import types
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import av
import cv2
import numpy as np
from absl import logging
from av.error import FFmpegError
from jaxtyping import UInt8

from mhmr_jax.errors import InputError
from mhmr_jax.files import shown_frames, video

_SCHEMES = ("http", "https", "rtmp", "rtsp", "rtsps", "srt", "tcp", "udp")
# Not `file`: a playlist could name one of this machine.
_PROTOCOLS = "crypto,http,httpproxy,https,rtmp,rtp,rtsp,rtsps,srt,tcp,tls,udp"
_FORMATS = f"{video.FORMATS},hls,mpjpeg,rtsp"
_OPTIONS = {
  "protocol_whitelist": _PROTOCOLS,
  "format_whitelist": _FORMATS,
  "rtsp_transport": "tcp",  # UDP loses packets, which damages pictures.
}
_WAIT_SECONDS = 10.0  # For a source to open, and for the next of its pictures.
_POLL_SECONDS = 0.1
_ENDS = (signal.SIGINT, signal.SIGTERM)
_LONGEST_STEP = 5.0  # s; a stream's clock that goes further was set anew.


class Timed(NamedTuple):
  """A picture of a source."""

  seconds: float  # The time since the source's first picture.
  frame: UInt8[np.ndarray, "height width 3"]  # RGB.
  number: int  # Counts the source's pictures from 0, those that were skipped, too.
  arrived: float  # When it arrived by `time.monotonic`, s.


class _Waiting(NamedTuple):
  """A picture that is converted to RGB only if it is taken."""

  seconds: float
  convert: Callable[[], UInt8[np.ndarray, "height width 3"]]
  number: int
  arrived: float


def is_live(source: str) -> bool:
  """Whether a name is a camera's, such as `0`, or a URL, and not a path."""
  return source.isdecimal() or urllib.parse.urlsplit(source).scheme in _SCHEMES


def read_frames(source: str) -> Iterator[Timed]:
  """Yields pictures until the source ends, or until the first Ctrl-C or SIGTERM.

  Such a signal counts as the end of the source, after which the caller can write what
  it has. A second signal ends the program as usual.

  Args:
    source: the number of a camera, or a URL.

  Raises:
    InputError: the source cannot be opened, or it has no pictures.
  """
  reader = _Reader(source)
  with contextlib.closing(reader), _interrupts() as interrupted:
    while not interrupted.is_set():
      newest = reader.take()
      if newest is not None:
        yield Timed(newest.seconds, newest.convert(), newest.number, newest.arrived)
      elif reader.ended:
        return


class _Reader:
  """Reads a source in a thread of its own, up to one picture ahead."""

  def __init__(self, source: str):
    self._source = source
    self._changed = threading.Condition()
    self._waiting: _Waiting | None = None
    self._ended = self._closed = False
    self._error: InputError | None = None
    self._thread = threading.Thread(target=self._run, daemon=True)
    self._thread.start()

  @property
  def ended(self) -> bool:
    """Whether nothing more will come."""
    with self._changed:
      return self._ended and self._waiting is None

  def take(self) -> _Waiting | None:
    """The waiting picture; None if none comes soon. Raises the source's error."""
    with self._changed:
      self._changed.wait_for(self._has_news, _POLL_SECONDS)
      taken, self._waiting = self._waiting, None
      self._changed.notify_all()
      if taken is None and self._error is not None:
        raise self._error
      return taken

  def close(self) -> None:
    """Ends the thread, if it is not waiting for a source that says nothing."""
    with self._changed:
      self._closed = True
      self._changed.notify_all()
    self._thread.join(10 * _POLL_SECONDS)

  def _has_news(self) -> bool:
    return self._waiting is not None or self._ended

  def _run(self) -> None:
    try:
      if self._source.isdecimal():
        self._offer(_camera(int(self._source)), passing=True)
      else:
        with _opened(self._source) as container:
          self._offer(_stream(container, self._source), container.duration is None)
    except InputError as error:
      self._error = error
    finally:
      with self._changed:
        self._ended = True
        self._changed.notify_all()

  def _offer(self, pictures: Iterable[_Waiting], passing: bool) -> None:
    """Offers each picture; skips the one before if it still waits, or waits for it."""
    for picture in pictures:
      with self._changed:
        if not passing:
          self._changed.wait_for(lambda: self._waiting is None or self._closed)
        if self._closed:
          return
        self._waiting = picture
        self._changed.notify_all()


class _Clock:
  """Counts seconds by a source's own times where they go on, else by arrival."""

  def __init__(self) -> None:
    self._seconds = 0.0
    self._count = 0
    self._before: tuple[float, float | None] | None = None

  def timed(
    self,
    convert: Callable[[], UInt8[np.ndarray, "height width 3"]],
    stamp: float | None,
    now: float,
  ) -> _Waiting:
    """The next picture, which the source stamped, and which came now."""
    if self._before is not None:
      arrived, earlier = self._before
      step = 0.0 if stamp is None or earlier is None else stamp - earlier
      self._seconds += step if 0 < step < _LONGEST_STEP else now - arrived
    self._before = now, stamp
    self._count += 1
    return _Waiting(self._seconds, convert, self._count - 1, now)


def _camera(number: int) -> Iterator[_Waiting]:
  level = cv2.utils.logging.getLogLevel()
  cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
  capture = cv2.VideoCapture(number)
  cv2.utils.logging.setLogLevel(level)
  clock = _Clock()
  try:
    ok, picture = capture.read()
    if not ok:
      raise InputError(
        f"Camera {number} gives no pictures: is it connected, and in use by no other "
        "program?"
      )
    video.check_size(picture.shape[1], picture.shape[0], f"Camera {number}")
    while ok:
      now = time.monotonic()
      to_rgb = functools.partial(cv2.cvtColor, picture, cv2.COLOR_BGR2RGB)
      yield clock.timed(to_rgb, None, now)
      ok, picture = capture.read()
  finally:
    capture.release()


@contextlib.contextmanager
def _opened(url: str) -> Iterator[av.container.InputContainer]:
  try:
    container = av.open(
      url,
      metadata_errors="replace",
      container_options=_OPTIONS,
      timeout=(_WAIT_SECONDS, _WAIT_SECONDS),
    )
  except (FFmpegError, ValueError) as error:
    reason = getattr(error, "strerror", None) or "its data are none of a video"
    raise InputError(
      f"{_without_password(url)} cannot be opened ({reason}): check the address, and "
      "whether it plays elsewhere."
    ) from error
  with container:
    yield container


def _stream(container: av.container.InputContainer, url: str) -> Iterator[_Waiting]:
  name = _without_password(url)
  stream = next(iter(container.streams.video), None)
  if stream is None or stream.codec_context is None:
    raise InputError(f"{name} has no pictures: name a stream of video.")
  if stream.width and stream.height:
    video.check_size(stream.width, stream.height, name)
  stream.codec_context.options = {"max_pixels": str(video.MAX_PIXELS)}
  aspect = float(stream.sample_aspect_ratio or 0)
  clock = _Clock()
  shown = None
  for packet in video.packets(stream):
    now = time.monotonic()
    try:
      frames = packet.decode()
    except (FFmpegError, ValueError):
      continue
    for frame in frames:
      if shown is None:
        shown = shown_frames.layout(frame, aspect)
        video.check_size(*shown.size, name)
      to_rgb = functools.partial(shown_frames.picture, frame, shown)
      yield clock.timed(to_rgb, frame.time, now)
  if shown is None:
    raise InputError(f"{name} ended before its first picture.")
  if container.duration is None:
    logging.info("%s has ended.", name)


def _without_password(url: str) -> str:
  return re.sub(r"//[^/@]*@", "//", url)


@contextlib.contextmanager
def _interrupts() -> Iterator[threading.Event]:
  """Yields an event that the first Ctrl-C or SIGTERM sets in place of what it does."""
  interrupted = threading.Event()
  if threading.current_thread() is not threading.main_thread():
    yield interrupted
    return

  def restore() -> None:
    for number, handler in before.items():
      signal.signal(number, handler)

  def note(number: int, frame: types.FrameType | None) -> None:
    del number, frame
    interrupted.set()
    restore()

  before = {number: signal.signal(number, note) for number in _ENDS}
  try:
    yield interrupted
  finally:
    restore()
