"""The jitted steps of a config on a mesh.

Training, evaluation and compilation ahead of time have them in common.
"""

import functools
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from mhmr_jax.body.smpl import SmplModel
from mhmr_jax.models import motion_hmr
from mhmr_jax.runtime import sharding
from mhmr_jax.schema import Batch
from mhmr_jax.training import train_step
from mhmr_jax.training.train_step import TrainState


class TrainStep(NamedTuple):
  """A training step.

  Attributes:
    init: the first state, from the run's key; jit it with `state_shardings`.
    step: jitted; (state, batch, key, body) -> (state, scalars). The state is donated.
    state_shardings: of each leaf of the state.
  """

  init: Any
  step: Any
  state_shardings: Any


def make_train_step(config: ConfigDict, mesh: Mesh) -> TrainStep:
  """The training step of a config, its state divided as `config.mesh` says."""
  model = motion_hmr.from_config(config.model, config.data.size)
  optimizer = train_step.make_optimizer(config)
  init = functools.partial(
    train_step.init_state,
    batch=motion_hmr.input_shapes(config),
    model=model,
    optimizer=optimizer,
  )
  whole, split = sharding.replicated(mesh), sharding.batched(mesh)
  abstract = jax.eval_shape(init, jax.random.key(0))
  placed = sharding.of_state(abstract, mesh, config.mesh.fsdp_min_size)

  def step(state: TrainState, batch: Batch, key: Any, body: SmplModel) -> Any:
    # Divided parameters are collected once, before all else: XLA would otherwise
    # collect the LSTM's in every frame.
    params = jax.lax.with_sharding_constraint(state.params, whole)
    return train_step.train_step(
      state.replace(params=params),
      batch,
      key,
      body,
      model=model,
      optimizer=optimizer,
      loss_weights=config.loss.to_dict(),
      accumulate=config.train.accumulate,
    )

  jitted = jax.jit(
    step,
    in_shardings=(placed, split, whole, whole),
    out_shardings=(placed, whole),
    donate_argnums=0,
  )
  return TrainStep(init, jitted, placed)


def batch_shapes(config: ConfigDict) -> Batch:
  """Shapes of everything in a global training batch: inputs and targets."""
  lead = (config.train.batch_size, config.data.window)
  shapes: dict[str, tuple[int, ...]] = {
    "pose": (*lead, 24, 3),
    "betas": (lead[0], 10),
    "joints_camera": (*lead, 24, 3),
    "joints_crop": (*lead, 24, 2),
    "visibility": (*lead, 24),
  }
  flags: dict[str, tuple[int, ...]] = {"valid": lead}
  if "target" in config:
    flags["labelled"] = lead[:1]
  targets = {key: jax.ShapeDtypeStruct(s, jnp.float32) for key, s in shapes.items()}
  targets |= {key: jax.ShapeDtypeStruct(s, jnp.bool_) for key, s in flags.items()}
  return cast(Batch, {**motion_hmr.input_shapes(config), **targets})
