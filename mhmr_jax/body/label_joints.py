"""The joints of labelled poses, for tracks of any length without a compilation each."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mhmr_jax.body import smpl

_FRAMES_AT_ONCE = 128
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
  function: _Function, body: smpl.SmplModel, pose: np.ndarray, betas: np.ndarray
) -> np.ndarray:
  shape = jnp.asarray(betas, jnp.float32)
  blocks = []
  for start in range(0, len(pose), _FRAMES_AT_ONCE):
    rows = np.arange(start, start + _FRAMES_AT_ONCE).clip(max=len(pose) - 1)
    blocks.append(function(body, jnp.asarray(pose[rows], jnp.float32), shape))
  return np.concatenate(blocks)[: len(pose)]
