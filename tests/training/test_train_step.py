"""The training step on a batch that is divided into parts."""

import jax
import numpy as np
import pytest

from mhmr_jax.body import smpl
from mhmr_jax.data import pipeline
from mhmr_jax.runtime import sharding
from mhmr_jax.training import steps
from tests import tiny
from tests.data.clips import make_source


def _after_a_step(config, batch):
  train = steps.make_train_step(config, sharding.make_mesh(jax.devices()[:1]))
  key, body = jax.random.key(0), smpl.load()
  state = jax.jit(train.init)(key)
  return train.step(state, batch, key, body)


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
  whole, scalars = _after_a_step(config, batch)
  config.train.accumulate = 2
  parts, in_parts = _after_a_step(config, batch)
  assert scalars.keys() == in_parts.keys()
  for name, value in scalars.items():
    np.testing.assert_allclose(in_parts[name], value, rtol=1e-4, err_msg=name)
  # Adam's first moment is a tenth of the clipped gradient.
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-7),
    parts.opt_state[1][0].mu,
    whole.opt_state[1][0].mu,
  )
