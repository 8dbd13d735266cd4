"""Occluders that pass in front of people: parts of pictures, cut along superpixels.

Doersch & Zisserman, "Sim2real transfer learning for 3D human pose estimation: motion to
the rescue" (2019): a picture is divided into SLIC superpixels, a superpixel is cut out
together with some of its neighbours, and the piece moves across the person on a smooth
path. Here, some pieces stand in the world instead, nearer than the person, so that the
camera's motion moves them.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from mhmr_jax.synth import planes, render
from mhmr_jax.synth.camera import CameraPath

Rng = np.random.Generator

# Superpixels are found once a clip, on a picture of this side in pixels.
_SLIC_SIDE = 96
_SUPERPIXELS = 60
_MAX_GROWTH = 9  # Superpixels of one piece.
_COUNTS = (0.2, 0.25, 0.25, 0.2, 0.1)  # Probabilities of 0 to 4 pieces.
_EXTENT = (0.12, 0.5)  # Size of a piece over the person's.
_MAX_EXTENT = 0.5  # Size of a piece in frame widths.
_LEAST_DEPTH = 0.3  # Depth of a piece's corners over that at the middle frame.


class Patch(NamedTuple):
  """One piece in one frame; a `planes.Drawn`."""

  window: render.Window
  rgba: Float[np.ndarray, "height width 4"]
  mask: Bool[np.ndarray, "height width"]
  flow: Float[np.ndarray, "height width 2"]


class Occluder(NamedTuple):
  """A piece of a picture, and its place over time."""

  rgba: Float[np.ndarray, "rows columns 4"]  # RGB 0..255 times alpha, and alpha.
  place: Float[np.ndarray, "time 3 3"]  # Homographies from its pixels to each frame's.

  def film(self, size: int) -> list[Patch | None]:
    """Draws the piece in square frames; None where it is outside the frame."""
    following = [*self.place[1:], self.place[-1]]
    return [
      self._patch(now, after @ np.linalg.inv(now), size)
      for now, after in zip(self.place, following, strict=True)
    ]

  def _patch(
    self, place: Float[np.ndarray, "3 3"], step: Float[np.ndarray, "3 3"], size: int
  ) -> Patch | None:
    height, width = self.rgba.shape[:2]
    window = planes.extent(place, (height, width), size)
    if window is None:
      return None
    rgba = planes.warp(self.rgba, place, window)
    return Patch(window, rgba, rgba[..., 3] > 0.5, planes.flow(step, window))


def sample(
  rng: Rng,
  picture: UInt8[np.ndarray, "height width 3"],
  camera: CameraPath,
  distance: float,
  joints_image: Float[np.ndarray, "time joints 2"],
  size: int,
) -> list[Occluder]:
  """Draws the pieces that pass in front of a person; later ones cover earlier ones.

  Args:
    rng: the random stream to draw from.
    picture: what they are cut from, RGB.
    camera: the clip's camera.
    distance: metres to the person at the middle frame.
    joints_image: the person's joints in pixels.
    size: pixels of the square frame's side.
  """
  count = rng.choice(len(_COUNTS), p=_COUNTS)
  if not count:
    return []
  superpixels = _Superpixels(picture)
  return [
    _sample_one(rng, superpixels, camera, distance, joints_image, size)
    for _ in range(count)
  ]


def _sample_one(
  rng: Rng,
  superpixels: "_Superpixels",
  camera: CameraPath,
  distance: float,
  joints_image: Float[np.ndarray, "time joints 2"],
  size: int,
) -> Occluder:
  cut = superpixels.cut(rng)
  person = float(np.ptp(np.median(joints_image, 0), axis=0).max())
  wanted = min(rng.uniform(*_EXTENT) * person, _MAX_EXTENT * size)
  scale = max(wanted, 4.0) / max(cut.shape[:2])
  if scale < 1:
    cut = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    scale = 1.0
  # Every piece crosses the person: in one frame its middle lies between two joints.
  frames = len(joints_image)
  meeting = int(rng.integers(frames))
  first, second = joints_image[meeting, rng.integers(0, joints_image.shape[1], 2)]
  target = first + rng.random() * (second - first)
  own = _path(rng, cut.shape[:2], scale, meeting, frames, size)
  world = camera.plane_motion(distance * rng.uniform(0.35, 0.9))
  if rng.random() < 0.5:  # The camera's motion does not move this piece.
    world = np.tile(np.eye(3), (frames, 1, 1))
  place = _meet(world, own, meeting, target)
  corners = np.array([[0, 1, 1, 0], [0, 0, 1, 1], [1, 1, 1, 1]], float)
  corners[:2] *= np.array(cut.shape[1::-1])[:, None]
  if (place @ corners)[:, 2].min() < _LEAST_DEPTH:  # The camera walks through it.
    place = _meet(np.tile(np.eye(3), (frames, 1, 1)), own, meeting, target)
  return Occluder(cut, place)


def _path(
  rng: Rng,
  shape: tuple[int, int],
  scale: float,
  meeting: int,
  frames: int,
  size: int,
) -> Float[np.ndarray, "time 3 3"]:
  """Draws similarities that put a piece's middle at the origin in frame `meeting`."""
  steps = np.arange(frames) - meeting
  # Most pieces drift; some cross the frame within about a second.
  slow, fast = np.exp(rng.normal(np.log(0.006), 0.7)), rng.uniform(0.02, 0.05)
  speed = size * rng.choice([slow, fast], p=[0.65, 0.35])
  heading = rng.uniform(0, 2 * np.pi) + np.cumsum(np.full(frames, rng.normal(0, 0.02)))
  velocity = speed * np.stack([np.cos(heading), np.sin(heading)], -1)
  course = np.cumsum(velocity, 0)
  centre = course - course[meeting]
  angle = rng.uniform(0, 2 * np.pi) + np.radians(rng.normal(0, 0.8)) * steps
  grown = scale * np.exp(np.clip(rng.normal(0, 0.006) * steps, -0.7, 0.7))
  matrices = np.tile(np.eye(3), (frames, 1, 1))
  matrices[:, 0, 0] = matrices[:, 1, 1] = grown * np.cos(angle)
  matrices[:, 0, 1] = -grown * np.sin(angle)
  matrices[:, 1, 0] = grown * np.sin(angle)
  middle = np.array([shape[1], shape[0]]) / 2
  matrices[:, :2, 2] = centre - matrices[:, :2, :2] @ middle
  return matrices


