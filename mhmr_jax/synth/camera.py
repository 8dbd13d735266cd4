"""Camera paths that follow a moving person: tripod, pan, walk, orbit, hand-held."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import ndimage
from scipy.spatial.transform import Rotation

from mhmr_jax.geometry import pinhole

Rng = np.random.Generator

# How far a camera may turn within a clip: the background is a plane, which would be
# seen edge-on beyond this angle.
_MAX_TURN = np.radians(30)
_MIN_DEPTH = 0.6  # Metres.
_ATTEMPTS = 12


class CameraPath(NamedTuple):
  """A camera's pose in every frame; the world's y is up, the camera's y is down."""

  R_wc: Float[np.ndarray, "time 3 3"]  # World to camera.
  t_wc: Float[np.ndarray, "time 3"]
  intrinsics: Float[np.ndarray, "3 3"]

  def to_camera(
    self, points_world: Float[np.ndarray, "time n 3"]
  ) -> Float[np.ndarray, "time n 3"]:
    """Transforms each frame's points from the world's frame to the camera's."""
    moved = self.R_wc @ points_world.transpose(0, 2, 1)
    moved += self.t_wc[:, :, None]
    return moved.transpose(0, 2, 1)

  def plane_motion(self, depth: float) -> Float[np.ndarray, "time 3 3"]:
    """Homographies of a plane, from pixels of the middle frame to those of each frame.

    The plane faces the middle frame's camera at the depth d (metres). Its homographies
    are K (R + t n^T / d) K^-1, with n = [0, 0, 1] and [R | t] relative to that camera.
    """
    K = self.intrinsics.astype(np.float64)
    middle = len(self.R_wc) // 2
    R = self.R_wc.astype(np.float64) @ self.R_wc[middle].T
    t = self.t_wc - np.einsum("tij,j->ti", R, self.t_wc[middle])
    plane = R + t[:, :, None] * np.array([0, 0, 1 / depth])
    return K @ plane @ np.linalg.inv(K)


@dataclasses.dataclass
class Shot:
  """A camera operator's choices; by default the camera follows the person exactly."""

  focal: float  # Pixels.
  fill: float  # The person's height over the frame's, at the middle frame.
  azimuth: float  # Radians around the person, from the world's +z.
  elevation: float  # Radians above the person.
  smoothing: float  # Seconds: standard deviation that the person's path is smoothed by.
  pan: float = 1.0  # Share of the smoothed path that the lens turns to follow.
  walk: float = 1.0  # Share of the smoothed path that the camera moves along.
  orbit: float = 0.0  # Radians a second around the person.
  dolly: float = 0.0  # Change of the distance's logarithm, a second.
  # The person's place relative to the frame's middle, in frame widths, and its change a
  # second.
  offset: Float[np.ndarray, "2"] = dataclasses.field(
    default_factory=lambda: np.zeros(2)
  )
  drift: Float[np.ndarray, "2"] = dataclasses.field(default_factory=lambda: np.zeros(2))
  roll: float = 0.0  # Radians.
  shake: float = 0.0  # Radians: standard deviation of the hand's unrest.


def sample(
  rng: Rng,
  points_world: Float[np.ndarray, "time n 3"],
  size: int,
  fps: float,
  shots: Callable[[Rng, int], Shot] | None = None,
) -> CameraPath:
  """Draws a camera path that keeps most of a person in the frame most of the time.

  Args:
    rng: the random stream to draw from.
    points_world: points all over the person, metres.
    size: pixels of the square frame's side.
    fps: frames a second.
    shots: draws a shot for a stream and a size; None means `sample_shot`.
  """
  shots = shots or sample_shot
  for _ in range(_ATTEMPTS):
    shot = shots(rng, size)
    path = _film(rng, shot, points_world, size, fps)
    if _is_good(path, points_world, size):
      return path
  safe = Shot(shot.focal, 0.6, shot.azimuth, min(shot.elevation, 0.4), shot.smoothing)
  return _film(rng, safe, points_world, size, fps)


