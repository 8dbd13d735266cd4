"""Draws triangle meshes with OpenCV's rasteriser.

One pass finds the triangle that is visible at every pixel's centre. The point on the
triangle is solved for afterwards, and colour, labels and flow are interpolated there,
so that they agree with the geometry up to rounding. A pixel's alpha comes from how many
pixels around it show the surface, which makes edges smooth; a pixel just beside the
surface takes its colour from the triangle next to it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from mhmr_jax.geometry import pinhole

# Metres. The rasteriser does not clip, so triangles nearer than this are left out.
NEAR = 0.1
FAR = 1000.0
_AROUND = np.ones((3, 3), np.uint8)


class Window(NamedTuple):
  """A rectangle of the frame in whole pixels; x1 and y1 are excluded."""

  x0: int
  y0: int
  x1: int
  y1: int

  @property
  def slices(self) -> tuple[slice, slice]:
    """Rows and columns that index an image of the frame."""
    return slice(self.y0, self.y1), slice(self.x0, self.x1)


class Fragments(NamedTuple):
  """The surface that n pixels of a window show.

  They are the pixels that show the surface at their centre, and those just beside it.
  """

  window: Window
  pixel: Int[np.ndarray, "n"]  # Number within the window, counted row by row.
  corners: Int[np.ndarray, "n 3"]  # Vertices of the visible triangle.
  barycentric: Float[np.ndarray, "n 3"]
  alpha: Float[np.ndarray, "n"]  # About the covered share of the pixel.
  at_centre: Bool[np.ndarray, "n"]

  @property
  def row(self) -> Int[np.ndarray, "n"]:
    """Rows of the pixels, from the window's top."""
    return _rows(self.pixel, self.window)

  @property
  def column(self) -> Int[np.ndarray, "n"]:
    """Columns of the pixels, from the window's left."""
    return self.pixel - self.row * (self.window.x1 - self.window.x0)

  def middle(self) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """The x and y of the pixels' centres in the frame."""
    return _middle(self.pixel, self.window)

  def centres(self) -> "Fragments":
    """Returns only the pixels whose centre shows the surface."""
    keep = np.flatnonzero(self.at_centre)
    return Fragments(self.window, *(values.take(keep, axis=0) for values in self[1:]))

  def interpolate(
    self, values: Sequence[Float[np.ndarray, "V"]]
  ) -> list[Float[np.ndarray, "n"]]:
    """Interpolates several arrays of vertex values at the visible points."""
    count, kinds = len(self.pixel), len(values)
    # Four times as fast as gathering the corners' values and adding them up.
    weights = sparse.csr_array(
      (
        self.barycentric.ravel(),
        self.corners.ravel(),
        np.arange(0, 3 * count + 1, 3, dtype=np.int32),
      ),
      shape=(count, len(values[0])),
    )
    # OpenCV interleaves arrays in a quarter of NumPy's time.
    interpolated = weights @ cv2.merge(values).reshape(-1, kinds)
    return [kind.ravel() for kind in cv2.split(interpolated.reshape(-1, 1, kinds))]

  def nearest(self) -> Int[np.ndarray, "n"]:
    """Returns the vertex that each visible point is nearest to."""
    a, b, c = self.barycentric.T
    first, second, third = self.corners.T
    nearer = np.where(b > a, second, first)
    return np.where(c > np.maximum(a, b), third, nearer)

  def spread(
    self, values: Sequence[Float[np.ndarray, "n"]]
  ) -> Float[np.ndarray, "height width kinds"]:
    """Returns an image of two or four channels of the window; zeros off the surface."""
    width, height = self.window.x1 - self.window.x0, self.window.y1 - self.window.y0
    out = np.zeros((height * width, len(values)), np.float32)
    # All channels of a pixel are copied as one number: eight times as fast.
    whole = {2: np.complex64, 4: np.complex128}[len(values)]
    out.view(whole)[self.pixel, 0] = cv2.merge(values).view(whole).ravel()
    return out.reshape(height, width, -1)


