"""Places the people of a video in a world with y up and the floor at 0.

The origin is on the floor beneath the camera, and the horizontal part of the camera's
viewing direction is -z: a person who faces the camera faces +z, as SMPL's body does at
rest.

With a camera that stands still, all people share one direction of gravity, one floor
and one scale. Positions across the viewing rays are much more certain than depth, so a
person is moved along the rays: first the whole path, so that everybody's feet are on
one floor, and then row by row (see `root_path`). Standing feet are then locked (see
`foot_lock`).

A camera that moves is not tracked: the motion is relative to it. Its tilt is taken out
by the gravity of each moment, its height is taken to be constant, and feet slide.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from mhmr_jax.body import host_joints, smpl
from mhmr_jax.geometry import vectors
from mhmr_jax.inference import contacts, foot_lock, gravity, root_path
from mhmr_jax.inference.foot_lock import Soles
from mhmr_jax.inference.seen_motion import ANKLES, TOES, SeenMotion
from mhmr_jax.runtime.batching import blocks

# m; a person's feet that are higher above the common floor stand on something else.
_RAISED = 0.3
# How uncertain a person's distance is, as a share of it, against the height of the
# feet, m; and the most by which it is changed.
_DISTANCE, _HEIGHT, _MOST = 0.1, 0.03, 0.25
# The floor is where the lowest feet stand: m above the lowest twentieth.
_ONE_FLOOR, _LOWEST = 0.2, 5
# The standard deviation of the Gaussian mean of a moving camera's gravity, s.
_TILT_SECONDS = 0.5
_LEAST_FORWARD = 1e-3
_LEGS = np.array(foot_lock.LEGS)
_ROWS = 256  # Rows that are computed at once, to save memory.


class WorldMotion(NamedTuple):
  """One person's motion in the world; the fields are those of `schema.Motion`."""

  pose_world: Float[np.ndarray, "N 24 3"]
  transl_world: Float[np.ndarray, "N 3"]
  joints_world: Float[np.ndarray, "N 24 3"]
  contacts: Float[np.ndarray, "N 2"]
  gravity_camera: Float[np.ndarray, "N 3"]


class _Person(NamedTuple):
  """A person along the world's axes; the camera is the origin."""

  times: Float[np.ndarray, "N"]
  betas: Float[np.ndarray, "N 10"]
  pose: Float[np.ndarray, "N 24 3"]  # Axis-angle; entry 0 is in the world.
  pelvis: Float[np.ndarray, "N 3"]
  joints: Float[np.ndarray, "N 24 3"]  # Relative to the pelvis.
  contacts: Float[np.ndarray, "N 2"]
  soles: Soles
  root: Float[np.ndarray, "N 3"]  # The pelvis of the rest pose.
  down: Float[np.ndarray, "N 3"]  # In the camera frame.


class _Level(NamedTuple):
  """Where a person's feet stand, and how high the pelvis is then; metres."""

  floor: float
  pelvis: float
  weight: float


def place(
  people: Sequence[SeenMotion], body: smpl.SmplModel, camera_motion: str = "static"
) -> list[WorldMotion]:
  """Places all people of a video in one world.

  Args:
    people: at least one, in the camera frame.
    body: the body whose shape their betas are.
    camera_motion: "static", or "moving" for paths relative to the camera.
  """
  if camera_motion == "moving":
    turns = _moving_turns(people)
  else:
    down = _levelled(gravity.direction(people), people, body)
    turns = [_constant(down, person) for person in people]
  placed = [_turn(*pair, body) for pair in zip(people, turns, strict=True)]
  levels = [_level(person) for person in placed]
  floor = _common_floor(levels)
  if camera_motion == "moving":
    placed = [
      person._replace(pelvis=person.pelvis - [0, floor, 0]) for person in placed
    ]
    return [_motion(person, body) for person in placed]
  placed = [
    _onto_floor(person, level, floor)
    for person, level in zip(placed, levels, strict=True)
  ]
  return [_settled(person, floor, body) for person in placed]