def hold_still(
  path: CameraPath, points_world: Float[np.ndarray, "time n 3"], size: int
) -> CameraPath:
  """Replaces a moving camera by the still one of its middle frame.

  The still camera is moved back until it keeps the person in the frame.

  Args:
    path: the moving camera.
    points_world: points all over the person, metres.
    size: pixels of the square frame's side.
  """
  frames = len(path.R_wc)
  R = np.repeat(path.R_wc[frames // 2][None], frames, 0)
  t = np.repeat(path.t_wc[frames // 2][None], frames, 0)
  still = CameraPath(R, t, path.intrinsics)
  back = 0.1 * float(np.median(still.to_camera(points_world)[..., 2]))
  for _ in range(_ATTEMPTS):
    if _is_good(still, points_world, size):
      break
    still.t_wc[:, 2] += back
    back *= 1.3
  return still


def sample_shot(rng: Rng, size: int) -> Shot:
  """Draws the usual camera work, from a locked tripod to a shaky hand."""
  elevation = rng.choice(
    [rng.normal(3, 8), rng.uniform(-25, 20), rng.uniform(20, 60)], p=[0.6, 0.25, 0.15]
  )
  # In a few shots the person is taller than the frame.
  fill = rng.uniform(0.35, 0.95) if rng.random() < 0.88 else rng.uniform(0.95, 1.4)
  shot = Shot(
    focal=size * np.exp(rng.uniform(np.log(0.9), np.log(2.5))),
    fill=fill,
    azimuth=rng.uniform(0, 2 * np.pi),
    elevation=np.radians(elevation),
    smoothing=rng.uniform(0.15, 0.8),
    pan=rng.choice([0.0, rng.uniform(0.4, 1.1), 1.0]),
    walk=rng.choice([0.0, rng.uniform(0.3, 1.0), 1.0], p=[0.6, 0.2, 0.2]),
    offset=rng.uniform(-0.5, 0.5, 2) * max(0.12, 1 - fill),
    roll=np.radians(rng.normal(0, 2.5 if rng.random() < 0.9 else 12)),
  )
  if rng.random() < 0.25:  # A locked tripod.
    return dataclasses.replace(shot, pan=0.0, walk=0.0)
  if rng.random() < 0.4:
    shot.orbit = np.radians(rng.normal(0, 12))
  if rng.random() < 0.4:
    shot.dolly = rng.normal(0, 0.15)
  if rng.random() < 0.3:
    shot.drift = rng.normal(0, 0.15, 2)
  if rng.random() < 0.75:
    shot.shake = np.radians(np.exp(rng.normal(np.log(0.25), 0.9)))
  return shot


def _film(
  rng: Rng, shot: Shot, points_world: np.ndarray, size: int, fps: float
) -> CameraPath:
  """The path of a camera that carries out a shot."""
  frames = len(points_world)
  middle = frames // 2
  seconds = (np.arange(frames) - middle) / fps
  intrinsics = np.diag([shot.focal, shot.focal, 1.0])
  intrinsics[:2, 2] = size / 2
  centre = (points_world.min(1) + points_world.max(1)) / 2
  path = ndimage.gaussian_filter1d(centre, shot.smoothing * fps, 0, mode="nearest")
  path -= path[middle]
  towards = _direction(shot.azimuth + shot.orbit * seconds, shot.elevation)
  distance = _distance(
    points_world[middle] - centre[middle], towards[middle], shot.focal / size, shot.fill
  ) * np.exp(np.clip(shot.dolly * seconds, -0.4, 0.4))
  eye = centre[middle] + shot.walk * path + towards * distance[:, None]
  target = centre[middle] + shot.pan * path
  R_wc = _look_at(target - eye)
  # A turn to the right, about the camera's y, moves the person to the left.
  shift = (shot.offset + seconds[:, None] * shot.drift) * (size / shot.focal)
  turn = np.stack([shift[:, 1], -shift[:, 0], np.full(frames, shot.roll)], -1)
  turn += shot.shake * unrest(rng, frames, fps)
  eye += 0.6 * shot.shake * unrest(rng, frames, fps)
  R_wc = Rotation.from_rotvec(-turn).as_matrix() @ R_wc
  t_wc = -np.einsum("tij,tj->ti", R_wc, eye)
  return CameraPath(
    R_wc.astype(np.float32), t_wc.astype(np.float32), intrinsics.astype(np.float32)
  )


def _is_good(path: CameraPath, points_world: np.ndarray, size: int) -> bool:
  points = path.to_camera(points_world)
  if points[..., 2].min() < _MIN_DEPTH:
    return False
  pixels = pinhole.project(points, path.intrinsics)
  inside = ((pixels > 0) & (pixels < size)).all(-1).mean(1)
  axis = path.R_wc[:, 2]
  turn = np.arccos(np.clip(axis @ axis[len(axis) // 2], -1, 1)).max()
  return bool(np.quantile(inside, 0.1) > 0.45 and turn < _MAX_TURN)


def _direction(
  azimuth: Float[np.ndarray, "time"], elevation: float
) -> Float[np.ndarray, "time 3"]:
  """Unit vectors from the person to the camera."""
  level = np.stack([np.sin(azimuth), np.zeros_like(azimuth), np.cos(azimuth)], -1)
  return level * np.cos(elevation) + np.array([0, np.sin(elevation), 0])


def _look_at(direction: Float[np.ndarray, "time 3"]) -> Float[np.ndarray, "time 3 3"]:
  """World-to-camera rotations of upright cameras that look along `direction`."""
  forward = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
  right = np.cross(forward, [0.0, 1.0, 0.0])
  right /= np.linalg.norm(right, axis=-1, keepdims=True)
  return np.stack([right, np.cross(forward, right), forward], 1)


def _distance(
  points: Float[np.ndarray, "n 3"],
  towards: Float[np.ndarray, "3"],
  focal: float,
  fill: float,
) -> float:
  """The camera's distance at which the points fill the given part of the frame.

  What counts is the larger of their height and 0.7 times their width. Perspective
  makes the equation implicit; a few fixed-point iterations solve it to a percent.

  Args:
    points: metres, in world axes, relative to the point that the camera looks at.
    towards: unit vector from that point to the camera.
    focal: focal length in frame widths.
    fill: size of the points in the image, in frame widths.
  """
  in_camera = points @ _look_at(-towards[None])[0].T
  distance = 3.0
  for _ in range(6):
    depth = np.maximum(in_camera[:, 2:] + distance, 0.3)
    extent = np.ptp(in_camera[:, :2] / depth, axis=0) * focal
    distance *= max(extent[1], 0.7 * extent[0]) / fill
  return float(distance)


def unrest(rng: Rng, frames: int, fps: float) -> Float[np.ndarray, "time 3"]:
  """Smooth noise of about unit deviation: a hand's slow sway and its fast tremor."""
  total = np.zeros((frames, 3))
  for period, size in ((0.6, 1.0), (0.15, 0.3), (0.06, 0.1)):
    sigma = period / 2 * fps
    # Noise beyond both ends keeps the ends as lively as the middle.
    margin = int(3 * sigma) + 1
    noise = rng.standard_normal((frames + 2 * margin, 3))
    smooth = ndimage.gaussian_filter1d(noise, sigma, axis=0)[margin:-margin]
    # The root restores the standard deviation, which the filter has reduced.
    total += size * smooth * np.sqrt(2 * np.sqrt(np.pi) * max(sigma, 0.3))
  return total
