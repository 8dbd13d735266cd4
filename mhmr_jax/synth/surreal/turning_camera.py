"""A turning camera that films people of SURREAL anew, out of its still camera's images.

A turn about the camera's centre and a longer lens are exact without any depth: every
pixel moves by the homography K R K0^-1. A camera that moves from its place would need
surfaces that SURREAL's camera did not see.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from scipy.spatial.transform import Rotation

from mhmr_jax.geometry import pinhole
from mhmr_jax.synth import camera, people, render, visibility
from mhmr_jax.synth.surreal import info_files
from mhmr_jax.synth.surreal.footage_files import Footage

Rng = np.random.Generator

# SURREAL's camera is level with its y down; the world's y is up.
_LEVEL = np.diag([1.0, -1.0, -1.0])
_ATTEMPTS = 12
# Pixels of SURREAL's images are enlarged by at most this factor.
_MAX_ZOOM = 2.0
# The body's height over that of its joints.
_BODY_OVER_JOINTS = 1.15


class _Shot(NamedTuple):
  """What the camera operator decides."""

  corner: Float[np.ndarray, "2"]  # Pixels: of the square to film in SURREAL's image.
  side: float  # Pixels: of that square.
  turn: Float[np.ndarray, "time 3"]  # Rotation vectors from SURREAL's camera.


def sample(
  rng: Rng,
  joints: Float[np.ndarray, "time 24 3"],
  on_person: Bool[np.ndarray, "time 240 320"],
  size: int,
  moving: bool,
) -> camera.CameraPath:
  """Draws a camera path that keeps most of a person in the frame most of the time.

  Where a border of SURREAL's image cuts the person, that border is never inside the new
  frame.

  Args:
    rng: the random stream to draw from.
    joints: metres, in the frame of SURREAL's camera.
    on_person: the pixels of the flipped image that show the person.
    size: pixels of the square frame's side.
    moving: False keeps the camera still.
  """
  pixels = pinhole.project(joints, info_files.intrinsics())
  cuts = _cuts(on_person)
  for _ in range(_ATTEMPTS):
    shot = _sample_shot(rng, pixels, size)
    path = _path(shot if moving else shot._replace(turn=0 * shot.turn), size)
    if _is_good(path, pixels, cuts, size):
      return path
  # The largest square of SURREAL's image: what its border cuts, the frame's cuts, too.
  spare = info_files.WIDTH - info_files.HEIGHT
  middle = pixels[len(pixels) // 2, :, 0].mean()
  corner = np.array([np.clip(middle - info_files.HEIGHT / 2, 0, spare), 0.0])
  return _path(_Shot(corner, info_files.HEIGHT, np.zeros((len(joints), 3))), size)


def _sample_shot(rng: Rng, pixels: Float[np.ndarray, "time 24 2"], size: int) -> _Shot:
  frames = len(pixels)
  middle = frames // 2
  low, high = pixels[middle].min(0), pixels[middle].max(0)
  extent = _BODY_OVER_JOINTS * (high - low)
  # In a few shots the person is taller than the frame.
  fill = rng.uniform(0.35, 0.95) if rng.random() < 0.88 else rng.uniform(0.95, 1.4)
  side = max(extent[1], 0.7 * extent[0]) / fill
  side = float(np.clip(side, size / _MAX_ZOOM, 2 * info_files.WIDTH))
  offset = rng.uniform(-0.5, 0.5, 2) * max(0.12, 1 - fill) * side
  corner = (low + high) / 2 - offset - side / 2

  follow = rng.choice([0.0, rng.uniform(0.4, 1.1), 1.0])
  smoothing = rng.uniform(0.15, 0.8) * info_files.FPS
  drift = rng.normal(0, 0.15, 2) if rng.random() < 0.3 else np.zeros(2)
  roll = np.radians(rng.normal(0, 2.5 if rng.random() < 0.9 else 12))
  shake = np.radians(np.exp(rng.normal(np.log(0.25), 0.9)))
  unrest = camera.unrest(rng, frames, info_files.FPS)
  if rng.random() < 0.25:  # A locked tripod.
    follow, shake, drift = 0.0, 0.0, np.zeros(2)
  elif rng.random() < 0.25:  # A smoothly turned tripod.
    shake = 0.0
  K = info_files.intrinsics()
  centre = ndimage.gaussian_filter1d(pixels.mean(1), smoothing, 0, mode="nearest")
  angle = np.arctan((centre - K[:2, 2]) / K[0, 0])
  seconds = (np.arange(frames)[:, None] - middle) / info_files.FPS
  aim = follow * (angle - angle[middle]) + seconds * drift * side / K[0, 0]
  # The rotations turn the scene, which is opposite to the camera's own turn.
  turn = np.stack([aim[:, 1], -aim[:, 0], np.full(frames, roll)], -1)
  return _Shot(corner, side, turn + shake * unrest)


def _path(shot: _Shot, size: int) -> camera.CameraPath:
  zoom = size / shot.side
  K = info_files.intrinsics().astype(np.float64)
  K[:2, 2] -= shot.corner
  K[:2] *= zoom
  R = Rotation.from_rotvec(shot.turn).as_matrix() @ _LEVEL
  return camera.CameraPath(
    R.astype(np.float32), np.zeros((len(R), 3), np.float32), K.astype(np.float32)
  )


def turns(path: camera.CameraPath) -> Float[np.ndarray, "time 3 3"]:
  """Rotations from SURREAL's camera to this one."""
  return path.R_wc @ _LEVEL.astype(np.float32)


