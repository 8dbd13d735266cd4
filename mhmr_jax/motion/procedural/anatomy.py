"""Anatomical joint angles, and the kinematics of the mean body in them.

Procedural motion is written in these angles (radians), which may be interpolated and
mixed freely: hinges stay hinges, and the same angle has the same sense on both sides.
Positions are those of the mean body, x left, y up, z forward, the pelvis at the origin.
The frame of a side is that of the left; the right side is its mirror image.
"""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from mhmr_jax.body.joints import SMPL_JOINTS, SMPL_PARENTS
from mhmr_jax.motion.skeleton import rest_joints

# The angles of the middle: yaw, then pitch (forward) and roll (to the right) of the
# pelvis; forward bend, left turn and right lean of the spine and of the neck, which
# their joints share; and an additional rotation vector of each of these joints (spine1,
# spine2, spine3, neck, head).
YAW, PITCH, ROLL = 0, 1, 2
SPINE_BEND, SPINE_TURN, SPINE_LEAN = 3, 4, 5
NECK_BEND, NECK_TURN, NECK_LEAN = 6, 7, 8
SPINE, NECK = slice(3, 6), slice(6, 9)
BOW = slice(9, 24)
SPINE_BOW, NECK_BOW = slice(9, 18), slice(18, 24)
NUM_MIDDLE = 24

# The angles of a side. Shoulder and hip are rotation vectors from the middle of their
# range, far from the half-turn where rotation vectors jump.
COLLAR_UP, COLLAR_FORWARD = 0, 1
SHOULDER = slice(2, 5)
ELBOW, PRONATION = 5, 6
PALM_FLEXION, THUMB_DEVIATION = 7, 8
WRIST = slice(7, 9)
HIP = slice(9, 12)
KNEE = 12
ANKLE_UP, SOLE_INWARD = 13, 14
ANKLE = slice(13, 15)
TOES_UP = 15
NUM_SIDE = 16
NUM_ANGLES = NUM_MIDDLE + 2 * NUM_SIDE

_MIRROR = np.array([1.0, -1.0, -1.0])  # Mirrors a rotation vector in the plane x = 0.
_SIDE_JOINTS = {
  name: np.array([SMPL_JOINTS.index(f"{side}_{name}") for side in ("left", "right")])
  for name in ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
}
_SPINE_JOINTS = [SMPL_JOINTS.index(f"spine{i}") for i in (1, 2, 3)]
_NECK_JOINTS = [SMPL_JOINTS.index(name) for name in ("neck", "head")]
_SPINE_SHARE = np.array([0.3, 0.4, 0.3])[:, None]
_NECK_SHARE = np.array([0.55, 0.45])[:, None]
# Forearms bend forward and a little upward from the T-pose.
ELBOW_HINGE = np.array([0.0, -np.cos(0.35), np.sin(0.35)])
KNEE_HINGE = np.array([1.0, 0.0, 0.0])


