import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mhmr_jax.keypoints import heatmaps
from mhmr_jax.models.encoder import FrameEncoder, JointFinder, channel_centroids
from tests import drawn

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
  (features, joints), variables = jax.eval_shape(
    module.init_with_output, jax.random.key(0), frames
  )
  assert joints is None
  assert features.shape == (2, 2048)
  assert features.dtype == jnp.float32
  # ResNet-50's 25.557 million less the 1000-way classifier's 2.049, give or take
  # the norms, which sit elsewhere in v2.
  count = sum(p.size for p in jax.tree.leaves(variables["params"]))
  assert count == pytest.approx(23.508e6, rel=1e-3)


def _forms_agree(first, second):
  """Checks that two encoders have the same parameters, gradients and statistics."""
  frames = _frames()
  variables = drawn.variables(first.init, frames)

  def grads(module):
    def loss(params):
      encoded, updates = module.apply(
        {**variables, "params": params}, frames, True, mutable=["batch_stats"]
      )
      return jnp.sum(jnp.sin(encoded.features)), updates

    return jax.jit(jax.grad(loss, has_aux=True))(variables["params"])

  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
    grads(first),
    grads(second),
  )


def test_remat_and_form_leave_parameters_and_gradients():
  _forms_agree(
    FrameEncoder(**SMALL, conv_form="dots"),
    FrameEncoder(**SMALL, conv_form="plain", remat=True),
  )


