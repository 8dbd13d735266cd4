"""The training step of a config on a mesh: its first state, and parts of a batch."""

import jax
import numpy as np
import pytest

from mhmr_jax.body import smpl
from mhmr_jax.data import pipeline
from mhmr_jax.models import motion_hmr
from mhmr_jax.runtime import sharding
from mhmr_jax.training import steps
from tests import tiny
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
    # It compiles for less time so.
    model__regressor__rounds=1,
    model__encoder__stage_blocks=(1,),
    model__encoder__stage_widths=(8,),
  )
  iterator = pipeline.training_iterator(make_source([10] * 4), config)
  batch = {**next(iterator)}
  iterator.close()
  batch["valid"], batch["visibility"] = (
    np.ones_like(batch[key]) for key in ("valid", "visibility")
  )
  train, key, body = _make(config), jax.random.key(0), smpl.load()
  state = jax.device_get(jax.jit(train.init)(key))
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
