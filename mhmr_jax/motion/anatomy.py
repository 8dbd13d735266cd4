"""Joint angles as anatomy names them, and the body they pose.

Procedural motion is written in these angles (radians), which may be interpolated and
mixed freely: hinges stay hinges, and both sides count the same way. Everything is of
the mean body, x left, y up, z forward, the pelvis at the origin; a side's own frame is
the left one, and the right side is its mirror image.
"""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from mhmr_jax.body.joints import SMPL_JOINTS, SMPL_PARENTS
from mhmr_jax.motion.skeleton import rest_joints

Array = np.ndarray

# The angles of the middle: yaw, then pitch (forward) and roll (to the right) of the
# pelvis; bending forward, turning left and leaning right of spine and neck, shared out
# over their joints; and what each of these (spine1, 2, 3, neck, head) bends besides.
YAW, PITCH, ROLL = 0, 1, 2
SPINE, NECK = slice(3, 6), slice(6, 9)
BOW = slice(9, 24)
NUM_MIDDLE = 24

# The angles of a side. Shoulder and hip are rotation vectors from a middling position,
# far from the half-turn where rotation vectors jump.
COLLAR = slice(0, 2)  # Up, forward.
SHOULDER = slice(2, 5)
ELBOW, PRONATION = 5, 6
WRIST = slice(7, 9)  # Palm flexion, deviation to the thumb.
HIP = slice(9, 12)
KNEE = 12
ANKLE = slice(13, 15)  # Toes up, sole inward.
TOES = 15  # Up.
NUM_SIDE = 16
NUM_ANGLES = NUM_MIDDLE + 2 * NUM_SIDE

_MIRROR = np.array([1.0, -1.0, -1.0])  # A rotation vector seen in a mirror across x.
_SIDE_JOINTS = {
  name: np.array([SMPL_JOINTS.index(f"{side}_{name}") for side in ("left", "right")])
  for name in ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
}
_SPINE_JOINTS = [SMPL_JOINTS.index(f"spine{i}") for i in (1, 2, 3)]
_NECK_JOINTS = [SMPL_JOINTS.index(name) for name in ("neck", "head")]
_SPINE_SHARE = np.array([0.3, 0.4, 0.3])[:, None]
_NECK_SHARE = np.array([0.55, 0.45])[:, None]
# Forearms bend forward, and a little up, from the T-pose's.
ELBOW_HINGE = np.array([0.0, -np.cos(0.35), np.sin(0.35)])
KNEE_HINGE = np.array([1.0, 0.0, 0.0])


