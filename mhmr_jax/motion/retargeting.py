"""Retargeting: the poses of another skeleton as SMPL's local rotations.

Every SMPL joint is given the world rotation of a bone of the other skeleton. The rest
poses differ (CMU's legs are splayed by 20 degrees), so SMPL's rest pose is first
aligned with the other one, limb by limb, by the smallest rotations. Limbs then point
exactly where the other skeleton's do, and follow their twist.
"""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from mhmr_jax.body.joints import SMPL_JOINTS, SMPL_PARENTS
from mhmr_jax.motion.skeleton import rest_joints


@dataclasses.dataclass(frozen=True)
class Limb:
  """What an SMPL joint takes from another skeleton.

  Attributes:
    rotation: the world rotation from the other skeleton's rest pose, in each frame;
      None if the joint moves with its parent.
    direction: where the limb points in the other skeleton's rest pose, of any length;
      None if the joint is not aligned.
    ends: the SMPL joints at the ends of that limb.
    follows: whether a joint without a direction is aligned as its parent is.
    path: where the limb points in each frame, which is then exact even if joints
      between its ends bend or stretch; None to follow the rotation.
  """

  rotation: Rotation | None
  direction: Float[np.ndarray, "3"] | None = None
  ends: tuple[str, str] = ("", "")
  follows: bool = False
  path: Float[np.ndarray, "time 3"] | None = None


def world_rotations(
  limbs: dict[str, Limb], base: Rotation | None = None
) -> list[Rotation]:
  """The world rotations of SMPL's joints, in their order, from SMPL's rest pose.

  Args:
    limbs: a limb for each of SMPL's joints, in their order.
    base: the rotation from SMPL's rest pose to the other skeleton's; None if the two
      face in the same direction.
  """
  turns = _alignments(limbs, base or Rotation.identity())
  world: list[Rotation] = []
  for joint, limb in limbs.items():
    if limb.rotation is None:
      world.append(world[SMPL_PARENTS[len(world)]])
      continue
    rotation = limb.rotation * turns[joint]
    if limb.path is not None:
      start = rotation.apply(_rest_direction(limb))
      rotation = smallest_turn(start, limb.path) * rotation
    world.append(rotation)
  return world


def local_pose(world: list[Rotation]) -> Float[np.ndarray, "time 24 3"]:
  """Converts world rotations of SMPL's joints to axis-angle relative to parents."""
  local = [world[0]]
  local += [world[SMPL_PARENTS[j]].inv() * world[j] for j in range(1, len(world))]
  return np.stack([r.as_rotvec() for r in local], axis=1).astype(np.float32)


def halfway(start: Rotation, end: Rotation) -> Rotation:
  """The rotation halfway between two, which never jumps over time."""
  turn = (start.inv() * end).as_rotvec()
  # Half of the turn while it is small. The factor decreases to zero at a half-turn,
  # where the direction of the turn is ambiguous.
  angle = np.linalg.norm(turn, axis=-1, keepdims=True)
  return start * Rotation.from_rotvec(turn * np.sinc(angle / np.pi) / 2)


def smallest_turn(
  start: Float[np.ndarray, "*time 3"], end: Float[np.ndarray, "*time 3"]
) -> Rotation:
  """The smallest rotation from the direction of `start` to that of `end`."""
  start = start / np.linalg.norm(start, axis=-1, keepdims=True)
  end = end / np.linalg.norm(end, axis=-1, keepdims=True)
  axis = np.cross(start, end)
  sine = np.linalg.norm(axis, axis=-1, keepdims=True)
  angle = np.arctan2(sine, np.sum(start * end, axis=-1, keepdims=True))
  return Rotation.from_rotvec(axis / np.maximum(sine, 1e-9) * angle)


def between(start: Rotation, end: Rotation, part: float) -> Rotation:
  """The rotation at a part of the smallest turn from `start` to `end`."""
  return start * Rotation.from_rotvec((start.inv() * end).as_rotvec() * part)


def _alignments(limbs: dict[str, Limb], base: Rotation) -> dict[str, Rotation]:
  """Each joint's rotation from SMPL's rest pose to the other skeleton's.

  A foot is rotated with its leg, and then by the smallest rotation that aligns it.
  """
  turns: dict[str, Rotation] = {}
  for joint, limb in limbs.items():
    parent = SMPL_JOINTS[SMPL_PARENTS[SMPL_JOINTS.index(joint)]]
    above = turns[parent] if turns else base
    if limb.direction is None:
      turns[joint] = above if limb.follows else base
      continue
    direction = _rest_direction(limb)
    if joint.endswith("foot"):
      direction = direction * (1, 0, 1)  # Toes lie flat at rest in both skeletons.
    turns[joint] = smallest_turn(above.apply(direction), limb.direction) * above
  return turns


def _rest_direction(limb: Limb) -> Float[np.ndarray, "3"]:
  first, last = (rest_joints()[SMPL_JOINTS.index(name)] for name in limb.ends)
  return last - first
