"""Finds videos below a folder, and picks the frames that training reads."""

import os
import pathlib
from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from mhmr_jax.files import video

SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov")
_TRAINING_FPS = 30.0


def below(
  folder: pathlib.Path, suffixes: tuple[str, ...] = SUFFIXES
) -> Iterator[pathlib.Path]:
  """Yields the files with these suffixes at any depth, folder by folder, sorted."""
  for parent, folders, names in os.walk(folder):
    folders.sort()
    for name in sorted(names):
      path = pathlib.Path(parent) / name
      if path.suffix.lower() in suffixes:
        yield path


def spacing(times: Float[np.ndarray, "frames"]) -> float:
  """Seconds from one frame to the next."""
  return float(np.median(np.diff(times))) if len(times) > 1 else 1 / _TRAINING_FPS


def step(times: Float[np.ndarray, "frames"]) -> int:
  """The whole step from frame to frame that comes nearest to 30 frames a second.

  Args:
    times: the times of all frames of the video, s.
  """
  return max(1, round(1 / (_TRAINING_FPS * spacing(times))))


def frames(
  path: pathlib.Path, numbers: Int[np.ndarray, "frames"]
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
  """Reads the frames with these ascending numbers, BGR."""
  wanted = set(numbers.tolist())
  for number, frame in enumerate(video.read_frames(path)):
    if number in wanted:
      yield cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    if number == numbers[-1]:
      return
