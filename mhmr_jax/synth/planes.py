"""Draws pictures on planes through homographies, and computes the planes' flow.

Pixel i has its centre at i + 0.5, in pictures as in frames.
"""

from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Bool, Float

from mhmr_jax.synth import render

# OpenCV has the centre of pixel i at i: these convert our coordinates to its and back.
_HALF = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
_UNHALF = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])


@runtime_checkable
class Drawn(Protocol):
  """What is composited over one frame: a person's layer or an occluder's patch."""

  @property
  def window(self) -> render.Window:
    """The part of the frame that it covers."""

  @property
  def rgba(self) -> Float[np.ndarray, "height width 4"]:
    """RGB 0..255 times alpha, and alpha."""

  @property
  def mask(self) -> Bool[np.ndarray, "height width"]:
    """Pixels whose centre it covers."""

  @property
  def flow(self) -> Float[np.ndarray, "height width 2"]:
    """Pixels to the next frame; valid where the mask is true."""


def extent(
  matrix: Float[np.ndarray, "3 3"], shape: tuple[int, int], size: int
) -> render.Window | None:
  """Returns the part of a square frame that a picture covers; None if it is outside.

  Args:
    matrix: homography from the picture's pixels to the frame's.
    shape: the picture's height and width.
    size: pixels of the frame's side.
  """
  height, width = shape
  corners = np.array([[0, width, width, 0], [0, 0, height, height], [1, 1, 1, 1]])
  x, y, depth = matrix @ corners
  if depth.min() <= 0:  # It reaches behind the camera.
    return None
  x0, y0 = (max(0, int(np.floor((v / depth).min()))) for v in (x, y))
  x1, y1 = (min(size, int(np.ceil((v / depth).max()))) for v in (x, y))
  return render.Window(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def warp(
  picture: np.ndarray,
  matrix: Float[np.ndarray, "3 3"],
  window: render.Window,
  border: int = cv2.BORDER_CONSTANT,
) -> np.ndarray:
  """Resamples a picture to a window of the frame.

  Args:
    picture: any number of channels.
    matrix: homography from the picture's pixels to the frame's.
    window: the part of the frame to draw.
    border: OpenCV's border mode for what lies beside the picture; zeros by default.
  """
  shift = np.array([[1, 0, -window.x0], [0, 1, -window.y0], [0, 0, 1]])
  return cv2.warpPerspective(
    picture,
    _UNHALF @ shift @ matrix @ _HALF,
    (window.x1 - window.x0, window.y1 - window.y0),
    flags=cv2.INTER_LINEAR,
    borderMode=border,
  )


def flow(
  step: Float[np.ndarray, "3 3"], window: render.Window
) -> Float[np.ndarray, "height width 2"]:
  """The flow at a window's pixel centres under a homography `step` of the frame."""
  x = np.arange(window.x0, window.x1, dtype=np.float32) + np.float32(0.5)
  y = np.arange(window.y0, window.y1, dtype=np.float32)[:, None] + np.float32(0.5)
  a, b, c = step.astype(np.float32)
  nearness = 1 / (c[0] * x + (c[1] * y + c[2]))
  moved = []
  for row, start in ((a, x), (b, y)):
    place = row[0] * x + (row[1] * y + row[2])
    place *= nearness
    place -= start
    moved.append(place)
  return cv2.merge(moved)
