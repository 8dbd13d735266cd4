"""Constant predictions, scored on the same frames as the model, as its baselines.

`mean_pose` comes from the training split alone. The oracles are fitted to the very
frames that are scored, one for each measure.
"""

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.spatial.transform import Rotation

from mhmr_jax.geometry import procrustes
from mhmr_jax.runtime.batching import padded_batches
from mhmr_jax.schema import Clip

_STEPS = 40
# An oracle is fitted to this many frames, then refined on all of them.
_FEW_FRAMES = 4096
_REFINING_STEPS = 8
_MIN_DISTANCE = 1e-4  # metres; keeps Weiszfeld's weights finite.

# A function of joints, frames and their weights; it returns the error of the joints,
# and the two sums whose ratio is the next step's joints.
_Sums = Callable[..., tuple[Array, Array, Array]]
# Frames and their weights.
_Block = tuple[Float[np.ndarray, "block joints 3"], Float[np.ndarray, "block"]]


def mean_pose(
  clips: Iterable[Clip],
) -> tuple[Float[np.ndarray, "24 3 3"], Float[np.ndarray, "10"]]:
  """The mean rotations and betas of the valid frames of a split.

  The mean of rotations is the chordal one (Hartley et al., Rotation averaging, 2013).
  The betas of a clip count once for each of its valid frames.

  Raises:
    ValueError: no frame is valid.
  """
  poses, betas = [], []
  for clip in clips:
    valid = np.asarray(clip["valid"], bool)
    poses.append(clip["pose"][valid])
    betas.append(np.repeat(clip["betas"][None], valid.sum(), axis=0))
  pose = np.concatenate(poses)
  if not len(pose):
    raise ValueError("a mean of no frames")
  mean = [Rotation.from_rotvec(of_joint).mean() for of_joint in pose.swapaxes(0, 1)]
  return (
    np.stack([rotation.as_matrix() for rotation in mean]).astype(np.float32),
    np.concatenate(betas).mean(0, dtype=np.float64).astype(np.float32),
  )


def best_aligned_joints(
  target: Float[Array | np.ndarray, "frames joints 3"],
  weights: Float[Array | np.ndarray, " frames"],
) -> Float[np.ndarray, "joints 3"]:
  """The constant joints with the lowest PA-MPJPE over weighted frames: an oracle.

  Alternates between aligning the joints to every frame and one step of Weiszfeld's
  algorithm on the joints with those alignments held.
  """
  return _descend(np.asarray(target)[0], target, weights, _aligned_sums)


def best_rooted_joints(
  target: Float[Array | np.ndarray, "frames joints 3"],
  weights: Float[Array | np.ndarray, " frames"],
) -> Float[np.ndarray, "joints 3"]:
  """The constant joints with the lowest MPJPE over weighted frames: an oracle.

  The target's joints are relative to their roots. Each joint of the result is the
  geometric median of its positions, by Weiszfeld's algorithm.
  """
  mean = np.average(np.asarray(target), 0, np.asarray(weights))
  return _descend(mean.astype(np.float32), target, weights, _rooted_sums)


def _descend(
  start: Float[np.ndarray, "joints 3"],
  target: Float[Array | np.ndarray, "frames joints 3"],
  weights: Float[Array | np.ndarray, " frames"],
  sums: _Sums,
) -> Float[np.ndarray, "joints 3"]:
  """The best joints that the steps of Weiszfeld's algorithm meet.

  If there are many frames, an even choice of them comes first: from the best joints
  for these, a few steps on all frames are enough.
  """
  frames, weights = np.asarray(target), np.asarray(weights)
  every = -(-len(frames) // _FEW_FRAMES)
  # Blocks of one size compile once.
  size = -(-len(frames) // every)
  some = _blocks(frames[::every], weights[::every], size)
  best = _best(start, some, _STEPS, sums)
  if every == 1:
    return best
  return _best(best, _blocks(frames, weights, size), _REFINING_STEPS, sums)


def _blocks(
  frames: Float[np.ndarray, "frames joints 3"],
  weights: Float[np.ndarray, " frames"],
  size: int,
) -> list[_Block]:
  """Frames and weights in blocks of one size; padding has the weight 0."""
  return [
    (frames[rows], np.where(np.arange(size) < count, weights[rows], 0))
    for rows, count in padded_batches(len(frames), size)
  ]


def _best(
  joints: Float[np.ndarray, "joints 3"],
  blocks: list[_Block],
  steps: int,
  sums: _Sums,
) -> Float[np.ndarray, "joints 3"]:
  """The joints with the lowest error among the start and all steps but the last."""
  best, lowest = joints, np.inf
  for _ in range(steps):
    parts = [sums(joints, *block) for block in blocks]
    error, above, below = (np.sum(p, axis=0) for p in zip(*parts, strict=True))
    if error < lowest:
      best, lowest = joints, error
    joints = above / below
  return best


@jax.jit
def _aligned_sums(
  joints: Float[Array, "joints 3"],
  target: Float[Array, "frames joints 3"],
  weights: Float[Array, " frames"],
) -> tuple[Array, Array, Array]:
  """The error of the joints after alignment, and the sums for the next step.

  The joints are aligned to every frame, and those alignments are held in the step.
  """
  joints -= joints.mean(0)
  target = target - target.mean(1, keepdims=True)
  aligned = procrustes.align(jnp.broadcast_to(joints, target.shape), target)
  distance = jnp.linalg.norm(aligned - target, axis=-1)
  error = (weights * distance.mean(1)).sum()
  # The alignment A = scale * rotation, from the joints before and after it.
  inverse = jnp.linalg.pinv(joints)
  A = jnp.einsum("njx,yj->nxy", aligned - aligned.mean(1, keepdims=True), inverse)
  scale_squared = (A**2).sum((1, 2), keepdims=True) / 3
  # |A p - y| = scale * |p - A^T y / scale^2|, so a frame weighs scale / |p - ...|.
  wanted = jnp.einsum("nxy,njx->njy", A, target) / scale_squared
  weight = scale_squared / jnp.maximum(distance, _MIN_DISTANCE)[..., None]
  weight *= weights[:, None, None]
  return error, (weight * wanted).sum(0), weight.sum(0)


@jax.jit
def _rooted_sums(
  joints: Float[Array, "joints 3"],
  target: Float[Array, "frames joints 3"],
  weights: Float[Array, " frames"],
) -> tuple[Array, Array, Array]:
  """The error of the joints as they are, and the sums for the next step."""
  distance = jnp.linalg.norm(target - joints, axis=-1)
  error = (weights * distance.mean(1)).sum()
  weight = (weights[:, None] / jnp.maximum(distance, _MIN_DISTANCE))[..., None]
  return error, (weight * target).sum(0), weight.sum(0)
