"""Centroids of channels: the place and height of a heatmap's peak."""

import jax
import jax.numpy as jnp
import numpy as np

from mhmr_jax.keypoints import heatmaps
from mhmr_jax.models.encoder import channel_centroids


def test_centroids_of_heatmaps_are_their_keypoints():
  rng = np.random.default_rng(0)
  keypoints = rng.uniform(20, 44, (3, 17, 3)).astype(np.float32)
  keypoints[..., 2] = rng.uniform(0.3, 1, (3, 17))
  keypoints[1, 4] = 0
  drawn = heatmaps.draw(jnp.asarray(keypoints), 64, 3.2)
  peak, x, y = np.split(np.asarray(channel_centroids(drawn)), 3, axis=-1)
  seen = keypoints[..., 2] > 0
  np.testing.assert_allclose(peak, keypoints[..., 2], rtol=0.03)
  np.testing.assert_allclose(x[seen], keypoints[seen, 0] / 32 - 1, atol=1e-3)
  np.testing.assert_allclose(y[seen], keypoints[seen, 1] / 32 - 1, atol=1e-3)
  assert x[1, 4] == y[1, 4] == 0


def test_negative_values_do_not_count_and_gradients_are_finite():
  x = (-jnp.ones((1, 8, 8, 2))).at[0, 3, 5, 0].set(-2.0)
  found = channel_centroids(x)
  np.testing.assert_array_equal(found, np.zeros((1, 6)))
  gradient = jax.grad(lambda x: channel_centroids(x).sum())(jnp.zeros((1, 8, 8, 2)))
  assert np.isfinite(gradient).all()
