"""Writes H.264 videos that appear when they are whole."""

import contextlib
import fractions
import os
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import av
import numpy as np
from av.error import FFmpegError
from jaxtyping import Float, UInt8

from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic, sound, video, yuv
from mhmr_jax.files.yuv import Yuv

# For frames that are not even; finer than any frame rate.
_TIME_BASE = fractions.Fraction(1, 90_000)
# Better compression takes longer than all else that is done to a frame.
_SPEED = {"preset": "ultrafast"}
# This preset leaves it out; it saves a sixth of the file in a tenth more time.
_ARITHMETIC = {"coder": "ac"}
_BT709 = 1  # In ITU-T H.273, for primaries, transfer and matrix.


class Quality(NamedTuple):
  """The quality of the pictures, and the largest bit rate.

  `crf` is x264's scale, on which lower is better; 23 is its default. `bit_rate` limits
  the average bits a second; None sets no limit. `quick` saves two fifths of the time:
  all frames have the quantiser `crf`, which otherwise depends on how much happens in
  them, and coding is not arithmetic, which would save a sixth of the file.
  """

  crf: int
  bit_rate: int | None = None
  quick: bool = False

  def options(self) -> dict[str, str]:
    """The encoder's options."""
    scale = str(self.crf)
    options = {"qp": scale} if self.quick else {"crf": scale, **_ARITHMETIC}
    options |= _SPEED
    if self.bit_rate is not None:
      options |= {"maxrate": str(self.bit_rate), "bufsize": str(2 * self.bit_rate)}
    return options


GOOD = Quality(20)


class VideoWriter:
  """Appends frames to a video file; `writing` makes one."""

  def __init__(
    self,
    partial: pathlib.Path,
    path: pathlib.Path,
    fps: float,
    times: Float[np.ndarray, "frames"] | None,
    sound_of: pathlib.Path | None,
    quality: Quality,
  ):
    self._partial = partial
    self._path = path
    self._fps = fps
    self._times = times
    self._sound_of = sound_of
    self._quality = quality
    self._container: av.container.OutputContainer | None = None
    self._sound: sound.Copier | None = None
    self._opened = contextlib.ExitStack()
    self._shape: tuple[int, ...] = ()
    self._frames = 0

  def write(
    self,
    frame: UInt8[np.ndarray, "height width 3"] | Yuv,
    seconds: float | None = None,
  ) -> None:
    """Appends a frame, which must have the first one's size.

    Args:
      frame: RGB, or as videos store it.
      seconds: from the first frame to it; None if `writing` knows the times.
    """
    picture = frame if isinstance(frame, Yuv) else yuv.from_rgb(frame)
    if self._container is None:
      self._shape = picture.y.shape
      self._container = self._open(even=seconds is None)
    if picture.y.shape != self._shape:
      raise ValueError(f"the frame is {picture.y.shape}, the video's are {self._shape}")
    seconds = self._seconds(self._frames) if seconds is None else seconds
    encoded = yuv.frame(picture)
    encoded.pts = round(seconds / self._time_base)
    encoded.time_base = self._time_base
    self._container.mux(self._stream.encode(encoded))
    if self._sound is not None:
      self._sound.write_until(seconds)
    self._frames += 1

  def finish(self) -> None:
    """Writes what is left."""
    if self._container is not None:
      self._container.mux(self._stream.encode())
      if self._sound is not None:
        self._sound.write_until(self._seconds(self._frames))

  def close(self) -> None:
    """Closes the file, which is whole if `finish` was called."""
    self._opened.close()

  def check(self) -> None:
    """Raises InputError unless every frame is in the closed file."""
    if not self._frames:
      raise self.failure("it has no frames")
    try:
      written = video.probe(self._partial).num_frames
    except InputError:
      written = 0
    if written != self._frames:
      raise self.failure(f"{written} of {self._frames} frames could be read back")

  def failure(self, reason: str) -> InputError:
    """The error for a video that cannot be written."""
    return InputError(
      f"The video {self._path} could not be written ({reason}): is the folder "
      "writable, and is there room?"
    )

  def _seconds(self, number: int) -> float:
    if self._times is None:
      return number / self._fps
    if number < len(self._times):
      return float(self._times[number])
    # The end of the last frame.
    return float(self._times[-1]) + (number - len(self._times) + 1) / self._fps

  def _is_even(self, rate: fractions.Fraction) -> bool:
    if self._times is None:
      return True
    slots = self._times * float(rate)
    return bool(np.abs(slots - np.arange(len(slots))).max() < 0.05)

  def _open(self, even: bool) -> av.container.OutputContainer:
    container = self._opened.enter_context(
      av.open(str(self._partial), "w", format="mp4", options={"movflags": "+faststart"})
    )
    rate = fractions.Fraction(self._fps).limit_denominator(1001)
    options = self._quality.options()
    stream = container.add_stream("libx264", rate=rate, options=options)
    stream.height, stream.width = self._shape
    stream.pix_fmt = "yuv420p"
    even = even and self._is_even(rate)
    self._time_base = 1 / rate if even else _TIME_BASE
    stream.time_base = stream.codec_context.time_base = self._time_base
    context = stream.codec_context
    # What makes the frames has a core of its own.
    context.thread_count = max(1, (os.cpu_count() or 1) - 1)
    context.color_primaries = context.color_trc = context.colorspace = _BT709
    self._stream = stream
    if self._sound_of is not None:
      copying = sound.copying(self._sound_of, container)
      self._sound = self._opened.enter_context(copying)
    return container


@contextlib.contextmanager
def writing(
  path: pathlib.Path,
  fps: float,
  times: Float[np.ndarray, "frames"] | None = None,
  sound_of: pathlib.Path | None = None,
  quality: Quality = GOOD,
) -> Iterator[VideoWriter]:
  """Yields a writer of an .mp4 file, which appears once the block has ended.

  Browsers and QuickTime play it, and can start before all of it has been loaded. An odd
  last row or column is lost, because H.264 in 4:2:0 has even sides.

    with video_writer.writing(path, fps) as writer:
      writer.write(frame)

  Args:
    path: the path of the file.
    fps: frames a second, on average.
    times: seconds from the first frame to each, rising; None for an even rate.
    sound_of: a video whose sound is copied, in step with the pictures.
    quality: the quality of the pictures.

  Raises:
    InputError: the video cannot be written, or has no frames.
  """
  with atomic.whole(path) as partial:
    writer = VideoWriter(partial, path, fps, times, sound_of, quality)
    try:
      try:
        yield writer
        writer.finish()
      finally:
        writer.close()
    except FFmpegError as error:
      raise writer.failure(error.strerror or str(error)) from error
    writer.check()
