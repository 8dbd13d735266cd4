"""Draws triangle meshes with OpenCV's rasteriser.

One pass finds the triangle that every pixel sees at its centre: the place in it is
solved for afterwards, and colour, labels and flow are looked up there, so that they
agree with the geometry to rounding. A pixel's alpha is how many of those around it see
the surface, so edges are smooth; what lies just beside it is coloured with it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

# Metres. The rasteriser does not clip: triangles that come nearer are left out.
NEAR = 0.1
FAR = 1000.0
_AROUND = np.ones((3, 3), np.uint8)


class Window(NamedTuple):
  """A part of the frame, in whole pixels; the ends are excluded."""

  x0: int
  y0: int
  x1: int
  y1: int

  @property
  def slices(self) -> tuple[slice, slice]:
    """Rows and columns, to index an image."""
    return slice(self.y0, self.y1), slice(self.x0, self.x1)


class Fragments(NamedTuple):
  """What n pixels of a window see, at their centre or, at edges, beside it."""

  window: Window
  pixel: Int[np.ndarray, "n"]  # Within the window, counted row by row.
  corners: Int[np.ndarray, "n 3"]  # Vertices of the triangle seen.
  barycentric: Float[np.ndarray, "n 3"]
  alpha: Float[np.ndarray, "n"]  # About the part of the pixel that is covered.
  at_centre: Bool[np.ndarray, "n"]

  @property
  def row(self) -> Int[np.ndarray, "n"]:
    """From the window's top."""
    return _rows(self.pixel, self.window)

  @property
  def column(self) -> Int[np.ndarray, "n"]:
    """From the window's left."""
    return self.pixel - self.row * (self.window.x1 - self.window.x0)

  def middle(self) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """X and y of the pixels' centres in the frame."""
    return _middle(self.pixel, self.window)

  def centres(self) -> "Fragments":
    """Only the pixels whose centre sees the surface."""
    keep = np.flatnonzero(self.at_centre)
    return Fragments(self.window, *(values.take(keep, axis=0) for values in self[1:]))

  def interpolate(
    self, values: Sequence[Float[np.ndarray, "V"]]
  ) -> list[Float[np.ndarray, "n"]]:
    """Values of the vertices at the places seen, of each kind an array."""
    count, kinds = len(self.pixel), len(values)
    # Four times as fast as to gather the corners' values and add them up.
    weights = sparse.csr_array(
      (
        self.barycentric.ravel(),
        self.corners.ravel(),
        np.arange(0, 3 * count + 1, 3, dtype=np.int32),
      ),
      shape=(count, len(values[0])),
    )
    # OpenCV (un)zips arrays in a quarter of NumPy's time.
    seen = weights @ cv2.merge(values).reshape(-1, kinds)
    return [kind.ravel() for kind in cv2.split(seen.reshape(-1, 1, kinds))]

  def nearest(self) -> Int[np.ndarray, "n"]:
    """The vertex that each place is nearest to."""
    a, b, c = self.barycentric.T
    first, second, third = self.corners.T
    nearer = np.where(b > a, second, first)
    return np.where(c > np.maximum(a, b), third, nearer)

  def spread(
    self, values: Sequence[Float[np.ndarray, "n"]]
  ) -> Float[np.ndarray, "height width kinds"]:
    """The window with these values, of two or four kinds; zeros where nothing is."""
    width, height = self.window.x1 - self.window.x0, self.window.y1 - self.window.y0
    out = np.zeros((height * width, len(values)), np.float32)
    # All of a pixel as one number: eight times as fast.
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
    # By number, of which 0 is none.
    self._corners = np.concatenate([[[0, 0, 0]], self._faces]).T.astype(np.intp)

  def rasterise(
    self,
    vertices: Float[np.ndarray, "V 3"],
    intrinsics: Float[np.ndarray, "3 3"],
    shape: tuple[int, int],
  ) -> Fragments | None:
    """What is seen of the surface; None where it lies outside the frame.

    Args:
      vertices: camera frame, metres.
      intrinsics: of the whole frame.
      shape: the frame's height and width in pixels.
    """
    order = self._order
    x, y, z = np.ascontiguousarray(vertices.T)
    if z.min() <= NEAR:
      ahead = z > NEAR
      order = order[ahead[self._faces].all(1)]
      if not len(order):
        return None
      # No triangle has these now; what matters is that the divisions work.
      x, y, z = (np.where(ahead, values, values[ahead][0]) for values in (x, y, z))
    u = x / z * intrinsics[0, 0] + intrinsics[0, 2]
    v = y / z * intrinsics[1, 1] + intrinsics[1, 2]
    window = _window(u, v, shape)
    if window is None:
      return None
    number = self._numbers_seen(u, v, z, order, float(intrinsics[1, 1]), window)
    covered = (number > 0).view(np.uint8) * np.uint8(255)
    share = cv2.GaussianBlur(covered, (3, 3), 0)
    # Of a straight edge, an eighth beside it and seven within; kept within 0 to 255.
    alpha = cv2.addWeighted(share, 1.5, share, 0, -0.25 * 255).ravel()
    pixel = np.flatnonzero(alpha)
    if not len(pixel):
      return None
    seen = number.ravel().take(pixel)
    at_centre = seen > 0
    near = cv2.dilate(number, _AROUND).ravel().take(pixel)
    seen = np.where(at_centre, seen, near).astype(np.intp)
    corners = self._corners.take(seen, axis=1)
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

  def _numbers_seen(
    self,
    u: Float[np.ndarray, "V"],
    v: Float[np.ndarray, "V"],
    z: Float[np.ndarray, "V"],
    order: Int[np.ndarray, "f 3"],
    focal: float,
    window: Window,
  ) -> Float[np.ndarray, "rows columns"]:
    """1 + the number of the triangle that each pixel's centre sees, or 0.

    The rasteriser's camera looks down -z through the middle of its image, y up. Any
    focal length will do that puts the vertices where they belong.
    """
    rows, columns = window.y1 - window.y0, window.x1 - window.x0
    # From the middle, and back along the ray.
    scale = z / np.float32(focal)
    placed = np.empty((len(z) + len(self._doubled), 3), np.float32)
    own = placed[: len(z)]
    own[:, 0] = (u - np.float32(window.x0 + columns / 2)) * scale
    own[:, 1] = (v - np.float32(window.y0 + rows / 2)) * -scale
    own[:, 2] = -z
    placed[len(z) :] = own.take(self._doubled, axis=0)
    seen = np.zeros((rows, columns, 3), np.float32)
    cv2.triangleRasterizeColor(
      placed,
      order,
      self._numbers,
      seen,
      np.eye(4, dtype=np.float32),
      2 * np.arctan(rows / 2 / focal),
      NEAR / 2,
      FAR,
      _settings(),
    )
    return cv2.extractChannel(seen, 0)


