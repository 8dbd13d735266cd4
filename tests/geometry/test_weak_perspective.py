import jax
import numpy as np
import pytest

from mhmr_jax.geometry import weak_perspective


def test_points_are_moved_before_they_are_scaled():
  points = np.array([[1.0, 2.0, 9.0]], np.float32)
  camera = np.array([2.0, 0.5, -1.0], np.float32)
  np.testing.assert_array_equal(weak_perspective.project(points, camera), [[3.0, 2.0]])


@pytest.mark.parametrize("batch", [(), (1,), (3, 1, 2, 1)])
def test_numpy_and_jax_give_the_same_bits_for_any_batch(batch):
  rng = np.random.default_rng(1)
  points = rng.uniform(1, 2, (*batch, 5, 3)).astype(np.float32)
  camera = rng.uniform(1, 2, (*batch, 3)).astype(np.float32)
  pixels = weak_perspective.project(points, camera)
  assert isinstance(pixels, np.ndarray)
  assert pixels.shape == (*batch, 5, 2)
  compiled = jax.jit(weak_perspective.project)(points, camera)
  np.testing.assert_array_equal(compiled, pixels)