def _meet(
  world: Float[np.ndarray, "time 3 3"],
  own: Float[np.ndarray, "time 3 3"],
  meeting: int,
  target: Float[np.ndarray, "2"],
) -> Float[np.ndarray, "time 3 3"]:
  """Composes both motions, shifted so that the piece meets the target in that frame."""
  x, y, depth = np.linalg.solve(world[meeting], [*target, 1.0])
  shift = np.array([[1, 0, x / depth], [0, 1, y / depth], [0, 0, 1]])
  place = world @ shift @ own
  return place / place[len(place) // 2, 2, 2]


class _Superpixels:
  """A picture's superpixels, which follow its edges, and which of them touch."""

  def __init__(self, picture: UInt8[np.ndarray, "height width 3"]):
    # It takes half a second to import, which only clips with occluders need.
    from skimage import segmentation

    side = min(picture.shape[:2])
    top, left = ((n - side) // 2 for n in picture.shape[:2])
    self._picture = picture[top : top + side, left : left + side]
    small = cv2.resize(
      self._picture, (_SLIC_SIDE, _SLIC_SIDE), interpolation=cv2.INTER_AREA
    )
    # Four iterations find the edges; more would only polish them.
    self._labels: Int[np.ndarray, "side side"] = segmentation.slic(
      small, _SUPERPIXELS, compactness=12, max_num_iter=4, start_label=0, sigma=1
    )
    count = int(self._labels.max()) + 1
    self._touch = np.zeros((count, count), bool)
    for a, b in (
      (self._labels[1:], self._labels[:-1]),
      (self._labels[:, 1:], self._labels[:, :-1]),
    ):
      self._touch[a, b] = self._touch[b, a] = True
    np.fill_diagonal(self._touch, False)

  def cut(self, rng: Rng) -> Float[np.ndarray, "rows columns 4"]:
    """Cuts out a superpixel and some that touch it: RGB times alpha, and alpha."""
    count = len(self._touch)
    chosen = np.zeros(count, bool)
    chosen[rng.integers(count)] = True
    for _ in range(rng.integers(0, _MAX_GROWTH)):
      around = np.flatnonzero(self._touch[chosen].any(0) & ~chosen)
      if len(around):
        chosen[rng.choice(around)] = True
    region = np.pad(chosen[self._labels].astype(np.float32), 2)
    # The blur smooths edges that noise in the picture frays.
    region = np.asarray(cv2.GaussianBlur(region, (0, 0), 1.3))
    region = _largest(region / region.max())
    rows, columns = (np.flatnonzero((region > 0.5).any(axis)) for axis in (1, 0))
    zoom = len(self._picture) / _SLIC_SIDE
    # One pixel more on each side leaves room for the soft edge.
    y0, x0 = max(0, rows[0] - 1), max(0, columns[0] - 1)
    y1, x1 = rows[-1] + 2, columns[-1] + 2
    shape = (max(2, round((x1 - x0) * zoom)), max(2, round((y1 - y0) * zoom)))
    soft = cv2.resize(region[y0:y1, x0:x1], shape, interpolation=cv2.INTER_CUBIC)
    alpha = np.clip((soft - 0.5) * 2 * max(zoom, 1.5) + 0.5, 0, 1)
    # The padding has moved the region by two pixels from its place in the picture.
    row = np.arange(shape[1]) + round((y0 - 2) * zoom)
    column = np.arange(shape[0]) + round((x0 - 2) * zoom)
    limit = len(self._picture) - 1
    colours = self._picture[np.clip(row, 0, limit)][:, np.clip(column, 0, limit)]
    return np.dstack([colours * alpha[..., None], alpha]).astype(np.float32)


def _largest(region: Float[np.ndarray, "rows columns"]) -> np.ndarray:
  """Keeps only the largest connected part in which the region is above a half."""
  _, label, parts, _ = cv2.connectedComponentsWithStats((region > 0.5).astype(np.uint8))
  largest = 1 + parts[1:, cv2.CC_STAT_AREA].argmax()
  return np.where((label == largest) | (label == 0), region, 0).astype(np.float32)