def _homographies(path: camera.CameraPath) -> Float[np.ndarray, "time 3 3"]:
  """Homographies from pixels of SURREAL's flipped image to pixels of the frames.

  Their third coordinate is the depth in this camera over that in SURREAL's.
  """
  K0 = info_files.intrinsics().astype(np.float64)
  return path.intrinsics.astype(np.float64) @ turns(path) @ np.linalg.inv(K0)


def _apply(
  matrix: Float[np.ndarray, "3 3"], pixels: Float[np.ndarray, "*n 2"]
) -> tuple[Float[np.ndarray, "*n 2"], Float[np.ndarray, "*n"]]:
  """Applies a homography to pixels; returns its third coordinate, too."""
  moved = pixels @ matrix[:, :2].T + matrix[:, 2]
  return moved[..., :2] / moved[..., 2:], moved[..., 2]


def inside_source(
  points: Float[np.ndarray, "time n 3"], path: camera.CameraPath
) -> Bool[np.ndarray, "time n"]:
  """Whether points in this camera's frame lie inside SURREAL's image."""
  before = points @ turns(path)
  pixels = pinhole.project(before, info_files.intrinsics())
  inside = (pixels >= 0) & (pixels < [info_files.WIDTH, info_files.HEIGHT])
  return inside.all(-1) & (before[..., 2] > 0)


def _cuts(
  on_person: Bool[np.ndarray, "time 240 320"],
) -> list[Float[np.ndarray, "_ 2"]]:
  """The points of each frame where the image's border cuts the person, in pixels."""
  cuts = []
  for frame in on_person:
    points = [np.zeros((0, 2))]
    for edge, column in ((0, 0), (info_files.WIDTH, -1)):
      along = np.flatnonzero(frame[:, column]) + 0.5
      points.append(np.stack([np.full_like(along, edge), along], -1))
    for edge, row in ((0, 0), (info_files.HEIGHT, -1)):
      along = np.flatnonzero(frame[row]) + 0.5
      points.append(np.stack([along, np.full_like(along, edge)], -1))
    cuts.append(np.concatenate(points))
  return cuts


def _is_good(
  path: camera.CameraPath,
  pixels: Float[np.ndarray, "time 24 2"],
  cuts: list[Float[np.ndarray, "_ 2"]],
  size: int,
) -> bool:
  """Whether the person is in the frame enough, and no cut is visible inside it."""
  inside = []
  for matrix, joints, cut in zip(_homographies(path), pixels, cuts, strict=True):
    moved, _ = _apply(matrix, joints)
    inside.append(((moved > 0) & (moved < size)).all(-1).mean())
    border, _ = _apply(matrix, cut)
    if ((border > 1) & (border < size - 1)).all(-1).any():
      return False
  return bool(np.quantile(inside, 0.1) > 0.45)


def film(
  footage: Footage, path: camera.CameraPath, size: int
) -> list[people.Layer | None]:
  """Draws the person as this camera sees them; None where out of the frame."""
  matrices = _homographies(path)
  zoom = float(path.intrinsics[0, 0] / info_files.intrinsics()[0, 0])
  return [
    _layer(footage, t, matrix, following, zoom, size)
    for t, (matrix, following) in enumerate(
      zip(matrices, [*matrices[1:], matrices[-1]], strict=True)
    )
  ]


