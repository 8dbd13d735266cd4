"""Images on which the detectors run, and on which their peers ran for the goldens."""

import itertools
import pathlib

import numpy as np

from mhmr_jax.files import video

_VIDEOS = ("taiji.mp4", "runner.mp4")
_FRAMES = (0, 30)

_SIZE = (128, 160)  # Half of it fits the stand-in detectors' input.
BLUE, GREEN = (0, 0, 210), (0, 210, 0)
# x0, y0, x1, y1: one of the crop's shape, one wider.
BOXES = {BLUE: (20, 10, 44, 42), GREEN: (90, 60, 138, 84)}
SPOTS = {BLUE: (30.3, 25.1), GREEN: (110.7, 70.4)}


def video_frames(folder: pathlib.Path) -> list[np.ndarray]:
  """Two frames of each video, in which one person is seen."""
  return [
    frame
    for name in _VIDEOS
    for number, frame in enumerate(
      itertools.islice(video.read_frames(folder / name), _FRAMES[-1] + 1)
    )
    if number in _FRAMES
  ]


def coloured_people(spots: dict[tuple[int, int, int], tuple[float, float]]):
  """People for the stand-in models: rectangles of a colour with a red spot each."""
  frame = np.zeros((*_SIZE, 3), np.uint8)
  y, x = np.mgrid[: _SIZE[0], : _SIZE[1]] + 0.5
  for colour, spot in spots.items():
    x0, y0, x1, y1 = BOXES[colour]
    frame[y0:y1, x0:x1] = colour
    distance = (x - spot[0]) ** 2 + (y - spot[1]) ** 2
    red = np.rint(255 * np.exp(-distance / 8)).astype(np.uint8)
    frame[..., 0] = np.maximum(frame[..., 0], red)
  return frame
