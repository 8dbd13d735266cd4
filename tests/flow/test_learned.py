import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from mhmr_jax.errors import InputError
from mhmr_jax.flow import flownets, learned, network, raft


class Fake(network.FlowNetwork):
  """Says how much brighter the second image is, as a flow to the right."""

  min_size: int
  stride = 64

  def estimate(self, first, second):
    assert first.shape[1] % self.stride == first.shape[2] % self.stride == 0
    assert min(first.shape[1:3]) >= self.min_size
    x = (second - first).mean(-1)
    return jnp.stack([x, jnp.zeros_like(x)], -1)


def _levels(*values, shape=(48, 60, 3)):
  return jnp.stack([jnp.full(shape, value, jnp.uint8) for value in values])


@pytest.mark.parametrize(("min_size", "scale"), [(0, 1), (96, 2)])
def test_any_size_is_fed_as_the_network_wants_it(min_size, scale):
  first, second = _levels(0, 51), _levels(51, 51)
  flow = jax.jit(lambda *x: learned.estimate(Fake(min_size), {}, *x))(first, second)
  assert flow.shape == (2, 48, 60, 2)
  # 51 of 127.5 brighter, in pixels of the enlarged image; then the same image twice.
  np.testing.assert_allclose(flow[0, ..., 0], 0.4 / scale, rtol=1e-6)
  np.testing.assert_array_equal(flow[0, ..., 1], 0)
  np.testing.assert_array_equal(flow[1], 0)


def test_clips_go_from_each_frame_to_the_next():
  rgb = jnp.stack([_levels(10, 30, 30), _levels(90, 80, 200)])
  before = _levels(10, 50)
  flow = jax.jit(lambda *x: learned.clip_flow(Fake(0), {}, *x))(rgb, before)
  assert flow.dtype == jnp.float16
  expected = np.array([[0, 20, 0], [40, -10, 120]]) / 127.5
  np.testing.assert_allclose(flow[:, :, 0, 0, 0], expected, rtol=1e-3)
  np.testing.assert_array_equal(flow[..., 1], 0)


def test_no_gradient_reaches_the_weights():
  model = flownets.FlowNetS(width=0.05, form="plain")
  shapes = jax.eval_shape(
    lambda key: learned.init_variables(model, key), jax.random.key(0)
  )
  variables = jax.tree.map(lambda x: np.full(x.shape, 0.01, np.float32), shapes)
  rgb = jnp.stack([_levels(10, 30, shape=(64, 64, 3))])

  def total(variables):
    return learned.clip_flow(model, variables, rgb, rgb[:, 0]).sum()

  value, gradient = jax.jit(jax.value_and_grad(total))(variables)
  assert value != 0
  assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))


def test_configs_name_the_network():
  made = learned.from_config(ConfigDict({"kind": "flownets", "width": 0.5}))
  assert made == flownets.FlowNetS(width=0.5)
  assert learned.from_config(ConfigDict({"kind": "raft"})) == raft.RaftSmall()
  with pytest.raises(InputError, match="'pwc'"):
    learned.from_config(ConfigDict({"kind": "pwc"}))


@pytest.mark.parametrize("kind", ["flownets", "raft"])
def test_missing_weights_end_in_one_sentence(kind, tmp_path):
  with pytest.raises(InputError, match=r"config\.flow\.weights"):
    learned.load(kind, "")
  with pytest.raises(InputError, match="absent"):
    learned.load(kind, str(tmp_path / "absent"))
  with pytest.raises(InputError, match=str(tmp_path)):
    learned.load(kind, str(tmp_path))