def _layer(
  footage: Footage,
  t: int,
  matrix: Float[np.ndarray, "3 3"],
  following: Float[np.ndarray, "3 3"],
  zoom: float,
  size: int,
) -> people.Layer | None:
  """Draws frame t, given its homography and the next frame's."""
  window = _window(footage.part[t] > 0, matrix, size)
  if window is None:
    return None
  y, x = np.mgrid[window.slices] + 0.5
  here = np.stack([x, y], -1)
  source, _ = _apply(np.linalg.inv(matrix), here)
  cut_out = _cut_out(footage.images[t], footage.part[t] > 0)
  rgba = _resample(cut_out, source, zoom)
  column, row = np.floor(source).astype(int).transpose(2, 0, 1)
  inside = (column >= 0) & (column < info_files.WIDTH)
  inside &= (row >= 0) & (row < info_files.HEIGHT)
  column, row = np.where(inside, column, 0), np.where(inside, row, 0)
  part = np.where(inside, footage.part[t, row, column], 0)
  on_person = part > 0
  _, stretch = _apply(matrix, source)
  depth = np.where(on_person, footage.depth[t, row, column] * stretch, np.inf)
  target, _ = _apply(following, source + footage.flow[t, row, column])
  flow = np.where(on_person[..., None], target - here, 0)
  buffer = visibility.DepthBuffer(
    depth.astype(np.float32), np.where(on_person, part - 1, 0).astype(np.uint8)
  )
  return people.Layer(window, rgba, buffer, flow.astype(np.float32))


def _window(
  on_person: Bool[np.ndarray, "240 320"], matrix: Float[np.ndarray, "3 3"], size: int
) -> render.Window | None:
  """The frame's pixels that the person can reach."""
  rows, columns = np.flatnonzero(on_person.any(1)), np.flatnonzero(on_person.any(0))
  if not len(rows):
    return None
  x = columns[[0, -1, 0, -1]] + np.array([0, 1, 0, 1])
  y = rows[[0, 0, -1, -1]] + np.array([0, 0, 1, 1])
  corners, depth = _apply(matrix, np.stack([x, y], -1).astype(float))
  if depth.min() <= 0:
    return None
  low = np.maximum(np.floor(corners.min(0)).astype(int) - 1, 0)
  high = np.minimum(np.ceil(corners.max(0)).astype(int) + 1, size)
  if (low >= high).any():
    return None
  return render.Window(*low.tolist(), *high.tolist())


def _cut_out(
  image: UInt8[np.ndarray, "240 320 3"], on_person: Bool[np.ndarray, "240 320"]
) -> Float[np.ndarray, "240 320 4"]:
  """RGB times alpha, and alpha: soft, and without the old background's colours."""
  mask = on_person.astype(np.float32)
  inner = cv2.erode(mask, np.ones((3, 3), np.uint8))
  # The outline's colours are mixed with the old background's: take those from inside.
  weight = cv2.blur(inner, (5, 5))
  spread = (
    cv2.blur(image * inner[..., None], (5, 5)) / np.maximum(weight, 1e-6)[..., None]
  )
  outline = on_person & (inner == 0) & (weight > 1e-3)
  colour = np.where(outline[..., None], spread, image)
  alpha = mask * cv2.GaussianBlur(mask, (3, 3), 0, borderType=cv2.BORDER_REPLICATE)
  return np.append(colour * alpha[..., None], alpha[..., None], -1).astype(np.float32)


def _resample(
  image: Float[np.ndarray, "240 320 4"],
  pixels: Float[np.ndarray, "height width 2"],
  zoom: float,
) -> Float[np.ndarray, "height width 4"]:
  """Samples the image at `pixels`; zeros outside it."""
  if zoom < 1:  # Prevents aliasing.
    image = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
  scale = np.array(image.shape[1::-1]) / [info_files.WIDTH, info_files.HEIGHT]
  # OpenCV has the centre of pixel i at i, and we have it at i + 0.5.
  x, y = (pixels * scale - 0.5).astype(np.float32).transpose(2, 0, 1)
  return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