def rotation(vector: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
  """Rodrigues' formula."""
  square = np.einsum("...i,...i->...", vector, vector)
  angle = np.sqrt(np.maximum(square, 1e-12))
  sine = np.sin(angle) / angle
  versine = (1 - np.cos(angle)) / np.maximum(square, 1e-12)
  x, y, z = vector[..., 0], vector[..., 1], vector[..., 2]
  matrix = versine[..., None, None] * (vector[..., :, None] * vector[..., None, :])
  diagonal = 1 - versine * square
  for i in range(3):
    matrix[..., i, i] += diagonal
  for i, j, part in ((2, 1, x), (0, 2, y), (1, 0, z)):
    part = sine * part
    matrix[..., i, j] += part
    matrix[..., j, i] -= part
  return matrix


def rotation_vector(
  matrix: Float[np.ndarray, "*batch 3 3"],
) -> Float[np.ndarray, "*batch 3"]:
  """The inverse of `rotation`, at most a half-turn."""
  flat = Rotation.from_matrix(matrix.reshape(-1, 3, 3)).as_rotvec()
  return flat.reshape(matrix.shape[:-1])


# From the T-pose: arm forward, outward and down; thigh half-way up.
_SHOULDER_MIDDLE = rotation(np.radians([-45.0, 0, 0])) @ rotation(
  np.radians([0, 0, -60.0])
)
_HIP_MIDDLE = rotation(np.radians([-50.0, 0, 0]))


def sides(
  angles: Float[np.ndarray, "*batch angles"],
) -> Float[np.ndarray, "*batch 2 16"]:
  """A view of the left and the right side's angles."""
  return angles[..., NUM_MIDDLE:].reshape(*angles.shape[:-1], 2, NUM_SIDE)


def shoulder_angles(
  matrix: Float[np.ndarray, "*batch 3 3"],
) -> Float[np.ndarray, "*batch 3"]:
  """The angles of a shoulder's rotation from the T-pose, in the side's own frame."""
  return rotation_vector(matrix @ _SHOULDER_MIDDLE.T)


def hip_angles(
  matrix: Float[np.ndarray, "*batch 3 3"],
) -> Float[np.ndarray, "*batch 3"]:
  """The angles of a hip's rotation from the T-pose, in the side's own frame."""
  return rotation_vector(matrix @ _HIP_MIDDLE.T)


def mirror(
  matrix: Float[np.ndarray, "*batch 2 3 3"],
) -> Float[np.ndarray, "*batch 2 3 3"]:
  """Takes rotations between the body's frame and the two sides' own frames."""
  matrix = matrix.copy()
  matrix[..., 1, :, :] *= np.outer((-1, 1, 1), (-1, 1, 1))
  return matrix


def pelvis_rotation(
  angles: Float[np.ndarray, "*batch angles"],
) -> Float[np.ndarray, "*batch 3 3"]:
  """The pelvis's rotation in the upright frame, which turns with the yaw."""
  tilt = np.zeros((*angles.shape[:-1], 3))
  tilt[..., 0] = angles[..., PITCH]
  tilt[..., 2] = angles[..., ROLL]
  return rotation(tilt)


def local_rotations(
  angles: Float[np.ndarray, "*batch angles"],
) -> Float[np.ndarray, "*batch 24 3 3"]:
  """Each SMPL joint's rotation from its parent."""
  batch = angles.shape[:-1]
  first = np.zeros((*batch, 24, 3))
  first[..., 0, 0] = angles[..., PITCH]
  first[..., 0, 2] = angles[..., ROLL]
  bow = angles[..., BOW].reshape(*batch, 5, 3)
  first[..., _SPINE_JOINTS, :] = angles[..., None, SPINE] * _SPINE_SHARE
  first[..., _NECK_JOINTS, :] = angles[..., None, NECK] * _NECK_SHARE
  first[..., _SPINE_JOINTS + _NECK_JOINTS, :] += bow
  side = sides(angles)
  own = {name: np.zeros((*batch, 2, 3)) for name in _SIDE_JOINTS}
  own["collar"][..., 2] = side[..., COLLAR_UP]
  own["collar"][..., 1] = -side[..., COLLAR_FORWARD]
  own["shoulder"] = side[..., SHOULDER]
  own["elbow"] = side[..., ELBOW, None] * ELBOW_HINGE
  own["wrist"][..., 2] = -side[..., PALM_FLEXION]
  own["wrist"][..., 1] = -side[..., THUMB_DEVIATION]
  own["hip"] = side[..., HIP]
  own["knee"][..., 0] = side[..., KNEE]
  own["ankle"][..., 0] = -side[..., ANKLE_UP]
  own["ankle"][..., 2] = side[..., SOLE_INWARD]
  own["foot"][..., 0] = -side[..., TOES_UP]
  for name, joints in _SIDE_JOINTS.items():
    vector = own[name].copy()
    vector[..., 1, :] *= _MIRROR
    first[..., joints, :] = vector
  matrices = rotation(first)
  turn = np.zeros((*batch, 3, 3))
  _fill_turn(turn, angles[..., YAW], 1)
  matrices[..., 0, :, :] = turn @ matrices[..., 0, :, :]
  _apply_middles(matrices)
  # Half of the forearm's twist is in the elbow, half in the wrist.
  twist = np.zeros((*batch, 2, 3, 3))
  _fill_turn(twist, side[..., PRONATION] / 2, 0)
  elbow, wrist = _SIDE_JOINTS["elbow"], _SIDE_JOINTS["wrist"]
  matrices[..., elbow, :, :] = matrices[..., elbow, :, :] @ twist
  matrices[..., wrist, :, :] = twist @ matrices[..., wrist, :, :]
  return matrices


def _fill_turn(
  matrix: Float[np.ndarray, "*batch 3 3"], angle: np.ndarray, axis: int
) -> None:
  """Writes the rotations about one axis into zeros."""
  i, j = (axis + 1) % 3, (axis + 2) % 3
  matrix[..., axis, axis] = 1
  matrix[..., i, i] = matrix[..., j, j] = np.cos(angle)
  matrix[..., j, i] = np.sin(angle)
  matrix[..., i, j] = -matrix[..., j, i]


def _apply_middles(matrices: Float[np.ndarray, "*batch 24 3 3"]) -> None:
  for name, middle in (("shoulder", _SHOULDER_MIDDLE), ("hip", _HIP_MIDDLE)):
    both = mirror(np.stack([middle, middle]))
    joints = _SIDE_JOINTS[name]
    matrices[..., joints, :, :] = matrices[..., joints, :, :] @ both


@functools.cache
def _levels() -> list[
  tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"], Float[np.ndarray, "n 3"]]
]:
  """The joints of each level of the tree, their parents and their offsets from them."""
  depth = np.zeros(24, int)
  for joint in range(1, 24):
    depth[joint] = depth[SMPL_PARENTS[joint]] + 1
  rest = rest_joints()
  levels = []
  for level in range(1, depth.max() + 1):
    joints = np.flatnonzero(depth == level)
    parents = np.array(SMPL_PARENTS)[joints]
    levels.append((joints, parents, rest[joints] - rest[parents]))
  return levels


def forward_kinematics(
  local: Float[np.ndarray, "*batch 24 3 3"],
) -> tuple[Float[np.ndarray, "*batch 24 3"], Float[np.ndarray, "*batch 24 3 3"]]:
  """Joint positions relative to the pelvis, metres, and world rotations."""
  world = local.copy()
  points = np.zeros(local.shape[:-1])
  for joints, parents, offsets in _levels():
    above = world[..., parents, :, :]
    world[..., joints, :, :] = above @ local[..., joints, :, :]
    moved = np.einsum("...jab,jb->...ja", above, offsets)
    points[..., joints, :] = points[..., parents, :] + moved
  return points, world


class Limb(NamedTuple):
  """A left limb of two bones: hip, knee, ankle, or shoulder, elbow, wrist.

  Attributes:
    start: position of the first joint in the rest pose.
    upper: from the first to the middle joint in the rest pose.
    lower: from the middle to the last joint in the rest pose.
    hinge: axis of the middle joint.
    pole: the direction in which the middle joint moves when it bends.
  """

  start: Float[np.ndarray, "3"]
  upper: Float[np.ndarray, "3"]
  lower: Float[np.ndarray, "3"]
  hinge: Float[np.ndarray, "3"]
  pole: Float[np.ndarray, "3"]


@functools.cache
def _limb(first: str, middle: str, last: str) -> Limb:
  rest = rest_joints()
  start, centre, end = (rest[_SIDE_JOINTS[name][0]] for name in (first, middle, last))
  hinge = KNEE_HINGE if middle == "knee" else ELBOW_HINGE
  pole = -np.cross(hinge, end - start)
  return Limb(start, centre - start, end - centre, hinge, pole)


def leg() -> Limb:
  """The left leg: hip, knee and ankle."""
  return _limb("hip", "knee", "ankle")


def arm() -> Limb:
  """The left arm: shoulder, elbow and wrist."""
  return _limb("shoulder", "elbow", "wrist")


def reach(
  limb: Limb, target: Float[np.ndarray, "*batch 3"], pole: Float[np.ndarray, "*batch 3"]
) -> tuple[Float[np.ndarray, "*batch 3 3"], Float[np.ndarray, "*batch"]]:
  """Two-bone inverse kinematics: the upper joint's rotation and the hinge's angle.

  Args:
    limb: the limb, in the rest pose.
    target: where its end should be, relative to its start; one out of reach is pulled
      in.
    pole: the direction in which the middle joint should bend.
  """
  upper, lower, hinge = limb.upper, limb.lower, limb.hinge
  along = (upper @ hinge) * (lower @ hinge)
  cosine, sine = upper @ lower - along, upper @ np.cross(hinge, lower)
  distance = np.sqrt(np.einsum("...i,...i->...", target, target))
  wanted = (distance**2 - upper @ upper - lower @ lower) / 2 - along
  wanted = np.clip(wanted / np.hypot(cosine, sine), -0.97, 0.9999)
  bend = np.arctan2(sine, cosine) + np.arccos(wanted)
  turned = rotation(bend[..., None] * hinge) @ lower
  rest = _frame(upper + turned, np.broadcast_to(limb.pole, turned.shape))
  return _frame(target, pole) @ np.swapaxes(rest, -1, -2), bend


def _frame(
  along: Float[np.ndarray, "*batch 3"], pole: Float[np.ndarray, "*batch 3"]
) -> Float[np.ndarray, "*batch 3 3"]:
  """Right-handed axes: x along the first vector, y as near the second as possible."""
  x = along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
  z = np.cross(x, pole)
  z = z / np.maximum(np.linalg.norm(z, axis=-1, keepdims=True), 1e-9)
  return np.stack([x, np.cross(z, x), z], axis=-1)


@functools.cache
def collar_bone() -> Float[np.ndarray, "3"]:
  """The offset of the left shoulder from the left collar in the rest pose, metres."""
  rest = rest_joints()
  return (
    rest[SMPL_JOINTS.index("left_shoulder")] - rest[SMPL_JOINTS.index("left_collar")]
  )


@functools.cache
def shoulders_from_chest() -> Float[np.ndarray, "2 3"]:
  """The offsets of both shoulders from spine3 in the rest pose, metres."""
  rest = rest_joints()
  return rest[_SIDE_JOINTS["shoulder"]] - rest[SMPL_JOINTS.index("spine3")]
