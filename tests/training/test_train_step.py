"""The training step of a config on a mesh: its first state, and parts of a batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from mhmr_jax.body import smpl
from mhmr_jax.data import pipeline
from mhmr_jax.errors import InputError
from mhmr_jax.models import motion_hmr
from mhmr_jax.runtime import sharding
from mhmr_jax.training import steps, train_step
from tests import drawn, tiny
from tests.data.clips import make_source


def _make(config):
  return steps.make_train_step(config, sharding.make_mesh(jax.devices()[:1]))


def test_the_first_state_is_traced_once(tmp_path, monkeypatch):
  traced = []
  init = motion_hmr.init_variables

  def spy(*arguments):
    traced.append(arguments)
    return init(*arguments)

  monkeypatch.setattr(motion_hmr, "init_variables", spy)
  train = _make(tiny.config(tmp_path, "kp"))
  # As the loop does.
  whole = sharding.replicated(sharding.make_mesh(jax.devices()[:1]))
  key = jax.device_put(jax.random.key(3), whole)
  jax.eval_shape(train.init, key)
  jax.jit(train.init, out_shardings=train.state_shardings).trace(key)
  assert len(traced) == 1


@pytest.mark.slow
def test_parts_of_a_batch_give_the_gradients_of_the_whole(tmp_path):
  # Without what differs between the parts and the whole by design: batch statistics
  # and dropout. All joints of all frames count, so that the parts weigh the same.
  config = tiny.config(
    tmp_path,
    "kp",
    train__warmup_steps=0,
    model__encoder__norm="group",
    model__encoder__norm_groups=4,
    model__regressor__dropout=0.0,
  )
  iterator = pipeline.training_iterator(make_source([10] * 4), config)
  batch = {**next(iterator)}
  iterator.close()
  batch["valid"], batch["visibility"] = (
    np.ones_like(batch[key]) for key in ("valid", "visibility")
  )
  train, key, body = _make(config), jax.random.key(0), smpl.load()
  state = drawn.state(train.state_shapes)
  whole, scalars = train.step(state, batch, key, body)
  config.train.accumulate = 2
  parts, in_parts = _make(config).step(state, batch, key, body)
  assert scalars.keys() == in_parts.keys()
  for name, value in scalars.items():
    np.testing.assert_allclose(in_parts[name], value, rtol=1e-4, err_msg=name)
  # Adam's first moment is a tenth of the clipped gradient.
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-7),
    parts.opt_state[1][0].mu,
    whole.opt_state[1][0].mu,
  )


def _optimizer(**changes):
  settings = dict(
    steps=100,
    optimizer="adamw",
    learning_rate=0.5,
    warmup_steps=10,
    hold=0.0,
    weight_decay=0.0,
    grad_clip=1e9,
  )
  return train_step.make_optimizer(ConfigDict(settings | changes))


def _learning_rates(**changes):
  """The rate of every step, which the sign of a constant gradient is multiplied by."""
  optimizer = _optimizer(**changes)
  params = {"bias": np.zeros(1, np.float32)}

  def step(state, _):
    updates, state = optimizer.update({"bias": jnp.ones(1)}, state, params)
    return state, -updates["bias"][0]

  run = lambda params: jax.lax.scan(step, optimizer.init(params), length=101)[1]
  return np.asarray(jax.jit(run)(params))


def _updates(optimizer, gradients, params, steps=1):
  """What an optimiser adds to the parameters in the last of equal steps."""

  @jax.jit
  def run(gradients, params):
    state = optimizer.init(params)
    for _ in range(steps):
      updates, state = optimizer.update(gradients, state, params)
    return updates

  return run(gradients, params)


def test_the_learning_rate_warms_up_stays_and_falls_to_zero():
  rates = _learning_rates(hold=0.3)
  np.testing.assert_allclose(rates[:11], 0.5 * np.arange(11) / 10, atol=1e-4)
  np.testing.assert_allclose(rates[10:41], 0.5, rtol=1e-3)
  fallen = np.arange(60 + 1) / 60
  cosine = 0.25 * (1 + np.cos(np.pi * fallen))
  np.testing.assert_allclose(rates[40:], cosine, atol=1e-3)
  # Without it the cosine begins at once.
  plain = _learning_rates()
  np.testing.assert_allclose(plain[:11], rates[:11], atol=1e-6)
  assert plain[55] == pytest.approx(0.25, abs=1e-3)
  assert plain[100] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("shape", [(24, 12), (2, 3, 4, 12)])
def test_muon_updates_kernels_near_orthogonally_and_the_rest_as_adam(shape):
  rng = np.random.default_rng(0)
  params = {
    "kernel": np.zeros(shape, np.float32),
    "bias": np.zeros(12, np.float32),
  }
  # A gradient of very different singular values.
  left, right = rng.normal(size=(24, 12)), rng.normal(size=(12, 12))
  gradient = left @ np.diag(np.geomspace(1, 30, 12)) @ right
  gradients = {
    "kernel": gradient.astype(np.float32).reshape(shape),
    "bias": rng.normal(size=12).astype(np.float32),
  }
  optimizer = _optimizer(optimizer="muon", warmup_steps=0, learning_rate=0.1)
  updates = _updates(optimizer, gradients, params)
  update = np.asarray(updates["kernel"], np.float64).reshape(24, 12)
  singular = np.linalg.svd(update, compute_uv=False)
  before = np.linalg.svd(gradient, compute_uv=False)
  assert before.max() / before.min() > 30
  assert singular.max() / singular.min() < 2
  # The root mean square of a step of rate 1 is 0.4.
  assert np.sqrt(np.mean(update**2)) == pytest.approx(0.1 * 0.4, rel=0.25)
  assert np.vdot(update, gradient) < 0
  # Adam's first step with Nesterov's momentum, of a decay of 0.9.
  first = 0.9 * 0.1 / (1 - 0.9**2) + 1
  expected = -0.1 * first * np.sign(gradients["bias"])
  np.testing.assert_allclose(updates["bias"], expected, rtol=1e-3)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_only_matrices_decay(name):
  params = {"kernel": np.ones((4, 4), np.float32), "bias": np.ones(4, np.float32)}
  nothing = jax.tree.map(np.zeros_like, params)
  optimizer = _optimizer(optimizer=name, warmup_steps=0, weight_decay=0.2)
  updates = _updates(optimizer, nothing, params)
  np.testing.assert_allclose(updates["kernel"], -0.5 * 0.2, rtol=1e-3)
  np.testing.assert_array_equal(updates["bias"], 0)


def test_a_config_without_the_new_keys_trains_as_before():
  with_keys, old = (
    _optimizer(),
    ConfigDict(
      dict(
        steps=100, learning_rate=0.5, warmup_steps=10, weight_decay=0.0, grad_clip=1e9
      )
    ),
  )
  params = {"kernel": np.ones((3, 2), np.float32)}
  gradients = {"kernel": np.arange(6, dtype=np.float32).reshape(3, 2)}
  for optimizer in (with_keys, train_step.make_optimizer(old)):
    updates = np.asarray(_updates(optimizer, gradients, params, steps=2)["kernel"])
    np.testing.assert_allclose(updates[1:], -0.05, rtol=1e-4)


def test_an_unknown_optimizer_is_named():
  with pytest.raises(InputError) as caught:
    _optimizer(optimizer="sgd")
  assert str(caught.value) == "config.train.optimizer is 'sgd': use 'adamw' or 'muon'."