def rotation(vector: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3 3"]:
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


def rotation_vector(matrix: Float[Array, "*batch 3 3"]) -> Float[Array, "*batch 3"]:
  """The inverse of `rotation`, at most a half-turn."""
  flat = Rotation.from_matrix(matrix.reshape(-1, 3, 3)).as_rotvec()
  return flat.reshape(matrix.shape[:-1])


# From the T-pose: arm forward, outward and down; thigh half-way up.
_SHOULDER_MIDDLE = rotation(np.radians([-45.0, 0, 0])) @ rotation(
  np.radians([0, 0, -60.0])
)
_HIP_MIDDLE = rotation(np.radians([-50.0, 0, 0]))


def sides(angles: Float[Array, "*batch angles"]) -> Float[Array, "*batch 2 16"]:
  """A view of the left and the right side's angles."""
  return angles[..., NUM_MIDDLE:].reshape(*angles.shape[:-1], 2, NUM_SIDE)


def shoulder_angles(matrix: Float[Array, "*batch 3 3"]) -> Float[Array, "*batch 3"]:
  """The angles of a shoulder's rotation from the T-pose, in the side's own frame."""
  return rotation_vector(matrix @ _SHOULDER_MIDDLE.T)


def hip_angles(matrix: Float[Array, "*batch 3 3"]) -> Float[Array, "*batch 3"]:
  """The angles of a hip's rotation from the T-pose, in the side's own frame."""
  return rotation_vector(matrix @ _HIP_MIDDLE.T)


def mirror(matrix: Float[Array, "*batch 2 3 3"]) -> Float[Array, "*batch 2 3 3"]:
  """Takes rotations between the body's frame and the two sides' own frames."""
  matrix = matrix.copy()
  matrix[..., 1, :, :] *= np.outer((-1, 1, 1), (-1, 1, 1))
  return matrix


def pelvis_rotation(
  angles: Float[Array, "*batch angles"],
) -> Float[Array, "*batch 3 3"]:
  """The pelvis in the frame that turns with the yaw."""
  tilt = np.zeros((*angles.shape[:-1], 3))
  tilt[..., 0] = angles[..., PITCH]
  tilt[..., 2] = angles[..., ROLL]
  return rotation(tilt)


def local_rotations(
  angles: Float[Array, "*batch angles"],
) -> Float[Array, "*batch 24 3 3"]:
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
  own["collar"][..., 2] = side[..., 0]
  own["collar"][..., 1] = -side[..., 1]
  own["shoulder"] = side[..., SHOULDER]
  own["elbow"] = side[..., ELBOW, None] * ELBOW_HINGE
  own["wrist"][..., 2] = -side[..., 7]
  own["wrist"][..., 1] = -side[..., 8]
  own["hip"] = side[..., HIP]
  own["knee"][..., 0] = side[..., KNEE]
  own["ankle"][..., 0] = -side[..., 13]
  own["ankle"][..., 2] = side[..., 14]
  own["foot"][..., 0] = -side[..., TOES]
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


def _fill_turn(matrix: Float[Array, "*batch 3 3"], angle: Array, axis: int) -> None:
  """Writes the rotation about one axis."""
  i, j = (axis + 1) % 3, (axis + 2) % 3
  matrix[..., axis, axis] = 1
  matrix[..., i, i] = matrix[..., j, j] = np.cos(angle)
  matrix[..., j, i] = np.sin(angle)
  matrix[..., i, j] = -matrix[..., j, i]


def _apply_middles(matrices: Float[Array, "*batch 24 3 3"]) -> None:
  for name, middle in (("shoulder", _SHOULDER_MIDDLE), ("hip", _HIP_MIDDLE)):
    both = mirror(np.stack([middle, middle]))
    joints = _SIDE_JOINTS[name]
    matrices[..., joints, :, :] = matrices[..., joints, :, :] @ both


@functools.cache
def _levels() -> list[tuple[Array, Array, Array]]:
  """Joints, parents and offsets of each generation, for a walk down the tree."""
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
  local: Float[Array, "*batch 24 3 3"],
) -> tuple[Float[Array, "*batch 24 3"], Float[Array, "*batch 24 3 3"]]:
  """Joint positions from the pelvis, and world rotations."""
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
    start: where it hangs, in the rest pose.
    upper, lower: the bones in the rest pose.
    hinge: axis of the middle joint.
    pole: where the middle joint points to when it bends.
  """

  start: Array
  upper: Array
  lower: Array
  hinge: Array
  pole: Array


@functools.cache
def _limb(first: str, middle: str, last: str) -> Limb:
  rest = rest_joints()
  start, centre, end = (rest[_SIDE_JOINTS[name][0]] for name in (first, middle, last))
  hinge = KNEE_HINGE if middle == "knee" else ELBOW_HINGE
  pole = -np.cross(hinge, end - start)
  return Limb(start, centre - start, end - centre, hinge, pole)


def leg() -> Limb:
  """Hip, knee and ankle."""
  return _limb("hip", "knee", "ankle")


def arm() -> Limb:
  """Shoulder, elbow and wrist."""
  return _limb("shoulder", "elbow", "wrist")


def reach(
  limb: Limb, target: Float[Array, "*batch 3"], pole: Float[Array, "*batch 3"]
) -> tuple[Float[Array, "*batch 3 3"], Float[Array, "*batch"]]:
  """Two-bone inverse kinematics: the upper joint's rotation and the hinge's angle.

  Args:
    limb: the limb, in the rest pose.
    target: where its end should be from its start; pulled in when out of reach.
    pole: where the middle joint should point to.
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
  along: Float[Array, "*batch 3"], pole: Float[Array, "*batch 3"]
) -> Float[Array, "*batch 3 3"]:
  """Right-handed axes: x along the first vector, y as near the second as may be."""
  x = along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
  z = np.cross(x, pole)
  z = z / np.maximum(np.linalg.norm(z, axis=-1, keepdims=True), 1e-9)
  return np.stack([x, np.cross(z, x), z], axis=-1)


@functools.cache
def collar_bone() -> Float[Array, "3"]:
  """From the left collar's joint to the shoulder's, in the rest pose."""
  rest = rest_joints()
  return (
    rest[SMPL_JOINTS.index("left_shoulder")] - rest[SMPL_JOINTS.index("left_collar")]
  )


@functools.cache
def shoulders_from_chest() -> Float[Array, "2 3"]:
  """From spine3 to the left and the right shoulder, in the rest pose."""
  rest = rest_joints()
  return rest[_SIDE_JOINTS["shoulder"]] - rest[SMPL_JOINTS.index("spine3")]
