"""Draws triangle meshes with OpenCV's rasteriser, on samples half a pixel apart.

One pass finds the triangle that every sample sees. The place in the triangle is
solved for afterwards, and colour, labels and flow are looked up there, so that they
agree with the geometry to rounding. Every second sample lies on a pixel's centre,
where labels are read; a pixel's colour is the mean of its 3 x 3 samples with weights
1 2 1, so edges are smooth.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

# Metres. The rasteriser does not clip: triangles that come nearer are left out.
NEAR = 0.1
FAR = 1000.0


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
  """What n samples of a window see; sample (r, c) lies r/2, c/2 px into it."""

  window: Window
  row: Int[np.ndarray, "n"]
  column: Int[np.ndarray, "n"]
  corners: Int[np.ndarray, "n 3"]  # Vertices of the triangle seen.
  barycentric: Float[np.ndarray, "n 3"]

  def centres(self) -> "Fragments":
    """Only the samples on pixels' centres, at row and column of that pixel."""
    (keep,) = np.nonzero(self.row & self.column & 1)
    row, column = self.row[keep] >> 1, self.column[keep] >> 1
    return Fragments(
      self.window, row, column, self.corners[keep], self.barycentric[keep]
    )

  def interpolate(
    self, values: Float[np.ndarray, "V channels"]
  ) -> Float[np.ndarray, "n channels"]:
    """Values of the vertices at the samples."""
    count = len(self.row)
    # Four times as fast as to gather the corners' values and add them up.
    weights = sparse.csr_array(
      (
        self.barycentric.ravel(),
        self.corners.ravel(),
        np.arange(0, 3 * count + 1, 3, dtype=np.int32),
      ),
      shape=(count, len(values)),
    )
    return weights @ values

  def nearest(self) -> Int[np.ndarray, "n"]:
    """The vertex that each sample is nearest to."""
    corner = self.barycentric.argmax(1)
    return self.corners[np.arange(len(corner)), corner]


def project(
  points: Float[np.ndarray, "*batch 3"], intrinsics: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "*batch 2"]:
  """Camera-frame points in metres to pixels."""
  focal = intrinsics[[0, 1], [0, 1]]
  return points[..., :2] / points[..., 2:] * focal + intrinsics[:2, 2]


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
    row, column = np.nonzero(number)
    if not len(row):
      return None
    seen = number[row, column].astype(np.int32) - 1
    corners = self._faces.take(seen, axis=0)
    place_u = column.astype(np.float32) / 2 + window.x0
    place_v = row.astype(np.float32) / 2 + window.y0
    barycentric = _barycentric(
      u.take(corners) - place_u[:, None],
      v.take(corners) - place_v[:, None],
      z.take(corners),
    )
    return Fragments(window, row, column, corners, barycentric)

  def _numbers_seen(
    self,
    u: Float[np.ndarray, "V"],
    v: Float[np.ndarray, "V"],
    z: Float[np.ndarray, "V"],
    order: Int[np.ndarray, "f 3"],
    focal: float,
    window: Window,
  ) -> Float[np.ndarray, "rows columns"]:
    """1 + the number of the triangle that each sample sees, or 0.

    The rasteriser's camera looks down -z through the middle of its image, y up, and
    the centre of its pixel (r, c) is r + 0.5, c + 0.5: there lies sample (r, c).
    Any focal length will do that puts the vertices where they belong.
    """
    rows, columns = 2 * (window.y1 - window.y0) + 1, 2 * (window.x1 - window.x0) + 1
    # From pixels to samples, from the middle, and back along the ray.
    scale = z / np.float32(2 * focal)
    placed = np.empty((len(z) + len(self._doubled), 3), np.float32)
    own = placed[: len(z)]
    own[:, 0] = (2 * (u - window.x0) + np.float32(0.5 - columns / 2)) * scale
    own[:, 1] = (2 * (v - window.y0) + np.float32(0.5 - rows / 2)) * -scale
    own[:, 2] = -z
    placed[len(z) :] = own.take(self._doubled, axis=0)
    seen = np.zeros((rows, columns, 3), np.float32)
    cv2.triangleRasterize(
      placed,
      order,
      self._numbers,
      seen,
      np.full((rows, columns), FAR, np.float32),
      np.eye(4, dtype=np.float32),
      2 * np.arctan(rows / 4 / focal),
      NEAR / 2,
      FAR,
      _settings(),
    )
    return seen[..., 0]


def _window(
  u: Float[np.ndarray, "V"], v: Float[np.ndarray, "V"], shape: tuple[int, int]
) -> Window | None:
  """The frame's pixels that a surface with these vertices can colour."""
  height, width = shape
  x0, y0 = max(math.floor(u.min()) - 1, 0), max(math.floor(v.min()) - 1, 0)
  x1, y1 = min(math.ceil(u.max()) + 1, width), min(math.ceil(v.max()) + 1, height)
  return Window(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _settings() -> "cv2.TriangleRasterizeSettings":
  settings = cv2.TriangleRasterizeSettings()
  settings.setCullingMode(cv2.RASTERIZE_CULLING_CW)
  settings.setShadingType(cv2.RASTERIZE_SHADING_FLAT)
  return settings


def _barycentric(
  x: Float[np.ndarray, "n 3"],
  y: Float[np.ndarray, "n 3"],
  depth: Float[np.ndarray, "n 3"],
) -> Float[np.ndarray, "n 3"]:
  """Weights of the corners at the point seen; perspective is accounted for.

  Args:
    x: of the corners, pixels to the right of the sample.
    y: of the corners, pixels below the sample.
    depth: of the corners.
  """
  following, other = [1, 2, 0], [2, 0, 1]
  area = x[:, following] * y[:, other] - x[:, other] * y[:, following]
  # The sign of all three is that of the triangle's turn; those of samples on an
  # edge may differ by rounding.
  weight = np.maximum(np.abs(area), 1e-12) / depth
  weight /= (weight[:, 0] + weight[:, 1] + weight[:, 2])[:, None]
  return weight


def resolve(
  fragments: Fragments, colours: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "height width 4"]:
  """Samples to the window's pixels: RGB times alpha, and alpha."""
  window = fragments.window
  height, width = window.y1 - window.y0, window.x1 - window.x0
  samples = np.zeros((2 * height + 1, 2 * width + 1, 4), np.float32)
  samples[fragments.row, fragments.column, :3] = colours
  samples[fragments.row, fragments.column, 3] = 1
  rows = samples[:-1:2] + 2 * samples[1::2] + samples[2::2]
  return (rows[:, :-1:2] + 2 * rows[:, 1::2] + rows[:, 2::2]) / 16
