"""All motion of a split in a few arrays, from which a device draws windows."""

import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.spatial.transform import Rotation

from mhmr_jax.body.joints import SMPL_JOINTS, SMPL_PARENTS
from mhmr_jax.errors import InputError
from mhmr_jax.motion.library import MotionSource
from mhmr_jax.motion.pose_sequence import PoseSequence
from mhmr_jax.motion.skeleton import rest_joints

_FEET = tuple(SMPL_JOINTS.index(f"{side}_foot") for side in ("left", "right"))
# A foot that moves less than this, and lies as low as it does in the second around it,
# stands: metres a second, metres.
_STANDING_SPEED = 0.25
_STANDING_HEIGHT = 0.05


@flax.struct.dataclass
class MotionBank:
  """Motions at 30 fps, one after the other.

  Attributes:
    rot6d: the first two columns of each parent-relative rotation, one after the other;
      entry 0 is the orientation in the world, whose y is up.
    transl: the pelvis in the world, metres.
    standing: whether the left and the right foot stand still.
    starts: the first frame of each motion.
    lengths: the frames of each motion.
    cumulative: the cumulative probability of each motion to be drawn; the last is 1.
  """

  rot6d: Float[Array, "frames 24 6"]
  transl: Float[Array, "frames 3"]
  standing: Bool[Array, "frames 2"]
  starts: Int[Array, "motions"]
  lengths: Int[Array, "motions"]
  cumulative: Float[Array, "motions"]


def build(sources: list[tuple[MotionSource, float]], split: str) -> MotionBank:
  """Puts the motions of one split of several sources into a bank.

  Args:
    sources: each with its share of the drawn windows; within a source, motions are
      drawn in proportion to their length.
    split: 'train' or 'test'.

  Raises:
    InputError: a source has no readable motion.
  """
  motions: list[PoseSequence] = []
  chances: list[np.ndarray] = []
  for source, share in sources:
    own = [motion for motion in source.motions(split) if len(motion) > 1]
    if not own:
      raise InputError(f"There is no readable motion in the {split} split.")
    lengths = np.array([len(motion) for motion in own], np.float64)
    motions += own
    chances.append(share * lengths / lengths.sum())
  chance = np.concatenate(chances)
  lengths = np.array([len(motion) for motion in motions])
  poses = [_matrices(motion) for motion in motions]
  rot6d = np.concatenate(
    [np.concatenate([R[..., 0], R[..., 1]], axis=-1, dtype=np.float16) for R in poses]
  )
  standing = [
    standing_feet(pose, motion.transl, motion.fps)
    for pose, motion in zip(poses, motions, strict=True)
  ]
  return MotionBank(
    rot6d=jnp.asarray(rot6d),
    transl=jnp.asarray(np.concatenate([m.transl for m in motions]), jnp.float32),
    standing=jnp.asarray(np.concatenate(standing)),
    starts=jnp.asarray(np.cumsum([0, *lengths[:-1]]), jnp.int32),
    lengths=jnp.asarray(lengths, jnp.int32),
    cumulative=jnp.asarray(np.cumsum(chance) / chance.sum(), jnp.float32),
  )


def _matrices(motion: PoseSequence) -> Float[np.ndarray, "time 24 3 3"]:
  rotations = Rotation.from_rotvec(motion.pose.reshape(-1, 3))
  return rotations.as_matrix().reshape(len(motion), 24, 3, 3).astype(np.float32)


def standing_feet(
  rotations: Float[np.ndarray, "time 24 3 3"],
  transl: Float[np.ndarray, "time 3"],
  fps: float,
) -> Bool[np.ndarray, "time 2"]:
  """Whether the left and the right foot stand still, on the mean body."""
  from scipy.ndimage import minimum_filter1d

  rest = rest_joints().astype(np.float32)
  world, joints = [rotations[:, 0]], [transl]
  for joint in range(1, 24):
    parent = SMPL_PARENTS[joint]
    joints.append(joints[parent] + world[parent] @ (rest[joint] - rest[parent]))
    world.append(world[parent] @ rotations[:, joint])
  feet = np.stack([joints[foot] for foot in _FEET], axis=1)
  velocity = np.gradient(feet, axis=0) * fps
  speed = np.linalg.norm(velocity, axis=-1)
  height = feet[..., 1]
  floor = minimum_filter1d(height.min(axis=1), 2 * round(fps) + 1)[:, None]
  return (speed < _STANDING_SPEED) & (height < floor + _STANDING_HEIGHT)
