"""Heatmaps against a reference that loops over points and pixels."""

import jax
import numpy as np
import pytest

from mhmr_jax.keypoints import heatmaps

_draw = jax.jit(heatmaps.draw, static_argnums=(1, 2))


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
  drawn = _draw(keypoints, 16, 1.7)
  np.testing.assert_allclose(drawn, _reference(keypoints, 16, 1.7), atol=1e-6)


def test_peak_is_at_the_pixel_whose_centre_is_the_point():
  keypoints = np.float32([[5.5, 2.5, 0.8]])
  drawn = np.asarray(_draw(keypoints, 8, 1.0))
  assert drawn[2, 5, 0] == pytest.approx(0.8)
  assert np.unravel_index(np.argmax(drawn), drawn.shape) == (2, 5, 0)


@pytest.mark.parametrize("batch", [(), (1,), (3, 1, 2)])
def test_any_batch_shape(batch):
  rng = np.random.default_rng(1)
  keypoints = rng.uniform(0, 8, (*batch, 17, 3)).astype(np.float32)
  drawn = np.asarray(_draw(keypoints, 8, 1.0))
  assert drawn.shape == (*batch, 8, 8, 17)
  assert drawn.dtype == np.float32
  single = _draw(keypoints.reshape(-1, 17, 3)[-1], 8, 1.0)
  np.testing.assert_array_equal(drawn.reshape(-1, 8, 8, 17)[-1], single)


def test_missing_points_are_zero_even_where_they_are_not_numbers():
  keypoints = np.float32([[np.nan, np.nan, 0.0], [3.0, 3.0, 0.0], [3.0, 3.0, 1.0]])

  def total_and_planes(points):
    drawn = heatmaps.draw(points, 8, 1.0)
    return drawn.sum(), drawn

  gradient, planes = jax.jit(jax.grad(total_and_planes, has_aux=True))(keypoints)
  planes = np.asarray(planes)
  assert np.all(planes[..., :2] == 0)
  assert np.isfinite(planes).all()
  assert np.all(np.isfinite(gradient))
