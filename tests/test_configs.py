"""Every config: its whole training step has shapes, and resolves to one result."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mhmr_jax.body import smpl
from mhmr_jax.data import pipeline
from mhmr_jax.runtime import sharding
from mhmr_jax.training import steps
from tests import drawn, tiny
from tests.data.clips import make_source

# Another program trains these: tests/test_train_flow.py has their steps.
FLOW_NETWORKS = ("flow_base", "flow_flownets", "flow_raft")
NAMES = sorted(
  path.stem
  for path in (pathlib.Path(__file__).parents[1] / "configs").glob("*.py")
  if path.stem not in ("__init__", "base", *FLOW_NETWORKS)
)

# These differ from another config in what the network sees, or in what it learns from,
# alone: its network is theirs, but for the first convolution's inputs. A regressor has
# feedback only where there are keypoints.
ALIKE = {
  **dict.fromkeys(("rgb", "rgb_flow"), "flow"),
  **dict.fromkeys(("kp", "rgb_kp", "rgb_flow_kp"), "flow_kp"),
  **dict.fromkeys(("kinetics", "flow_kp_kinetics"), "flow_kp"),
}

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
WITHOUT_VARIANTS = ("kp_video",)
# Its step has all that the paper's steps have. The others lack parts of it, or differ
# in sizes from what is trained here and in tests/test_train.py.
STEPS = (("dann", "paper"),)


def _cases(names):
  return [
    (name, variant)
    for name in names
    for variant in ("", "small", "paper")
    if not (variant and name in WITHOUT_VARIANTS)
  ]


def test_every_config_is_here():
  assert set(NAMES) == set(INPUTS)


@pytest.mark.parametrize(("name", "variant"), _cases(NAMES))
def test_inputs_parameters_and_the_papers_step_have_shapes(name, variant):
  config = tiny.experiment(name, variant)
  batch = steps.batch_shapes(config)
  assert batch.keys() & {"rgb", "flow", "keypoints"} == INPUTS[name]
  if name in ALIKE:
    # Tracing takes seconds; tests/models/test_motion_hmr.py has any inputs' shapes.
    assert _without_inputs(config) == _without_inputs(
      tiny.experiment(ALIKE[name], variant)
    )
    return
  made = steps.make_train_step(config, sharding.make_mesh(jax.devices()[:1]))
  state = made.state_shapes
  assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state.params))
  assert ("temporal" in state.params) == (name != "hmr")
  if variant == "paper" and "encoder" in state.params:  # Coordinates need none.
    # ResNet-50 has 23.5 million without its classifier, the regressor 3, an LSTM 33.
    expected = 55e6 if config.model.lstm_features else 25e6
    assert sum(leaf.size for leaf in jax.tree.leaves(state.params)) > expected
  if (name, variant) not in STEPS:
    return
  key = jax.random.key(0)
  after, scalars = jax.eval_shape(made.step, state, batch, key, smpl.load())
  assert jax.tree.structure(after) == jax.tree.structure(state)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
    lambda x: (x.shape, x.dtype), state
  )
  assert scalars["loss"].shape == ()


def test_two_steps_without_memory_change_the_whole_network(tmp_path):
  # tests/test_train.py sees the same of a network with memory, and of an adversary.
  config = tiny.config(tmp_path, "hmr", train__warmup_steps=0)
  iterator = pipeline.training_iterator(make_source([10] * 4), config)
  batch, following = next(iterator), next(iterator)
  iterator.close()
  made = steps.make_train_step(config, sharding.make_mesh(jax.devices()[:1]))
  key, body = jax.random.key(0), smpl.load()
  # A state that lies as the step's own results do, or the step would be compiled twice.
  state = jax.device_put(drawn.state(made.state_shapes), made.state_shardings)
  before = jax.tree.map(np.array, state)
  state, _ = made.step(state, batch, key, body)
  state, scalars = made.step(state, following, key, body)

  assert batch.keys() & {"rgb", "flow", "keypoints"} == INPUTS["hmr"]
  assert int(state.step) == 2
  assert bool(state.finite)
  assert all(np.isfinite(value) for value in scalars.values())
  differ = lambda *arrays: not np.array_equal(*map(np.asarray, arrays))
  changed = jax.tree.map(differ, before.params, state.params)
  assert all(jax.tree.leaves(changed)), changed
  assert not any("domain" in name for name in scalars)


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


@pytest.mark.parametrize("name", WITHOUT_VARIANTS)
def test_a_config_without_variants_says_so(name):
  with pytest.raises(ValueError, match=f"^{name} has no variant 'paper': leave it out"):
    tiny.experiment(name, "paper")
