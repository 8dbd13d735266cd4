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
  """What an SMPL joint is given of another skeleton.

  Attributes:
    rotation: the world rotation from the other skeleton's rest pose, in each frame.
    direction: where the limb points in the other skeleton's rest pose, of any length;
      None if the joint is not aligned.
    ends: the SMPL joints at the ends of that limb.
  """

  rotation: Rotation
  direction: Float[np.ndarray, "3"] | None = None
  ends: tuple[str, str] = ("", "")


def world_rotations(limbs: dict[str, Limb]) -> list[Rotation]:
  """The world rotations of SMPL's joints, in their order, from SMPL's rest pose.

  Args:
    limbs: a limb for each of SMPL's joints, in their order.
  """
  turns = _alignments(limbs)
  return [limb.rotation * turns[joint] for joint, limb in limbs.items()]


def local_pose(world: list[Rotation]) -> Float[np.ndarray, "time 24 3"]:
  """Converts world rotations of SMPL's joints to axis-angle relative to parents."""
  local = [world[0]]
  local += [world[SMPL_PARENTS[j]].inv() * world[j] for j in range(1, len(world))]
  return np.stack([r.as_rotvec() for r in local], axis=1).astype(np.float32)


def halfway(start: Rotation, end: Rotation) -> Rotation:
  """The rotation halfway from `start` to `end`, without jumps over time."""
  turn = (start.inv() * end).as_rotvec()
  # Half of the turn while it is small. The factor decreases to zero at a half-turn,
  # where the direction of the turn is ambiguous.
  angle = np.linalg.norm(turn, axis=-1, keepdims=True)
  return start * Rotation.from_rotvec(turn * np.sinc(angle / np.pi) / 2)


def _alignments(limbs: dict[str, Limb]) -> dict[str, Rotation]:
  """Each joint's rotation from SMPL's rest pose to the other skeleton's.

  A foot is rotated with its leg, and then by the smallest rotation that aligns it.
  """
  turns: dict[str, Rotation] = {}
  for joint, limb in limbs.items():
    if limb.direction is None:
      turns[joint] = Rotation.identity()
      continue
    parent = SMPL_PARENTS[SMPL_JOINTS.index(joint)]
    first, last = (SMPL_JOINTS.index(name) for name in limb.ends)
    direction = rest_joints()[last] - rest_joints()[first]
    if joint.endswith("foot"):
      direction = direction * (1, 0, 1)  # Toes lie flat at rest in both skeletons.
    above = turns[SMPL_JOINTS[parent]]
    turns[joint] = _smallest_turn(above.apply(direction), limb.direction) * above
  return turns


def _smallest_turn(
  start: Float[np.ndarray, "3"], end: Float[np.ndarray, "3"]
) -> Rotation:
  start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
  axis = np.cross(start, end)
  angle = np.arctan2(np.linalg.norm(axis), start @ end)
  return Rotation.from_rotvec(axis / max(float(np.linalg.norm(axis)), 1e-9) * angle)
