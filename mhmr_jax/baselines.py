"""Constant predictions that a model has to beat, on the same frames as the model."""

import functools
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mhmr_jax.batch import Clip
from mhmr_jax.geometry import procrustes, rotations

_STEPS = 40
# The oracle is sought on so many frames, then refined on all.
_FEW_FRAMES = 4096
_REFINING_STEPS = 8
_MIN_DISTANCE = 1e-4  # metres; keeps Weiszfeld's weights finite.


def mean_pose(
  clips: Iterable[Clip],
) -> tuple[Float[np.ndarray, "24 3 3"], Float[np.ndarray, "10"]]:
  """The mean pose and shape of the valid frames of a split.

  The mean of rotations is the chordal one: the rotation nearest to the mean of the
  matrices (Hartley et al., Rotation averaging, 2013). Betas weigh as many frames
  as their clip has.
  """
  poses, betas = [], []
  for clip in clips:
    valid = np.asarray(clip["valid"], bool)
    poses.append(clip["pose"][valid])
    betas.append(np.repeat(clip["betas"][None], valid.sum(), axis=0))
  pose = jnp.asarray(np.concatenate(poses), jnp.float32)
  if not len(pose):
    raise ValueError("a mean of no frames")
  matrices = np.asarray(rotations.axis_angle_to_matrix(pose), np.float64).mean(0)
  mean = procrustes.nearest_rotation(jnp.asarray(matrices, jnp.float32))
  return np.asarray(mean), np.concatenate(betas).mean(0, dtype=np.float64).astype(
    np.float32
  )


def best_aligned_joints(
  target: Float[Array | np.ndarray, "frames joints 3"],
  weights: Float[Array | np.ndarray, " frames"],
) -> Float[Array, "joints 3"]:
  """The one joint set with the lowest PA-MPJPE over weighted frames: an oracle.

  Alternates between aligning the set to every frame and a Weiszfeld step on the
  set with those alignments held; the best set met is returned. Of many frames, an
  even choice comes first: from its best set a few steps on all of them are enough.
  """
  every = -(-len(target) // _FEW_FRAMES)
  best = _refined(
    _start(target[::every], weights[::every]), target[::every], weights[::every], _STEPS
  )
  return best if every == 1 else _refined(best, target, weights, _REFINING_STEPS)


@jax.jit
def _start(
  target: Float[Array, "frames joints 3"], weights: Float[Array, " frames"]
) -> Float[Array, "joints 3"]:
  """The mean of the frames, aligned to the first."""
  first = jnp.broadcast_to(target[0], target.shape)
  return jnp.average(procrustes.align(target, first), 0, weights)


@functools.partial(jax.jit, static_argnames="steps")
def _refined(
  start: Float[Array, "joints 3"],
  target: Float[Array, "frames joints 3"],
  weights: Float[Array, " frames"],
  steps: int,
) -> Float[Array, "joints 3"]:
  target = target - target.mean(1, keepdims=True)

  def step(
    state: tuple[Array, Array, Array], _: None
  ) -> tuple[tuple[Array, Array, Array], None]:
    joints, best, lowest = state
    joints = joints - joints.mean(0)
    aligned = procrustes.align(jnp.broadcast_to(joints, target.shape), target)
    distance = jnp.linalg.norm(aligned - target, axis=-1)
    error = (weights * distance.mean(1)).sum()
    best = jnp.where(error < lowest, joints, best)
    # The alignment A = scale * rotation, read off what it does to the joints.
    inverse = jnp.linalg.pinv(joints)
    A = jnp.einsum("njx,yj->nxy", aligned - aligned.mean(1, keepdims=True), inverse)
    scale_squared = (A**2).sum((1, 2), keepdims=True) / 3
    # |A p - y| = scale * |p - A^T y / scale^2|, so a frame weighs scale / |p - ...|.
    wanted = jnp.einsum("nxy,njx->njy", A, target) / scale_squared
    weight = scale_squared / jnp.maximum(distance, _MIN_DISTANCE)[..., None]
    weight *= weights[:, None, None]
    joints = (weight * wanted).sum(0) / weight.sum(0)
    return (joints, best, jnp.minimum(error, lowest)), None

  state = (start, start, jnp.array(jnp.inf, target.dtype))
  return jax.lax.scan(step, state, length=steps)[0][1]


@jax.jit
def best_rooted_joints(
  target: Float[Array, "frames joints 3"], weights: Float[Array, " frames"]
) -> Float[Array, "joints 3"]:
  """The one joint set with the lowest MPJPE over weighted frames: an oracle.

  The joints of the frames are relative to their roots.

  Each joint is the geometric median of its positions, by Weiszfeld's steps.
  """

  def step(joints: Array, _: None) -> tuple[Array, None]:
    distance = jnp.linalg.norm(target - joints, axis=-1, keepdims=True)
    weight = weights[:, None, None] / jnp.maximum(distance, _MIN_DISTANCE)
    return (weight * target).sum(0) / weight.sum(0), None

  start = jnp.average(target, 0, weights)
  return jax.lax.scan(step, start, length=_STEPS)[0]