def world_from_camera(
  down: Float[np.ndarray, "*batch 3"],
) -> Float[np.ndarray, "*batch 3 3"]:
  """The rotation to the world of a camera, given the unit vector down in its frame.

  If the camera looks straight down (up), the upper (lower) edge of its image points to
  the world's -z.
  """
  up = -down
  forward = np.broadcast_to([0.0, 0.0, 1.0], down.shape)
  level = forward - np.sum(forward * up, axis=-1, keepdims=True) * up
  vertical = np.linalg.norm(level, axis=-1, keepdims=True) < _LEAST_FORWARD
  edge = np.broadcast_to([0.0, -1.0, 0.0], down.shape) * np.sign(down[..., 2:])
  edge = edge - np.sum(edge * up, axis=-1, keepdims=True) * up
  back = -vectors.unit(np.where(vertical, edge, level))
  return np.stack([np.cross(up, back), up, back], axis=-2)


def _levelled(
  down: Float[np.ndarray, "3"], people: Sequence[SeenMotion], body: smpl.SmplModel
) -> Float[np.ndarray, "3"]:
  """Corrects the direction down by the floor that people walk over."""
  placed = [_turn(person, _constant(down, person), body) for person in people]
  toes = [one.pelvis[:, None] + one.joints[:, TOES] for one in placed]
  up = gravity.floor_normal(toes, [one.contacts > 0.5 for one in placed])
  return -up @ world_from_camera(down)


def _constant(
  down: Float[np.ndarray, "3"], person: SeenMotion
) -> Float[np.ndarray, "_ 3 3"]:
  """The rotation to the world in every row, of a camera that stands still."""
  return np.tile(world_from_camera(down), (len(person.times), 1, 1))


def _moving_turns(
  people: Sequence[SeenMotion],
) -> list[Float[np.ndarray, "_ 3 3"]]:
  """The camera's rotation to the world in each row, the same for all people."""
  times = np.concatenate([person.times for person in people])
  order = np.argsort(times, kind="stable")
  times = times[order]
  down = np.concatenate([person.gravity for person in people])[order]
  moments, first = np.unique(times, return_index=True)
  counts = np.diff(np.append(first, len(times)))[:, None]
  smooth = _gaussian_mean(np.add.reduceat(down, first) / counts, moments)
  return [
    world_from_camera(vectors.unit(_interpolated(person.times, moments, smooth)))
    for person in people
  ]


def _gaussian_mean(
  values: Float[np.ndarray, "N 3"], times: Float[np.ndarray, "N"]
) -> Float[np.ndarray, "N 3"]:
  """The mean around each row by time, over a grid whose cells may be empty."""
  step = _TILT_SECONDS / 10
  cell = np.round((times - times[0]) / step).astype(int)
  sums = np.zeros((cell[-1] + 1, 4))
  np.add.at(sums, cell, np.append(values, np.ones((len(values), 1)), axis=1))
  smooth = gaussian_filter1d(sums, _TILT_SECONDS / step, axis=0, mode="constant")
  return smooth[cell, :3] / smooth[cell, 3:]


def _interpolated(
  times: Float[np.ndarray, "N"],
  moments: Float[np.ndarray, "M"],
  values: Float[np.ndarray, "M 3"],
) -> Float[np.ndarray, "N 3"]:
  columns = [np.interp(times, moments, values[:, axis]) for axis in range(3)]
  return np.stack(columns, axis=1)


def _turn(
  seen: SeenMotion, turns: Float[np.ndarray, "N 3 3"], body: smpl.SmplModel
) -> _Person:
  """Turns a person to the world's axes."""
  pose = seen.pose.copy()
  own = Rotation.from_matrix(turns) * Rotation.from_rotvec(seen.pose[:, 0])
  pose[:, 0] = own.as_rotvec()
  pelvis = np.einsum("nij,nj->ni", turns, seen.joints_camera[:, 0].astype(np.float64))
  relative = seen.joints_camera - seen.joints_camera[:, :1]
  joints = relative @ np.swapaxes(turns, 1, 2).astype(np.float32)
  rest = np.asarray(body.joint_template)[0]
  probability = contacts.probability(
    seen.standing,
    pelvis[:, None] + joints[:, TOES],
    vectors.unit(pelvis),
    seen.times,
  )
  return _Person(
    times=seen.times.astype(np.float64),
    betas=seen.betas,
    pose=pose,
    pelvis=pelvis,
    joints=joints,
    contacts=probability,
    soles=soles(body, np.median(seen.betas, axis=0)),
    root=rest + seen.betas @ np.asarray(body.joint_shapedirs)[0].T,
    down=-turns[:, 1],
  )