class Mesh:
  """The triangles of a closed surface, counter-clockwise as seen from outside."""

  def __init__(self, faces: Int[np.ndarray, "F 3"]):
    # Flat shading fills a triangle with the value of its first vertex: turn the
    # triangles so that few share it, and double the vertices of those that do.
    count = int(faces.max()) + 1
    self._faces = np.array(faces, np.int32)
    self._order = np.empty_like(self._faces)
    taken = np.zeros(count, bool)
    doubled: list[int] = []
    for number, face in enumerate(self._faces):
      free = np.flatnonzero(~taken[face])
      face[:] = np.roll(face, -free[0] if len(free) else 0)
      self._order[number] = face
      if len(free):
        taken[face[0]] = True
      else:
        self._order[number, 0] = count + len(doubled)
        doubled.append(face[0])
    self._doubled = np.array(doubled, np.int32)
    self._numbers = np.zeros((count + len(doubled), 3), np.float32)
    self._numbers[self._order[:, 0], 0] = np.arange(1, len(faces) + 1)
    # The corners of triangle i are in column i + 1; column 0 stands for no triangle.
    self._corners = np.concatenate([[[0, 0, 0]], self._faces]).T.astype(np.intp)

  def rasterise(
    self,
    vertices: Float[np.ndarray, "V 3"],
    intrinsics: Float[np.ndarray, "3 3"],
    shape: tuple[int, int],
  ) -> Fragments | None:
    """Finds the visible surface; None where it lies outside the frame.

    Args:
      vertices: metres, in the camera's frame.
      intrinsics: for the whole frame.
      shape: the frame's height and width in pixels.
    """
    points, order = self._in_front(vertices)
    if not len(order):
      return None
    z = points[2]
    u, v = pinhole.project(points.T, intrinsics).T
    window = _window(u, v, shape)
    if window is None:
      return None
    number = self._visible_numbers(u, v, z, order, float(intrinsics[1, 1]), window)
    covered = (number > 0).view(np.uint8) * np.uint8(255)
    share = cv2.GaussianBlur(covered, (3, 3), 0)
    # At a straight edge this gives 1/8 beside it and 7/8 within, clamped to 0 to 255.
    alpha = cv2.addWeighted(share, 1.5, share, 0, -0.25 * 255).ravel()
    pixel = np.flatnonzero(alpha)
    if not len(pixel):
      return None
    own = number.ravel().take(pixel)
    at_centre = own > 0
    beside = cv2.dilate(number, _AROUND).ravel().take(pixel)
    visible = np.where(at_centre, own, beside).astype(np.intp)
    corners = self._corners.take(visible, axis=1)
    x, y = _middle(pixel, window)
    barycentric = _barycentric(
      u.take(corners) - x, v.take(corners) - y, z.take(corners)
    )
    return Fragments(
      window,
      pixel,
      np.ascontiguousarray(corners.T, np.int32),
      barycentric,
      alpha.take(pixel) * np.float32(1 / 255),
      at_centre,
    )

  def _in_front(
    self, vertices: Float[np.ndarray, "V 3"]
  ) -> tuple[Float[np.ndarray, "3 V"], Int[np.ndarray, "f 3"]]:
    """The vertices as rows x, y, z, and the triangles that lie beyond `NEAR`."""
    points = np.ascontiguousarray(vertices.T)
    if points[2].min() > NEAR:
      return points, self._order
    ahead = points[2] > NEAR
    order = self._order[ahead[self._faces].all(1)]
    if len(order):
      # No triangle uses the replaced vertices; they only must not divide by zero.
      points = np.where(ahead, points, points[:, ahead][:, :1])
    return points, order

  def _visible_numbers(
    self,
    u: Float[np.ndarray, "V"],
    v: Float[np.ndarray, "V"],
    z: Float[np.ndarray, "V"],
    order: Int[np.ndarray, "f 3"],
    focal: float,
    window: Window,
  ) -> Float[np.ndarray, "rows columns"]:
    """Returns 1 + the number of the triangle visible at each pixel's centre, or 0.

    The rasteriser's camera looks along -z through the middle of its image, with y up.
    Its focal length is free, as the vertices are moved to where they project correctly.
    """
    rows, columns = window.y1 - window.y0, window.x1 - window.x0
    # Pixels from the window's middle, back-projected to each vertex's depth.
    scale = z / np.float32(focal)
    placed = np.empty((len(z) + len(self._doubled), 3), np.float32)
    own = placed[: len(z)]
    own[:, 0] = (u - np.float32(window.x0 + columns / 2)) * scale
    own[:, 1] = (v - np.float32(window.y0 + rows / 2)) * -scale
    own[:, 2] = -z
    placed[len(z) :] = own.take(self._doubled, axis=0)
    image = np.zeros((rows, columns, 3), np.float32)
    cv2.triangleRasterizeColor(
      placed,
      order,
      self._numbers,
      image,
      np.eye(4, dtype=np.float32),
      2 * np.arctan(rows / 2 / focal),
      NEAR / 2,
      FAR,
      _settings(),
    )
    return cv2.extractChannel(image, 0)