def _window(
  u: Float[np.ndarray, "V"], v: Float[np.ndarray, "V"], shape: tuple[int, int]
) -> Window | None:
  """The frame's pixels that a surface with these vertices can colour."""
  height, width = shape
  x0, y0 = max(math.floor(u.min()) - 1, 0), max(math.floor(v.min()) - 1, 0)
  x1, y1 = min(math.ceil(u.max()) + 1, width), min(math.ceil(v.max()) + 1, height)
  return Window(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _rows(pixel: Int[np.ndarray, "n"], window: Window) -> Int[np.ndarray, "n"]:
  # Four times as fast as to divide 64 bits.
  return pixel.astype(np.int32) // np.int32(window.x1 - window.x0)


def _middle(
  pixel: Int[np.ndarray, "n"], window: Window
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
  """X and y in the frame, of the centres of pixels of the window."""
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
  """Weights of the corners at the point seen; perspective is accounted for.

  Args:
    x: of the corners, pixels to the right of the place.
    y: of the corners, pixels below the place.
    depth: of the corners.
  """
  weights = []
  for following, other in ((1, 2), (2, 0), (0, 1)):
    area = x[following] * y[other] - x[other] * y[following]
    # The sign of all three is that of the triangle's turn; those of places on an edge
    # may differ by rounding, and those just beside it do, for which this will do.
    weights.append(np.maximum(np.abs(area), np.float32(1e-12)))
  weights = [weight / z for weight, z in zip(weights, depth, strict=True)]
  scale = 1 / (weights[0] + weights[1] + weights[2])
  return cv2.merge([weight * scale for weight in weights]).reshape(-1, 3)


def resolve(
  fragments: Fragments, colours: Sequence[Float[np.ndarray, "n"]]
) -> Float[np.ndarray, "height width 4"]:
  """The window's pixels: RGB times alpha, and alpha."""
  alpha = fragments.alpha
  return fragments.spread([*(channel * alpha for channel in colours), alpha])