@pytest.mark.parametrize("bottleneck", [False, True])
def test_the_form_of_tpus_leaves_parameters_and_gradients(bottleneck):
  changes = dict(stage_blocks=(2, 1), stage_widths=(4, 8), bottleneck=bottleneck)
  small = {**SMALL, **changes}
  _forms_agree(
    FrameEncoder(**small, conv_form="plain"),
    FrameEncoder(**small, conv_form="fused", batch_parts=2),
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
  (features, _), variables = _shapes(module)
  assert features.shape == (4, 24)
  assert set(variables) == {"params"}
  assert variables["params"]["project"]["kernel"].shape == (4 * 64, 24)


def test_pool_grid_keeps_position_and_the_average_does_not():
  frames = np.zeros((2, 16, 16, 3), np.float32)
  frames[0, 4:7, 4:7] = 1.0
  frames[1] = np.roll(frames[0], 8, axis=1)
  one_block = {**SMALL, "stage_blocks": (1,), "stage_widths": (8,)}

  @functools.partial(jax.jit, static_argnums=0)
  def distance(pool_grid, frames):
    module = FrameEncoder(**one_block, pool_grid=pool_grid)
    features = module.init_with_output(jax.random.key(1), frames)[0].features
    return jnp.linalg.norm(features[0] - features[1]) / jnp.linalg.norm(features)

  assert distance(2, frames) > 3 * distance(1, frames)


def test_unknown_norm_and_grid_are_refused():
  with pytest.raises(ValueError, match="norm"):
    _shapes(FrameEncoder(**SMALL, norm="layer"))
  with pytest.raises(ValueError, match="pool_grid"):
    _shapes(FrameEncoder(**SMALL, pool_grid=3))


def test_centroids_of_heatmaps_are_their_keypoints():
  rng = np.random.default_rng(0)
  keypoints = rng.uniform(20, 44, (3, 17, 3)).astype(np.float32)
  keypoints[..., 2] = rng.uniform(0.3, 1, (3, 17))
  keypoints[1, 4] = 0
  found = jax.jit(lambda points: channel_centroids(heatmaps.draw(points, 64, 3.2)))
  peak, x, y = np.split(np.asarray(found(keypoints)), 3, axis=-1)
  scored = keypoints[..., 2] > 0
  np.testing.assert_allclose(peak, keypoints[..., 2], rtol=0.03)
  np.testing.assert_allclose(x[scored], keypoints[scored, 0] / 32 - 1, atol=1e-3)
  np.testing.assert_allclose(y[scored], keypoints[scored, 1] / 32 - 1, atol=1e-3)
  assert x[1, 4] == y[1, 4] == 0


def test_negative_values_do_not_count_and_gradients_are_finite():
  def total(x):
    found = channel_centroids(x)
    return found.sum(), found

  run = jax.jit(jax.grad(total, has_aux=True))
  x = -np.ones((1, 8, 8, 2), np.float32)
  x[0, 3, 5, 0] = -2.0
  _, found = run(x)
  np.testing.assert_array_equal(found, np.zeros((1, 6)))
  gradient, _ = run(np.zeros_like(x))
  assert np.isfinite(gradient).all()


def test_a_joint_is_where_its_heatmap_is():
  # One channel a joint, a peak in one of 4 x 8 cells, and a map without any.
  peaks = np.random.default_rng(0).integers(0, [4, 8], (3, 24, 2))
  maps = np.zeros((4, 4, 8, 24), np.float32)
  for frame, joint in np.ndindex(3, 24):
    maps[frame, *peaks[frame, joint], joint] = 1
  kernel, bias = 50 * np.eye(24, dtype=np.float32), np.zeros(24, np.float32)
  sharp = {"heatmaps": {"kernel": kernel, "bias": bias}}
  found = jax.jit(JointFinder().apply)({"params": sharp}, maps)
  # The grid reaches a quarter of half a crop beyond the crop's border.
  place = 1.25 * ((2 * peaks[..., ::-1] + 1) / [8, 4] - 1)
  np.testing.assert_allclose(found.places[:3], place, atol=1e-4)
  np.testing.assert_allclose(found.spreads[:3], 0, atol=2e-3)
  np.testing.assert_allclose(found.places[3], 0, atol=1e-5)
  np.testing.assert_allclose(np.exp(found.heatmaps[:3]), maps[:3], atol=1e-5)
  np.testing.assert_allclose(np.exp(found.heatmaps[3]), 1 / 32, rtol=1e-5)
  cells = (
    1.25 * ((2 * np.arange(8) + 1) / 8 - 1),
    1.25 * ((2 * np.arange(4) + 1) / 4 - 1),
  )
  spread = np.sqrt(sum(np.mean(axis**2) for axis in cells))
  np.testing.assert_allclose(found.spreads[3], spread, rtol=1e-5)


def test_an_encoder_learns_where_a_blob_is():
  rng = np.random.default_rng(0)
  centres = rng.uniform(4, 12, (64, 2))
  rows, columns = np.mgrid[:16, :16] + 0.5
  away = (rows - centres[:, 1, None, None]) ** 2 + (columns - centres[:, :1, None]) ** 2
  frames = np.exp(-away / 4)[..., None].astype(np.float32)
  target = (centres / 8 - 1)[:, None].astype(np.float32)
  one_stage = {**SMALL, "stage_blocks": (1,), "stage_widths": (8,)}
  norm = dict(norm="group", norm_groups=4)
  module = FrameEncoder(**one_stage, joints=True, features=8, **norm)
  params = drawn.variables(module.init, frames)["params"]

  def error(params, frames):
    encoded = module.apply({"params": params}, frames)
    return jnp.mean(jnp.abs(encoded.joints.places - target))

  @jax.jit
  def step(params, frames):
    value, gradient = jax.value_and_grad(error)(params, frames)
    moved = jax.tree.map(
      lambda p, g: p - 0.05 * jnp.sign(g) * jnp.abs(p).mean(), params, gradient
    )
    return moved, value

  _, first = step(params, frames)
  for _ in range(60):
    params, last = step(params, frames)
  assert float(last) < 0.4 * float(first)


def test_the_places_of_joints_are_features():
  frames = _frames()
  module = FrameEncoder(**SMALL, joints=True, features=8)
  variables = drawn.variables(module.init, frames)
  encoded = jax.jit(module.apply)(variables, frames)
  assert encoded.joints.places.shape == (4, 24, 2)
  without = jax.jit(FrameEncoder(**SMALL, features=8).apply)(variables, frames)
  assert not np.allclose(encoded.features, without.features)


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("size", [32, 36])
def test_joints_are_looked_for_on_maps_as_large_as_the_first_stage_s(size, bottleneck):
  changes = dict(
    stage_blocks=(1, 1, 1), stage_widths=(8, 12, 16), bottleneck=bottleneck
  )
  module = FrameEncoder(**{**SMALL, **changes}, joints=True)
  frames = jax.ShapeDtypeStruct((2, size, size, 3), np.float32)
  (features, joints), _ = jax.eval_shape(
    module.init_with_output, jax.random.key(0), frames
  )
  first = -(-size // module.stem_stride // (2 if module.stem_pool else 1))
  assert joints.heatmaps.shape == (2, first, first, 24)
  assert features.shape == (2, 64 if bottleneck else 16)


def test_a_merged_map_sees_all_stages():
  stages = dict(stage_blocks=(1, 1), stage_widths=(8, 12))
  module = FrameEncoder(**{**SMALL, **stages}, joints=True, norm="group", norm_groups=4)
  frames = jnp.asarray(_frames())
  params = drawn.variables(module.init, frames)["params"]

  def spread(params):
    encoded = module.apply({"params": params}, frames)
    return jnp.sum(jnp.square(encoded.joints.places))

  gradients = jax.jit(jax.grad(spread))(params)
  for name in ("stage1_block1", "stage2_block1", "merged1", "merged1_shortcut"):
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradients[name])), (
      name
    )
