"""Joints of labelled poses, in blocks of one size: one compilation for any length."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mhmr_jax.body import smpl
from mhmr_jax.runtime.batching import padded_batches

_FRAMES_PER_BLOCK = 128
_Function = Callable[[smpl.SmplModel, Array, Array], Array]


def joints(
  body: smpl.SmplModel,
  pose: Float[np.ndarray, "time 24 3"],
  betas: Float[np.ndarray, "10"],
) -> Float[np.ndarray, "time 24 3"]:
  """SMPL's joints in metres, without translation."""
  return _in_blocks(_joints, body, pose, betas)


def regressed(
  restricted: smpl.SmplModel,
  pose: Float[np.ndarray, "time 24 3"],
  betas: Float[np.ndarray, "10"],
) -> Float[np.ndarray, "time K 3"]:
  """The points of a `smpl.restrict`ed body in metres, without translation."""
  return _in_blocks(_regressed, restricted, pose, betas)


@jax.jit
def _joints(
  body: smpl.SmplModel, pose: Float[Array, "time 24 3"], betas: Float[Array, "10"]
) -> Float[Array, "time 24 3"]:
  return smpl.joints(body, pose, betas, jnp.zeros(3))


@jax.jit
def _regressed(
  restricted: smpl.SmplModel, pose: Float[Array, "time 24 3"], betas: Float[Array, "10"]
) -> Float[Array, "time K 3"]:
  return smpl.regressed_joints(restricted, pose, betas, jnp.zeros(3))


def _in_blocks(
  function: _Function,
  body: smpl.SmplModel,
  pose: Float[np.ndarray, "time 24 3"],
  betas: Float[np.ndarray, "10"],
) -> Float[np.ndarray, "time points 3"]:
  shape = jnp.asarray(betas, jnp.float32)
  blocks = [
    np.asarray(function(body, jnp.asarray(pose[rows], jnp.float32), shape))[:count]
    for rows, count in padded_batches(len(pose), _FRAMES_PER_BLOCK)
  ]
  return np.concatenate(blocks)
