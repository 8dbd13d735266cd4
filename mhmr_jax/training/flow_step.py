"""The training step of flow networks, supervised by the exact flow of clips."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from mhmr_jax.flow import learned
from mhmr_jax.flow.network import FlowNetwork
from mhmr_jax.training import train_step
from mhmr_jax.training.train_step import Scalars, TrainState

# The largest change of a pair's log gain, offset and log gamma.
_PHOTOMETRIC = 0.4
# The second change, which each frame of a pair has by itself, as a part of the first.
_BETWEEN_FRAMES = 0.2
# The largest standard deviation of the noise; images are in [-1, 1].
_NOISE = 0.08


def distort(
  key: PRNGKeyArray,
  first: Float[Array, "batch height width 3"],
  second: Float[Array, "batch height width 3"],
) -> tuple[Float[Array, "batch height width 3"], Float[Array, "batch height width 3"]]:
  """Changes light, colours and noise, nearly alike in both frames of a pair.

  Args:
    key: the key of the random changes.
    first: frames in [-1, 1].
    second: the frame after each of them.

  Returns:
    The changed first and second frames, in [-1, 1].
  """
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
  valid: Bool[Array, "batch height width"],
) -> Float[Array, ""]:
  """The mean distance between two flows over the valid pixels, in pixels."""
  error = jnp.linalg.norm(jnp.where(valid[..., None], flow - target, 0), axis=-1)
  return error.sum() / jnp.maximum(valid.sum(), 1)


def step(
  state: TrainState,
  batch: dict[str, Array],
  key: PRNGKeyArray,
  *,
  model: FlowNetwork,
  optimizer: optax.GradientTransformation,
) -> tuple[TrainState, Scalars]:
  """Makes one update on a global batch.

  Args:
    state: the state; donate it.
    batch: the fields of `flow_pairs.Pair`, batched.
    key: the run's key, from which the step derives its own.
    model: the network; static.
    optimizer: the optimiser; static.

  Returns:
    The next state, and scalars: loss, grad_norm, and epe_px, the end-point error on
    this batch with its distortions.
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
  return TrainState.create(learned.init_variables(model, key), optimizer)
