"""Trains a network that estimates optical flow, on synthetic clips' exact flow.

  python -m mhmr_jax.flow.train --config=configs/flow_flownets.py --workdir=DIR

Then `--config.flow.source=flownets --config.flow.weights=DIR` has mhmr_jax.train use
it. Resumes and ends as mhmr_jax.train does.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from etils import epath
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict, config_flags

from mhmr_jax import (
  checkpoints,
  processes,
  program,
  sharding,
  train_step,
  training_loop,
)
from mhmr_jax.data import pipeline, sources
from mhmr_jax.errors import InputError
from mhmr_jax.flow import learned, pairs
from mhmr_jax.flow.network import FlowNetwork
from mhmr_jax.train_step import TrainState

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Experiment to run.", **program.OF_ONE_PROGRAM
)
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


def flow_step(
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


def train(config: ConfigDict, workdir: epath.Path) -> TrainState:
  """Runs the experiment to its last step; InputError for bad input of any kind."""
  sources.check_paths(config)
  model = learned.from_config(config.model)
  if config.data.size % model.stride or config.data.size < model.min_size:
    raise InputError(
      f"config.data.size is {config.data.size}: {config.model.kind} trains on a "
      f"multiple of {model.stride} px, {max(model.min_size, model.stride)} or more."
    )
  mesh = sharding.make_mesh()
  sharding.check_batch_size(config.train.batch_size, mesh)
  optimizer = train_step.make_optimizer(config)
  checkpoints.prepare_workdir(workdir, config)
  dataset = pairs.training_dataset(sources.open_training(config), config)
  host = sharding.host_rows(mesh, config.train.batch_size)
  replicated, batched = sharding.replicated(mesh), sharding.batched(mesh)
  parts = {"model": model, "optimizer": optimizer}
  return training_loop.run(
    config,
    workdir,
    mesh,
    pipeline.elastic_iterator(dataset, config, host),
    init=functools.partial(init_state, **parts),
    step_fn=jax.jit(
      functools.partial(flow_step, **parts),
      in_shardings=(replicated, batched, replicated),
      out_shardings=(replicated, replicated),
      donate_argnums=0,
    ),
    state_shardings=replicated,
    frames=config.train.batch_size,
    measure="end-point error {epe_px:.2f} px",
  )


def main(argv: list[str]) -> None:
  """Reads the flags and trains."""
  del argv
  training_loop.from_flags(_CONFIG, train)


if __name__ == "__main__":
  program.run(main, processes.leave)