def soles(body: smpl.SmplModel, betas: Float[np.ndarray, "10"]) -> Soles:
  """How high ankles and balls of the feet of the resting body are above its soles."""
  vertices = np.asarray(body.v_template) + np.asarray(body.shapedirs) @ betas
  joints = np.asarray(body.joint_template) + np.asarray(body.joint_shapedirs) @ betas
  lowest = vertices[:, 1].min()
  height = lambda chosen: float(joints[list(chosen), 1].mean() - lowest)
  return Soles(ankle=height(ANKLES), toe=height(TOES))


def _level(person: _Person) -> _Level:
  """The height of the lowest floor that the person's feet stand on.

  Where no foot ever stands, it is that of the lowest feet.
  """
  feet = person.pelvis[:, None, 1] + person.joints[:, TOES, 1] - person.soles.toe
  stands = person.contacts > 0.5
  if not stands.any():
    lowest = np.percentile(feet.min(axis=1), _LOWEST)
    return _Level(float(lowest), float(np.median(person.pelvis[:, 1])), 1e-3)
  heights = feet[stands]
  chosen = heights <= np.percentile(heights, _LOWEST) + _ONE_FLOOR
  floor = root_path.floor(
    person.times, person.contacts, feet, float(np.median(heights[chosen]))
  )
  pelvis = np.broadcast_to(person.pelvis[:, 1:2], feet.shape)[stands]
  return _Level(floor, float(np.median(pelvis[chosen])), stands.sum())


def _common_floor(levels: Sequence[_Level]) -> float:
  """The weighted median of the people's floors."""
  levels = sorted(levels, key=lambda level: level.floor)
  weight = np.cumsum([level.weight for level in levels])
  return levels[int(np.searchsorted(weight, weight[-1] / 2))].floor


def _onto_floor(person: _Person, level: _Level, floor: float) -> _Person:
  """Moves a person along the rays, and then up or down, to the common floor.

  A distance that is s times as large moves the floor by (s - 1) times the pelvis'
  height relative to the camera. s is a least-squares compromise between the distance
  and the height; the rest is moved vertically, except for people who stand on something
  higher.
  """
  off = floor - level.floor
  stiff = (_HEIGHT / _DISTANCE) ** 2
  change = np.clip(off * level.pelvis / (level.pelvis**2 + stiff), -_MOST, _MOST)
  off -= change * level.pelvis
  pelvis = person.pelvis * (1 + change)
  if off > -_RAISED:
    pelvis[:, 1] += off
  return person._replace(pelvis=pelvis)


def _settled(person: _Person, floor: float, body: smpl.SmplModel) -> WorldMotion:
  """Solves for the path and locks the feet; changes the arrays of `person`."""
  evidence = root_path.Evidence(
    times=person.times,
    measured=person.pelvis,
    toes=person.joints[:, TOES],
    contacts=person.contacts,
    toe_height=floor + person.soles.toe,
  )
  path = root_path.solve(evidence) - [0, floor, 0]
  del evidence
  rows, pose, joints = len(path), person.pose, person.joints
  joints += path[:, None].astype(np.float32)
  legs = np.empty((rows, *_LEGS.shape, 3, 3), np.float32)
  for at in blocks(rows, _ROWS):
    legs[at] = _matrices(pose[at][:, _LEGS])
  standing = foot_lock.Body(
    times=person.times,
    pelvis=Rotation.from_rotvec(person.pose[:, 0]).as_matrix(),
    legs=legs,
    joints=joints,
  )
  legs, shift = foot_lock.lock(standing, person.contacts, person.soles)
  del standing  # The rest takes memory, too.
  for at in blocks(rows, _ROWS):
    turned = Rotation.from_matrix(legs[at].reshape(-1, 3, 3)).as_rotvec()
    pose[at][:, _LEGS] = turned.reshape(-1, *_LEGS.shape, 3)
  return _motion(person._replace(pelvis=path + shift), body)


def _matrices(pose: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
  matrices = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix()
  return matrices.reshape(*pose.shape, 3)


def _motion(person: _Person, body: smpl.SmplModel) -> WorldMotion:
  transl = (person.pelvis - person.root).astype(np.float32)
  joints = np.empty((len(transl), 24, 3), np.float32)
  for at in blocks(len(transl), _ROWS):
    matrices = _matrices(person.pose[at])
    joints[at] = host_joints.bones(body, matrices, person.betas[at]).joints
    joints[at] += transl[at, None]
  return WorldMotion(
    pose_world=person.pose,
    transl_world=transl,
    joints_world=joints,
    contacts=person.contacts.astype(np.float32),
    gravity_camera=person.down.astype(np.float32),
  )
