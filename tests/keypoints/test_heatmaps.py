"""Heatmaps against a reference that loops over points and pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mhmr_jax.keypoints import heatmaps


def _reference(keypoints, size, sigma):
  image = np.zeros((size, size, len(keypoints)))
  for k, (x, y, score) in enumerate(keypoints):
    for row in range(size):
      for column in range(size):
        squared = (column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2
        image[row, column, k] = score * np.exp(-squared / (2 * sigma**2))
  return image


def test_equals_the_reference_also_outside_the_crop():
  rng = np.random.default_rng(0)
  keypoints = rng.uniform(-6, 22, (17, 3)).astype(np.float32)
  keypoints[:, 2] = rng.uniform(0, 1, 17)
  drawn = heatmaps.draw(jnp.asarray(keypoints), 16, 1.7)
  np.testing.assert_allclose(drawn, _reference(keypoints, 16, 1.7), atol=1e-6)


def test_peak_is_at_the_pixel_whose_centre_is_the_point():
  keypoints = jnp.array([[5.5, 2.5, 0.8]])
  drawn = heatmaps.draw(keypoints, 8, 1.0)
  assert drawn[2, 5, 0] == pytest.approx(0.8)
  assert np.unravel_index(np.argmax(drawn), drawn.shape) == (2, 5, 0)


@pytest.mark.parametrize("batch", [(), (1,), (3, 1, 2)])
def test_any_batch_shape(batch):
  rng = np.random.default_rng(1)
  keypoints = rng.uniform(0, 8, (*batch, 17, 3)).astype(np.float32)
  drawn = heatmaps.draw(jnp.asarray(keypoints), 8, 1.0)
  assert drawn.shape == (*batch, 8, 8, 17)
  assert drawn.dtype == jnp.float32
  single = heatmaps.draw(jnp.asarray(keypoints.reshape(-1, 17, 3)[-1]), 8, 1.0)
  np.testing.assert_array_equal(drawn.reshape(-1, 8, 8, 17)[-1], single)


def test_missing_points_are_zero_even_where_they_are_not_numbers():
  keypoints = jnp.array([[np.nan, np.nan, 0.0], [3.0, 3.0, 0.0], [3.0, 3.0, 1.0]])
  drawn, gradient = jax.value_and_grad(
    lambda points: heatmaps.draw(points, 8, 1.0).sum()
  )(keypoints)
  planes = heatmaps.draw(keypoints, 8, 1.0)
  assert np.all(planes[..., :2] == 0)
  assert np.isfinite(drawn)
  assert np.all(np.isfinite(gradient))
