"""The jitted training step of a config on a mesh.

Training and ahead-of-time compilation share it. `make_train_step` takes the config
apart; the functions that it calls get only the values that they need.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

from mhmr_jax.body.smpl import SmplModel
from mhmr_jax.data import config_paths
from mhmr_jax.models import motion_hmr
from mhmr_jax.runtime import sharding
from mhmr_jax.schema import Batch
from mhmr_jax.training import train_step
from mhmr_jax.training.train_step import Scalars, TrainState

Init = Callable[[PRNGKeyArray], TrainState]
Update = Callable[
  [TrainState, Batch, PRNGKeyArray, SmplModel], tuple[TrainState, Scalars]
]


class TrainStep(NamedTuple):
  """A training step.

  Attributes:
    init: makes the first state from the run's key; jit it with `state_shardings`.
    step: jitted; (state, batch, key, body) -> (state, scalars). The state is donated.
    state_shapes: the shape and type of each leaf of the state.
    state_shardings: the sharding of each leaf of the state.
  """

  init: Init
  step: jax.stages.Wrapped
  state_shapes: TrainState
  state_shardings: Any


def make_train_step(config: ConfigDict, mesh: Mesh) -> TrainStep:
  """The training step of a config, its state divided as `config.mesh` says."""
  model = motion_hmr.from_config(config)
  if model.encoder is not None:
    model = model.clone(encoder=model.encoder.clone(batch_parts=mesh.size))
  optimizer = train_step.make_optimizer(config.train)
  init = functools.partial(
    train_step.init_state,
    batch=motion_hmr.input_shapes(config),
    model=model,
    optimizer=optimizer,
  )
  update = functools.partial(
    train_step.train_step,
    model=model,
    optimizer=optimizer,
    loss_weights=config.loss.to_dict(),
    accumulate=config.train.accumulate,
  )
  return _on_mesh(init, update, mesh, config.mesh.fsdp_min_size)


def _on_mesh(init: Init, update: Update, mesh: Mesh, fsdp_min_size: int) -> TrainStep:
  """Jits `update` for a state and batches that are divided over the mesh."""
  whole, split = sharding.replicated(mesh), sharding.batched(mesh)
  # A key that lies as the run's does: JAX need not trace `init` again for that one.
  key_type = jax.eval_shape(jax.random.key, 0).dtype
  shapes = jax.eval_shape(init, jax.ShapeDtypeStruct((), key_type, sharding=whole))
  placed = sharding.of_state(shapes, mesh, fsdp_min_size)

  def step(
    state: TrainState, batch: Batch, key: PRNGKeyArray, body: SmplModel
  ) -> tuple[TrainState, Scalars]:
    # Divided parameters are gathered once, before all else: XLA would otherwise
    # gather the LSTM's in every frame.
    params = jax.lax.with_sharding_constraint(state.params, whole)
    return update(state.replace(params=params), batch, key, body)

  jitted = jax.jit(
    step,
    in_shardings=(placed, split, whole, whole),
    out_shardings=(placed, whole),
    donate_argnums=0,
  )
  return TrainStep(init, jitted, shapes, placed)


def batch_shapes(config: ConfigDict) -> Batch:
  """The shapes of a config's global training batches, inputs and targets."""
  lead = (config.train.batch_size, config.data.window)
  shapes: dict[str, tuple[int, ...]] = {
    "pose": (*lead, 24, 3),
    "betas": (lead[0], 10),
    "joints_camera": (*lead, 24, 3),
    "joints_crop": (*lead, 24, 2),
    "visibility": (*lead, 24),
  }
  flags: dict[str, tuple[int, ...]] = {"valid": lead}
  if config_paths.GENERATED in config_paths.shares(config):
    # These have no camera image that hides joints, and their world is known.
    del shapes["pose"], shapes["visibility"]
    shapes |= {"rotations": (*lead, 24, 3, 3), "gravity": (*lead, 3)}
    flags["standing"] = (*lead, 2)
  if "target" in config:
    flags["labelled"] = lead[:1]
  targets = {key: jax.ShapeDtypeStruct(s, jnp.float32) for key, s in shapes.items()}
  targets |= {key: jax.ShapeDtypeStruct(s, jnp.bool_) for key, s in flags.items()}
  return cast(Batch, {**motion_hmr.input_shapes(config), **targets})
