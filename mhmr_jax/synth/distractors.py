"""Other people, who walk about behind the person that a clip is about."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.spatial.transform import Rotation

from mhmr_jax.motion.library import MotionSource
from mhmr_jax.motion.pose_sequence import PoseSequence
from mhmr_jax.synth import appearance, camera, people, skinning

Rng = np.random.Generator

_CELL = 0.045  # Metres of a coarse body's detail: a pixel or two of someone far away.
_COUNTS = (0.5, 0.3, 0.15, 0.05)  # Chances of 0, 1, … other people.
_FARTHER = (1.5, 3.5)  # Than the person, times.
_CLEARANCE = 0.7  # Metres that they stay behind the person at all times.


def simplify(body: skinning.Body) -> skinning.Body:
  """A body with fewer vertices: those of one part and one cell of a grid are merged."""
  cells = np.floor(body.v_template / _CELL).astype(int)
  keys = np.column_stack([body.part, cells])
  _, group = np.unique(keys, axis=0, return_inverse=True)
  group = group.ravel()
  size = np.bincount(group)
  count = len(size)
  mean = sparse.csr_array(
    (1 / size[group].astype(np.float32), (group, np.arange(len(group)))),
    shape=(count, len(group)),
  )
  spread = sparse.csr_array(
    (np.ones(len(group), np.float32), (np.arange(len(group)), group)),
    shape=(len(group), count),
  )

  def merged(values: np.ndarray) -> np.ndarray:
    flat = mean @ values.reshape(len(values), -1)
    return flat.reshape(count, *values.shape[1:]).astype(np.float32)

  return dataclasses.replace(
    body,
    v_template=merged(body.v_template),
    shapedirs=merged(body.shapedirs),
    posedirs=merged(body.posedirs),
    weights=merged(body.weights),
    faces=_faces(body.faces, group),
    keypoint_regressor=sparse.csr_array(body.keypoint_regressor @ spread),
  )


def _faces(
  faces: Int[np.ndarray, "F 3"], group: Int[np.ndarray, "V"]
) -> Int[np.ndarray, "f 3"]:
  """Those triangles that still have three corners, each once."""
  merged = group[faces]
  a, b, c = merged.T
  merged = merged[(a != b) & (b != c) & (c != a)]
  # One order for all that have the same corners and face the same way.
  first = merged.argmin(1)
  rolled = merged[np.arange(len(merged))[:, None], (first[:, None] + [0, 1, 2]) % 3]
  return np.unique(rolled, axis=0).astype(np.int32)


def film(
  rng: Rng,
  actor: people.Actor,
  motions: MotionSource,
  split: str,
  person: people.Person,
  size: int,
  style: appearance.Style,
) -> list[list[people.Layer | None]]:
  """Layers of the other people of a clip, the farthest first.

  Args:
    rng: the stream that they come from.
    actor: a body, best a simple one.
    motions: what they do.
    split: whose motions.
    person: whom they stay behind.
    size: of the frame.
    style: of their clothes.
  """
  count = rng.choice(len(_COUNTS), p=_COUNTS)
  farther = np.sort(rng.uniform(*_FARTHER, count))[::-1]
  frames = len(person.layers)
  ground = _ground(person)
  tracks = []
  for depth in farther * person.distance:
    motion = motions.sample(rng, split, frames)
    column = rng.uniform(-0.05, 1.05) * size
    turn = Rotation.from_rotvec([0, rng.uniform(0, 2 * np.pi), 0])
    placed = _place(motion, turn, person, column, depth, ground)
    tracks.append(actor.extra(rng, placed, person, size, style))
  return tracks


def _ground(person: people.Person) -> float:
  """Height of the lowest joint in the world of the person's camera."""
  in_world = _to_world(person.camera, person.joints_camera)
  return float(np.quantile(in_world[..., 1].min(1), 0.1))


def _to_world(
  path: camera.CameraPath, points: Float[np.ndarray, "time n 3"]
) -> Float[np.ndarray, "time n 3"]:
  return (points - path.t_wc[:, None]) @ path.R_wc


def _place(
  motion: PoseSequence,
  turn: Rotation,
  person: people.Person,
  column: float,
  depth: float,
  ground: float,
) -> PoseSequence:
  """The motion, turned about the vertical and moved to its place in the world.

  Args:
    motion: on a ground at height 0.
    turn: about the vertical.
    person: before whom the camera stands.
    column: pixels; where its middle frame is seen.
    depth: metres before the camera at that frame.
    ground: height that the person stands at.
  """
  path = person.camera
  middle = len(path.R_wc) // 2
  eye = -path.R_wc[middle].T @ path.t_wc[middle]
  right, _, forward = path.R_wc[middle].astype(np.float64)
  ahead = _level(forward)
  aside = (column - path.intrinsics[0, 2]) / path.intrinsics[0, 0] * depth
  start = eye + ahead * depth + _level(right) * aside
  way = turn.apply(motion.transl - motion.transl[middle] * [1, 0, 1])
  where = way + np.array([start[0], ground, start[2]])
  # Whoever would come too near does so farther away.
  gap = _depths(path, where) - person.joints_camera[:, 0, 2]
  where += ahead * max(0.0, _CLEARANCE - float(gap.min()))
  pose = np.array(motion.pose, np.float32)
  pose[:, 0] = (turn * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
  return PoseSequence(pose, where.astype(np.float32), motion.fps)


def _level(direction: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
  level = direction * [1, 0, 1]
  return level / max(float(np.linalg.norm(level)), 1e-6)


def _depths(
  path: camera.CameraPath, points: Float[np.ndarray, "time 3"]
) -> Float[np.ndarray, "time"]:
  return path.to_camera(points[:, None].astype(np.float32))[:, 0, 2]
