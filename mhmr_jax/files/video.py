"""Reads videos frame by frame, in memory that does not grow with their length."""

import contextlib
import math
import os
import pathlib
from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple

import cv2
import numpy as np
from absl import logging
from jaxtyping import Float, UInt8

from mhmr_jax.errors import InputError

# FFmpeg prints to stderr, past Python, what is also reported as a sentence. OpenCV
# reads this when it first opens a video.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

_FALLBACK_FPS = 30.0


class VideoInfo(NamedTuple):
  """Of the frames as they are shown: turned as the file says (portrait phones)."""

  width: int
  height: int
  fps: float
  num_frames: int


@contextlib.contextmanager
def quiet() -> Iterator[None]:
  """Keeps OpenCV from printing errors that its caller reports."""
  level = cv2.utils.logging.getLogLevel()
  cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
  try:
    yield
  finally:
    cv2.utils.logging.setLogLevel(level)


def probe(path: str | os.PathLike[str]) -> VideoInfo:
  """Size, frame rate and true length; decodes the whole video once.

  The length that a file claims is an estimate in many files, and wrong in some.

  Raises:
    InputError: the file is missing, or is no video that OpenCV can decode.
  """
  with _opened(path) as capture:
    ok, first = capture.read()
    if not ok:
      raise _unreadable(path)
    fps = capture.get(cv2.CAP_PROP_FPS)
    num_frames = 1
    while capture.grab():
      num_frames += 1
  if not (math.isfinite(fps) and 0 < fps <= 1000):
    logging.warning("%s gives no frame rate: %g is assumed.", path, _FALLBACK_FPS)
    fps = _FALLBACK_FPS
  height, width = first.shape[:2]
  return VideoInfo(width, height, float(fps), num_frames)


def read_frames(
  path: str | os.PathLike[str],
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
  """Yields the RGB frames in order; raises as `probe` does."""
  with _opened(path) as capture:
    while True:
      ok, frame = capture.read()
      if not ok:
        return
      yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def frame_times(path: str | os.PathLike[str]) -> Float[np.ndarray, "frames"]:
  """Seconds from the first frame to each; raises as `probe` does.

  Where the file's own times do not rise, those of an even frame rate.
  """
  times = []
  with _opened(path) as capture:
    while capture.grab():
      times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
  if not times:
    raise _unreadable(path)
  rising = np.array(times) - times[0]
  if not (np.diff(rising) > 0).all():
    rising = np.arange(len(times)) / probe(path).fps
  return rising


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[cv2.VideoCapture]:
  if not pathlib.Path(path).is_file():
    raise InputError(f"There is no video {path}: check --video.")
  with quiet():
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    # The default of most builds of OpenCV, not of all.
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    try:
      if not capture.isOpened():
        raise _unreadable(path)
      yield capture
    finally:
      capture.release()


def _unreadable(path: str | os.PathLike[str]) -> InputError:
  return InputError(
    f"{path} is not a video that OpenCV can read: convert it to H.264 in an .mp4 file."
  )


class VideoWriter:
  """Writes RGB frames to an .mp4 file that appears when it is whole.

  H.264 where this build of OpenCV has an encoder (its wheels have none), else MPEG-4
  part 2. An odd last row or column is lost: the codecs have none.

    with VideoWriter(path, fps) as writer:
      writer.write(frame)
  """

  def __init__(self, path: str | os.PathLike[str], fps: float):
    self._path = pathlib.Path(path)
    self._partial = self._path.with_name(f".{self._path.stem}.partial.mp4")
    self._fps = fps
    self._writer: cv2.VideoWriter | None = None
    self._shape: tuple[int, ...] = ()
    self._frames = 0

  def __enter__(self) -> "VideoWriter":
    return self

  def write(self, frame: UInt8[np.ndarray, "height width 3"]) -> None:
    """Appends a frame; all have the first one's size."""
    if self._writer is None:
      self._shape = frame.shape
      self._writer = self._open()
    if frame.shape != self._shape:
      raise ValueError(f"the frame is {frame.shape}, the video's are {self._shape}")
    self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    self._frames += 1

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    if self._writer is not None:
      self._writer.release()
    try:
      if kind is None:
        self._check()
        self._partial.replace(self._path)
    finally:
      self._partial.unlink(missing_ok=True)

  def _open(self) -> cv2.VideoWriter:
    size = (self._shape[1], self._shape[0])
    with quiet():
      for codec in ("avc1", "mp4v"):
        fourcc = cv2.VideoWriter.fourcc(*codec)
        writer = cv2.VideoWriter(str(self._partial), fourcc, self._fps, size)
        if writer.isOpened():
          return writer
    raise self._failure("no encoder of this OpenCV accepts it")

  def _check(self) -> None:
    """OpenCV reports no error of the writes, of a full disk least of all."""
    if not self._frames:
      raise self._failure("it has no frames")
    try:
      written = probe(self._partial).num_frames
    except InputError:
      written = 0
    if written != self._frames:
      raise self._failure(f"{written} of {self._frames} frames could be read back")

  def _failure(self, reason: str) -> InputError:
    return InputError(
      f"The video {self._path} could not be written ({reason}): is the folder "
      "writable, and is there room?"
    )
