import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mhmr_jax.models.norm import GhostBatchNorm


def _frames(count=6):
  return np.random.default_rng(0).normal(3, 2, (count, 4, 5, 3)).astype(np.float32)


def _apply(module, frames, variables=None):
  variables = variables or jax.jit(module.init)(jax.random.key(0), frames)
  apply = functools.partial(module.apply, mutable=["batch_stats"])
  return jax.jit(apply)(variables, frames)


def test_each_group_is_normalised_by_its_own_statistics():
  frames = _frames()
  out, updates = _apply(GhostBatchNorm(2, False, momentum=0.9), frames)
  means, variances = [], []
  for start in (0, 2, 4):
    group = frames[start : start + 2].astype(np.float64)
    means.append(group.mean((0, 1, 2)))
    variances.append(group.var((0, 1, 2)))
    expected = (group - means[-1]) / np.sqrt(variances[-1] + 1e-5)
    np.testing.assert_allclose(out[start : start + 2], expected, atol=1e-5)
  kept = updates["batch_stats"]
  np.testing.assert_allclose(kept["mean"], 0.1 * np.mean(means, 0), rtol=1e-5)
  np.testing.assert_allclose(kept["var"], 0.9 + 0.1 * np.mean(variances, 0), rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_one_group_is_flaxs_batch_norm(dtype):
  frames = _frames().astype(dtype)
  settings = dict(use_running_average=False, momentum=0.9, dtype=dtype)
  ours = _apply(GhostBatchNorm(6, **settings), frames)
  theirs = _apply(nn.BatchNorm(**settings), frames)
  assert ours[0].dtype == dtype
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(
      np.asarray(a, np.float32), np.asarray(b, np.float32), atol=2e-5
    ),
    (ours[0], ours[1]["batch_stats"]),
    (theirs[0], theirs[1]["batch_stats"]),
  )


def test_running_statistics_are_used_where_asked_for():
  frames = _frames()
  stats = {"mean": np.float32([1.0, 2.0, 3.0]), "var": np.float32([4.0, 1.0, 0.25])}
  params = {"scale": np.float32([1.0, 2.0, 1.0]), "bias": np.float32([0.0, 0.0, 5.0])}
  out, _ = _apply(
    GhostBatchNorm(4, True), frames, {"params": params, "batch_stats": stats}
  )
  gain = params["scale"] / np.sqrt(stats["var"] + 1e-5)
  expected = (frames - stats["mean"]) * gain + params["bias"]
  np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


def test_groups_that_do_not_divide_the_batch_are_refused():
  with pytest.raises(ValueError, match="groups of 4 frames"):
    _apply(GhostBatchNorm(4, False), _frames(6))
