"""The training step of networks that estimate optical flow, on clips' exact flow."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from mhmr_jax.flow import learned
from mhmr_jax.flow.network import FlowNetwork
from mhmr_jax.training import train_step
from mhmr_jax.training.train_step import TrainState

# Brightness, contrast and colours of whole pairs differ by up to so much, those of
# their two frames by a fifth of it; and noise, in units of the range from -1 to 1.
_PHOTOMETRIC = 0.4
_BETWEEN_FRAMES = 0.2
_NOISE = 0.08


def distort(
  key: PRNGKeyArray,
  first: Float[Array, "batch height width 3"],
  second: Float[Array, "batch height width 3"],
) -> tuple[Float[Array, "batch height width 3"], Float[Array, "batch height width 3"]]:
  """Other light, colours and noise, nearly the same in both frames of a pair."""
  images = jnp.stack([first, second])
  shape = images.shape[:2]
  common, own, grain, amount = jax.random.split(key, 4)

  def uniform(key: PRNGKeyArray, *lead: int) -> Array:
    return jax.random.uniform(key, (*lead, 1, 1, 7), minval=-1, maxval=1)

  change = uniform(common, 1, shape[1]) + _BETWEEN_FRAMES * uniform(own, *shape)
  change = _PHOTOMETRIC * change
  gain, offset, gamma = change[..., :3], change[..., 3:6], change[..., 6:]
  light = jnp.clip((images + 1) / 2, 1e-3, 1) ** jnp.exp(gamma)
  images = (2 * light - 1) * jnp.exp(gain) + offset
  sigma = _NOISE * jax.random.uniform(amount, (1, shape[1], 1, 1, 1)) ** 2
  images = images + sigma * jax.random.normal(grain, images.shape)
  return jnp.clip(images[0], -1, 1), jnp.clip(images[1], -1, 1)


def end_point_error(
  flow: Float[Array, "batch height width 2"],
  target: Float[Array, "batch height width 2"],
  valid: Array,
) -> Float[Array, ""]:
  """Mean distance over the valid pixels, px."""
  error = jnp.linalg.norm(jnp.where(valid[..., None], flow - target, 0), axis=-1)
  return error.sum() / jnp.maximum(valid.sum(), 1)


def step(
  state: TrainState,
  batch: Any,
  key: PRNGKeyArray,
  *,
  model: FlowNetwork,
  optimizer: optax.GradientTransformation,
) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
  """One update on a global batch of `pairs.Pair`, by name.

  Returns:
    The next state, and scalars: loss, grad_norm, epe_px (of the batch, distorted).
  """
  first, second = distort(
    jax.random.fold_in(key, state.step),
    learned.normalised(batch["first"]),
    learned.normalised(batch["second"]),
  )

  def loss_of(params: Any) -> tuple[Array, Array]:
    variables = {"params": params}
    arguments = (first, second, batch["flow"], batch["valid"])
    output: Any = model.apply(variables, *arguments, method="loss")
    return output[0], output[1]

  (loss, flow), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.params)
  new_state, grad_norm = train_step.apply_gradients(
    state, loss, gradients, state.batch_stats, optimizer
  )
  error = end_point_error(flow, batch["flow"], batch["valid"])
  return new_state, {"loss": loss, "grad_norm": grad_norm, "epe_px": error}


def init_state(
  key: PRNGKeyArray, *, model: FlowNetwork, optimizer: optax.GradientTransformation
) -> TrainState:
  """The state before the first step."""
  return train_step.first_state(learned.init_variables(model, key), optimizer)
