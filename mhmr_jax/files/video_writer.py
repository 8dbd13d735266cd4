"""Writes videos that appear when they are whole."""

import contextlib
import pathlib
from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import UInt8

from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic, video


class VideoWriter:
  """Appends RGB frames to a video file; `writing` makes one."""

  def __init__(self, partial: pathlib.Path, path: pathlib.Path, fps: float):
    self._partial = partial
    self._path = path
    self._fps = fps
    self._writer: cv2.VideoWriter | None = None
    self._shape: tuple[int, ...] = ()
    self._frames = 0

  def write(self, frame: UInt8[np.ndarray, "height width 3"]) -> None:
    """Appends a frame, which must have the first one's size."""
    if self._writer is None:
      self._shape = frame.shape
      self._writer = self._open()
    if frame.shape != self._shape:
      raise ValueError(f"the frame is {frame.shape}, the video's are {self._shape}")
    self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    self._frames += 1

  def close(self) -> None:
    """Writes what is left and closes the file."""
    if self._writer is not None:
      self._writer.release()

  def check(self) -> None:
    """Raises InputError unless every frame can be read back from the closed file.

    OpenCV does not report errors of writing, such as a full disk.
    """
    if not self._frames:
      raise self._failure("it has no frames")
    try:
      written = video.probe(self._partial).num_frames
    except InputError:
      written = 0
    if written != self._frames:
      raise self._failure(f"{written} of {self._frames} frames could be read back")

  def _open(self) -> cv2.VideoWriter:
    size = (self._shape[1], self._shape[0])
    with video.quiet():
      for codec in ("avc1", "mp4v"):
        fourcc = cv2.VideoWriter.fourcc(*codec)
        writer = cv2.VideoWriter(str(self._partial), fourcc, self._fps, size)
        if writer.isOpened():
          return writer
    raise self._failure("no encoder of this OpenCV accepts it")

  def _failure(self, reason: str) -> InputError:
    return InputError(
      f"The video {self._path} could not be written ({reason}): is the folder "
      "writable, and is there room?"
    )


@contextlib.contextmanager
def writing(path: pathlib.Path, fps: float) -> Iterator[VideoWriter]:
  """Yields a writer of an .mp4 file, which appears once the block has ended.

  The codec is H.264 where this build of OpenCV has an encoder (its wheels have none),
  else MPEG-4 part 2. An odd last row or column is lost: the codecs have none.

    with video_writer.writing(path, fps) as writer:
      writer.write(frame)

  Raises:
    InputError: the video cannot be written, or has no frames.
  """
  with atomic.whole(path) as partial:
    writer = VideoWriter(partial, path, fps)
    try:
      yield writer
    finally:
      writer.close()
    writer.check()
