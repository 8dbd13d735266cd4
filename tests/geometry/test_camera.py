"""Projections and crops, down to half a pixel."""

import jax
import numpy as np
import pytest

from mhmr_jax.geometry import camera

weak_perspective = jax.jit(camera.weak_perspective)
perspective = jax.jit(camera.perspective)
image_to_crop = jax.jit(camera.image_to_crop)
crop_to_image = jax.jit(camera.crop_to_image)

BATCHES = ((), (1,), (3, 1, 2, 1))


def test_weak_perspective_scales_after_it_moves():
  points = np.array([[1.0, 2.0, 9.0]], np.float32)
  result = weak_perspective(points, np.array([2.0, 0.5, -1.0], np.float32))
  np.testing.assert_array_equal(result, [[3.0, 2.0]])


def test_perspective_is_the_pinhole():
  intrinsics = np.array([[600, 0, 160], [0, 500, 120], [0, 0, 1]], np.float32)
  points = np.array([[0.5, -0.2, 2.0], [0, 0, 3]], np.float32)
  result = perspective(points, intrinsics)
  np.testing.assert_allclose(result, [[310.0, 70.0], [160.0, 120.0]], rtol=1e-6)


def test_the_boxs_corners_are_the_crops():
  box = np.array([10.0, -20.0, 74.0, 44.0], np.float32)
  corners = np.array([[10, -20], [74, 44], [42, 12]], np.float32)
  result = image_to_crop(corners, box)
  np.testing.assert_array_equal(result, [[-1, -1], [1, 1], [0, 0]])


def test_pixel_centres_are_at_one_half():
  # An image of 4 pixels cropped whole, at its own size: pixel 0's centre is at 0.5,
  # which is 2 * 0.5 / 4 - 1.
  box = np.array([0.0, 0.0, 4.0, 4.0], np.float32)
  centres = np.stack([np.arange(4) + 0.5] * 2, axis=-1).astype(np.float32)
  result = image_to_crop(centres, box)
  np.testing.assert_allclose(result[:, 0], [-0.75, -0.25, 0.25, 0.75])


@pytest.mark.parametrize("batch", BATCHES)
def test_crop_and_image_are_inverse(batch):
  rng = np.random.default_rng(0)
  corner = rng.uniform(-50, 200, (*batch, 2))
  size = rng.uniform(20, 300, (*batch, 1))
  box = np.concatenate([corner, corner + size], axis=-1).astype(np.float32)
  points = rng.uniform(0, 320, (*batch, 5, 2)).astype(np.float32)
  crop = image_to_crop(points, box)
  assert crop.shape == points.shape
  np.testing.assert_allclose(crop_to_image(crop, box), points, atol=1e-3)


@pytest.mark.parametrize("batch", BATCHES)
def test_projections_take_any_batch(batch):
  rng = np.random.default_rng(1)
  points = rng.uniform(1, 2, (*batch, 5, 3)).astype(np.float32)
  intrinsics = rng.uniform(1, 2, (*batch, 3, 3)).astype(np.float32)
  assert perspective(points, intrinsics).shape == (*batch, 5, 2)
  assert weak_perspective(points, intrinsics[..., 0]).shape == (*batch, 5, 2)
