"""Reads videos frame by frame, in memory that does not grow with their length."""

import contextlib
import math
import os
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from absl import logging
from jaxtyping import Float, UInt8

from mhmr_jax.errors import InputError

# FFmpeg prints errors to stderr, past Python, that are also reported as sentences.
# OpenCV reads this variable when it first opens a video.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

_FALLBACK_FPS = 30.0


class VideoInfo(NamedTuple):
  """The properties of a video's frames as they are shown.

  A file may ask for its frames to be rotated, as phones that are held upright do.
  """

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
  """Returns size, frame rate and true length; decodes the whole video once.

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
  """Returns the seconds from the first frame to each; raises as `probe` does.

  Where the file's own times do not rise, the times of an even frame rate are returned.
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
    # Most builds of OpenCV turn the frames by default, not all.
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
