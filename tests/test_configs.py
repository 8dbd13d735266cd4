"""Every config: its whole training step has shapes, and resolves to one result."""

import functools
import importlib
import pathlib

import jax
import jax.numpy as jnp
import pytest

from mhmr_jax import checkpoints, train_step
from mhmr_jax.body import smpl
from mhmr_jax.models import motion_hmr

NAMES = sorted(
  path.stem
  for path in (pathlib.Path(__file__).parents[1] / "configs").glob("*.py")
  if path.stem not in ("__init__", "base")
)


def targets(batch_size: int, window: int) -> dict[str, jax.ShapeDtypeStruct]:
  shapes = {
    "pose": (batch_size, window, 24, 3),
    "betas": (batch_size, 10),
    "joints_camera": (batch_size, window, 24, 3),
    "joints_crop": (batch_size, window, 24, 2),
    "visibility": (batch_size, window, 24),
  }
  made = {key: jax.ShapeDtypeStruct(s, jnp.float32) for key, s in shapes.items()}
  return made | {"valid": jax.ShapeDtypeStruct((batch_size, window), bool)}


@pytest.mark.parametrize("variant", ["", "paper"])
@pytest.mark.parametrize("name", NAMES)
def test_training_step_has_shapes(name, variant):
  config = importlib.import_module(f"configs.{name}").get_config(variant)
  model = motion_hmr.from_config(config.model, config.data.size)
  optimizer = train_step.make_optimizer(config)
  key = jax.random.key(0)
  inputs = checkpoints.input_shapes(config)
  init = functools.partial(
    train_step.init_state, batch=inputs, model=model, optimizer=optimizer
  )
  state = jax.eval_shape(init, key)
  step = functools.partial(
    train_step.train_step,
    model=model,
    optimizer=optimizer,
    loss_weights=config.loss.to_dict(),
  )
  batch = {**inputs, **targets(config.train.batch_size, config.data.window)}
  after, scalars = jax.eval_shape(step, state, batch, key, smpl.load())
  assert jax.tree.structure(after) == jax.tree.structure(state)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
    lambda x: (x.shape, x.dtype), state
  )
  assert scalars["loss"].shape == ()
  assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(after.params))
  if variant == "paper":
    # ResNet-50 has 23.5 million without its classifier.
    assert train_step.parameter_count(after.variables) > 30e6


def test_an_unknown_variant_is_refused():
  with pytest.raises(ValueError, match="papper"):
    importlib.import_module("configs.flow_kp").get_config("papper")
