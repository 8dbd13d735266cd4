"""Every config: its whole training step has shapes, and resolves to one result."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mhmr_jax.body import smpl
from mhmr_jax.data import pipeline
from mhmr_jax.models import motion_hmr
from mhmr_jax.runtime import sharding
from mhmr_jax.training import steps, train_step
from tests import tiny
from tests.data.clips import make_source

# Another program trains these: tests/test_train_flow.py has their steps.
FLOW_NETWORKS = ("flow_base", "flow_flownets", "flow_raft")
NAMES = sorted(
  path.stem
  for path in (pathlib.Path(__file__).parents[1] / "configs").glob("*.py")
  if path.stem not in ("__init__", "base", *FLOW_NETWORKS)
)

# These differ from flow_kp in what the network sees, or in what it learns from, alone:
# its network is theirs, but for the first convolution's inputs.
ALIKE = (
  *("rgb", "flow", "kp", "rgb_flow", "rgb_kp", "rgb_flow_kp"),
  *("kinetics", "flow_kp_kinetics"),
)

INPUTS = {
  "rgb": {"rgb"},
  "flow": {"flow"},
  "kp": {"keypoints"},
  "rgb_flow": {"rgb", "flow"},
  "rgb_kp": {"rgb", "keypoints"},
  "flow_kp": {"flow", "keypoints"},
  "rgb_flow_kp": {"rgb", "flow", "keypoints"},
  "hmr": {"rgb"},
  "dann": {"rgb"},
  "flow_kp_kinetics": {"flow", "keypoints"},
  "kinetics": {"flow", "keypoints"},
  "kp_video": {"keypoints"},
}
# A config of examples that the paper does not have.
WITHOUT_PAPER = ("kp_video",)
# Between them all that a step can have: an adversary, no memory, and neither.
STEPS = ("dann", "hmr", "kp")


def _cases(names):
  return [
    (name, variant)
    for name in names
    for variant in ("", "paper")
    if not (variant and name in WITHOUT_PAPER)
  ]


def test_every_config_is_here():
  assert set(NAMES) == set(INPUTS)


@pytest.mark.parametrize(("name", "variant"), _cases(NAMES))
def test_inputs_and_parameters_have_shapes(name, variant):
  config = tiny.experiment(name, variant)
  batch = steps.batch_shapes(config)
  assert batch.keys() & {"rgb", "flow", "keypoints"} == INPUTS[name]
  if name in ALIKE:
    # Tracing takes seconds; tests/models/test_motion_hmr.py has any inputs' shapes.
    assert _without_inputs(config) == _without_inputs(
      tiny.experiment("flow_kp", variant)
    )
    return
  made = steps.make_train_step(config, sharding.make_mesh(jax.devices()[:1]))
  params = jax.eval_shape(made.init, jax.random.key(0)).params
  assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
  assert ("temporal" in params) == (name != "hmr")
  if variant == "paper" and "encoder" in params:  # Coordinates need none.
    # ResNet-50 has 23.5 million without its classifier, the regressor 3, an LSTM 33.
    expected = 55e6 if config.model.lstm_features else 25e6
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) > expected


@pytest.mark.parametrize(("name", "variant"), _cases((*STEPS, *WITHOUT_PAPER)))
def test_training_step_has_shapes(name, variant):
  config = tiny.experiment(name, variant)
  made = steps.make_train_step(config, sharding.make_mesh(jax.devices()[:1]))
  key = jax.random.key(0)
  state = jax.eval_shape(made.init, key)
  batch = steps.batch_shapes(config)
  after, scalars = jax.eval_shape(made.step, state, batch, key, smpl.load())
  assert jax.tree.structure(after) == jax.tree.structure(state)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
    lambda x: (x.shape, x.dtype), state
  )
  assert scalars["loss"].shape == ()


@pytest.mark.parametrize("name", STEPS)
def test_two_steps_change_the_whole_network(name, tmp_path):
  config = tiny.config(tmp_path, name, train__warmup_steps=0)
  target = make_source([10] * 4) if name == "dann" else None
  iterator = pipeline.training_iterator(make_source([10] * 4), config, target=target)
  batch, following = next(iterator), next(iterator)
  iterator.close()
  model = motion_hmr.from_config(config)
  optimizer = train_step.make_optimizer(config.train)
  key, body = jax.random.key(0), smpl.load()
  inputs = motion_hmr.input_shapes(config)
  init = functools.partial(
    train_step.init_state, batch=inputs, model=model, optimizer=optimizer
  )
  before = jax.jit(init)(key)
  step = jax.jit(
    functools.partial(
      train_step.train_step,
      model=model,
      optimizer=optimizer,
      loss_weights=config.loss.to_dict(),
    )
  )
  state, _ = step(before, batch, key, body)
  state, scalars = step(state, following, key, body)

  assert batch.keys() & {"rgb", "flow", "keypoints"} == INPUTS[name]
  assert int(state.step) == 2
  assert bool(state.finite)
  assert all(np.isfinite(value) for value in scalars.values())
  changed = jax.tree.map(lambda a, b: bool((a != b).any()), before, state)
  assert all(jax.tree.leaves(changed.params)), changed.params
  adversarial = {"domain_loss", "domain_accuracy", "domain_lambda"}
  assert scalars.keys() & adversarial == (adversarial if name == "dann" else set())


def test_the_adversarys_schedule_is_as_long_as_the_run():
  config = tiny.experiment("dann")
  config.train.steps = 77
  assert config.model.domain_classifier.steps == 77
  paper = tiny.experiment("dann", "paper")
  assert paper.model.domain_classifier.steps == paper.train.steps == 300_000


def _without_inputs(config):
  """Its values without those that say what goes into the network."""
  values = config.to_dict()
  del values["model"]["inputs"]
  for key in ("source", "mixture", "people"):
    del values["data"][key]
  return values


def test_an_unknown_variant_is_refused():
  with pytest.raises(ValueError, match="papper"):
    tiny.experiment("flow_kp", "papper")


@pytest.mark.parametrize("name", WITHOUT_PAPER)
def test_a_config_without_variants_says_so(name):
  with pytest.raises(ValueError, match=f"^{name} has no variant 'paper': leave it out"):
    tiny.experiment(name, "paper")
