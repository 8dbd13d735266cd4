"""The other people of a clip, who walk about behind its person."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.spatial.transform import Rotation

from mhmr_jax.motion.library import MotionSource
from mhmr_jax.motion.pose_sequence import PoseSequence
from mhmr_jax.synth import appearance, camera, people, skinning

Rng = np.random.Generator

_CELL = 0.045  # Metres: a pixel or two on people that far away.
_COUNTS = (0.5, 0.3, 0.15, 0.05)  # Probabilities of 0, 1, 2 and 3 other people.
_FARTHER = (1.5, 3.5)  # Times the person's distance.
_CLEARANCE = 0.7  # Metres: they stay so far behind the person at all times.


def simplify(body: skinning.Body) -> skinning.Body:
  """Merges all vertices of a body that share a body part and a cell of a grid."""
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
  """The triangles that still have three different corners, each once."""
  merged = group[faces]
  a, b, c = merged.T
  merged = merged[(a != b) & (b != c) & (c != a)]
  # Triangles with the same corners that face the same way get the same row.
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
  """Films the other people of a clip; returns their layers, the farthest first.

  Args:
    rng: the random stream to draw from.
    actor: a body, preferably a simplified one.
    motions: where their motions come from.
    split: the split whose motions they perform.
    person: the clip's person, behind whom they stay.
    size: pixels of the square frame's side.
    style: what their looks are drawn from.
  """
  count = rng.choice(len(_COUNTS), p=_COUNTS)
  farther = np.sort(rng.uniform(*_FARTHER, count))[::-1]
  frames = len(person.layers)
  ground = _ground(person)
  drawn = []
  for depth in farther * person.distance:
    motion = motions.sample(rng, split, frames)
    column = rng.uniform(-0.05, 1.05) * size
    turn = Rotation.from_rotvec([0, rng.uniform(0, 2 * np.pi), 0])
    placed = _place(motion, turn, person, column, depth, ground)
    drawn.append(actor.film_distractor(rng, placed, person, size, style))
  return drawn


def _ground(person: people.Person) -> float:
  """Height of the ground in the world, told from the person's lowest joint."""
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
  """Turns a motion about the vertical and moves it to its place in the world.

  Args:
    motion: on a ground at height 0.
    turn: rotation about the vertical.
    person: the clip's person, for the camera and its distance.
    column: where the middle frame projects to, in pixels from the left.
    depth: metres from the camera at the middle frame.
    ground: height of the ground in the world.
  """
  path = person.camera
  middle = len(path.R_wc) // 2
  eye = -path.R_wc[middle].T @ path.t_wc[middle]
  right, _, forward = path.R_wc[middle].astype(np.float64)
  ahead = _level(forward)
  aside = (column - path.intrinsics[0, 2]) / path.intrinsics[0, 0] * depth
  start = eye + ahead * depth + _level(right) * aside
  steps = turn.apply(motion.transl - motion.transl[middle] * [1, 0, 1])
  transl = steps + np.array([start[0], ground, start[2]])
  # A motion that would come too near to the camera is moved farther away.
  gap = _depths(path, transl) - person.joints_camera[:, 0, 2]
  transl += ahead * max(0.0, _CLEARANCE - float(gap.min()))
  pose = np.array(motion.pose, np.float32)
  pose[:, 0] = (turn * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
  return PoseSequence(pose, transl.astype(np.float32), motion.fps)


def _level(direction: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
  """The direction's horizontal part, at unit length."""
  level = direction * [1, 0, 1]
  return level / max(float(np.linalg.norm(level)), 1e-6)


def _depths(
  path: camera.CameraPath, points: Float[np.ndarray, "time 3"]
) -> Float[np.ndarray, "time"]:
  return path.to_camera(points[:, None].astype(np.float32))[:, 0, 2]