def _window(
  u: Float[np.ndarray, "V"], v: Float[np.ndarray, "V"], shape: tuple[int, int]
) -> Window | None:
  """The frame's pixels that a surface with these vertices can reach."""
  height, width = shape
  x0, y0 = max(math.floor(u.min()) - 1, 0), max(math.floor(v.min()) - 1, 0)
  x1, y1 = min(math.ceil(u.max()) + 1, width), min(math.ceil(v.max()) + 1, height)
  return Window(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _rows(pixel: Int[np.ndarray, "n"], window: Window) -> Int[np.ndarray, "n"]:
  # Four times as fast as a division of 64-bit integers.
  return pixel.astype(np.int32) // np.int32(window.x1 - window.x0)


def _middle(
  pixel: Int[np.ndarray, "n"], window: Window
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
  """The x and y in the frame of the centres of a window's pixels."""
  row = _rows(pixel, window)
  column = pixel.astype(np.int32) - row * np.int32(window.x1 - window.x0)
  half = np.float32(0.5)
  return (
    column.astype(np.float32) + (window.x0 + half),
    row.astype(np.float32) + (window.y0 + half),
  )


def _settings() -> "cv2.TriangleRasterizeSettings":
  settings = cv2.TriangleRasterizeSettings()
  settings.setCullingMode(cv2.RASTERIZE_CULLING_CW)
  settings.setShadingType(cv2.RASTERIZE_SHADING_FLAT)
  return settings


def _barycentric(
  x: Float[np.ndarray, "3 n"],
  y: Float[np.ndarray, "3 n"],
  depth: Float[np.ndarray, "3 n"],
) -> Float[np.ndarray, "n 3"]:
  """Perspective-correct weights of the triangle's corners at the visible point.

  Args:
    x: pixels from the pixel's centre to the corners, to the right.
    y: pixels from the pixel's centre to the corners, downwards.
    depth: metres of the corners.
  """
  weights = []
  for following, other in ((1, 2), (2, 0), (0, 1)):
    area = x[following] * y[other] - x[other] * y[following]
    # All three areas have the same sign within the triangle. Rounding may change a sign
    # on an edge, and it differs just beside the triangle: absolute values do for both.
    weights.append(np.maximum(np.abs(area), np.float32(1e-12)))
  weights = [weight / z for weight, z in zip(weights, depth, strict=True)]
  scale = 1 / (weights[0] + weights[1] + weights[2])
  return cv2.merge([weight * scale for weight in weights]).reshape(-1, 3)


def resolve(
  fragments: Fragments, colours: Sequence[Float[np.ndarray, "n"]]
) -> Float[np.ndarray, "height width 4"]:
  """Returns an image of the window: RGB times alpha, and alpha."""
  alpha = fragments.alpha
  return fragments.spread([*(channel * alpha for channel in colours), alpha])
