import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mhmr_jax.models.encoder import FrameEncoder

SMALL: dict[str, Any] = {
  "stage_blocks": (1, 1),
  "stage_widths": (8, 16),
  "bottleneck": False,
  "stem_width": 8,
  "stem_kernel": 3,
  "stem_pool": False,
}


def _frames(channels=5):
  return jax.random.normal(jax.random.key(0), (4, 16, 16, channels))


def _shapes(module):
  return jax.eval_shape(module.init_with_output, jax.random.key(0), _frames())


def test_resnet50_has_the_size_of_the_paper():
  frames = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32)
  module = FrameEncoder(dtype=jnp.bfloat16, remat=True)
  features, variables = jax.eval_shape(
    module.init_with_output, jax.random.key(0), frames
  )
  assert features.shape == (2, 2048)
  assert features.dtype == jnp.float32
  # ResNet-50's 25.557 million less the 1000-way classifier's 2.049, give or take
  # the norms, which sit elsewhere in v2.
  count = sum(p.size for p in jax.tree.leaves(variables["params"]))
  assert count == pytest.approx(23.508e6, rel=1e-3)


def test_remat_and_form_leave_parameters_and_gradients():
  frames = _frames()
  reference = FrameEncoder(**SMALL, conv_form="dots")
  variables = jax.jit(reference.init)(jax.random.key(1), frames)

  def grads(module):
    def loss(params):
      features, updates = module.apply(
        {**variables, "params": params}, frames, True, mutable=["batch_stats"]
      )
      return jnp.sum(jnp.sin(features)), updates

    return jax.jit(jax.grad(loss, has_aux=True))(variables["params"])

  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
    grads(FrameEncoder(**SMALL, conv_form="plain", remat=True)),
    grads(reference),
  )


def test_bottleneck_and_pool_grid_and_group_norm():
  small = {
    **SMALL,
    "bottleneck": True,
    "stem_pool": True,
    "norm": "group",
    "norm_groups": 4,
  }
  module = FrameEncoder(**small, pool_grid=2, features=24)
  features, variables = _shapes(module)
  assert features.shape == (4, 24)
  assert set(variables) == {"params"}
  assert variables["params"]["project"]["kernel"].shape == (4 * 64, 24)


def test_pool_grid_keeps_position_and_the_average_does_not():
  frames = jnp.zeros((2, 16, 16, 3)).at[0, 4:7, 4:7].set(1.0)
  frames = frames.at[1].set(jnp.roll(frames[0], 8, axis=1))
  one_block = {**SMALL, "stage_blocks": (1,), "stage_widths": (8,)}

  @functools.partial(jax.jit, static_argnums=0)
  def distance(pool_grid):
    module = FrameEncoder(**one_block, pool_grid=pool_grid)
    features = module.init_with_output(jax.random.key(1), frames)[0]
    return jnp.linalg.norm(features[0] - features[1]) / jnp.linalg.norm(features)

  assert distance(2) > 3 * distance(1)


def test_unknown_norm_and_grid_are_refused():
  with pytest.raises(ValueError, match="norm"):
    _shapes(FrameEncoder(**SMALL, norm="layer"))
  with pytest.raises(ValueError, match="pool_grid"):
    _shapes(FrameEncoder(**SMALL, pool_grid=3))
