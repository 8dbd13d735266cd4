"""Windows and crops, down to half a pixel."""

import tracemalloc

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from mhmr_jax.geometry import windows
from tests.geometry import properties


def ramp(height: int, width: int) -> np.ndarray:
  """An image whose value at a pixel's centre is its (x, y) position."""
  x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
  return np.stack([x, y], -1).astype(np.float32)


@pytest.mark.parametrize("side", [20.0, 32.0, 47.5, 90.0, 200.0])
def test_crop_samples_the_positions_it_says(side):
  image = ramp(300, 400)
  box = np.array([80.25, 40.75, 80.25 + side, 40.75 + side], np.float32)
  crop = windows.crop_image(image, box, 32)
  centres = np.arange(32) + 0.5
  expected = box[0] + centres * side / 32
  # cv2 interpolates in steps of 1/32 pixel.
  tolerance = max(1, side / 32) / 32 + 1e-3
  np.testing.assert_allclose(crop[5, :, 0], expected, atol=tolerance)
  expected = box[1] + centres * side / 32
  np.testing.assert_allclose(crop[:, 5, 1], expected, atol=tolerance)


def test_crop_of_a_large_window_does_not_alias():
  stripes = np.zeros((512, 512), np.uint8)
  stripes[:, ::2] = 255
  crop = windows.crop_image(stripes, np.array([0.0, 0, 512, 512]), 64)
  inner = crop[8:-8, 8:-8].astype(float)
  assert abs(inner - 127.5).max() < 4


def test_crop_is_zero_outside_the_image():
  image = np.full((40, 40), 200, np.uint8)
  crop = windows.crop_image(image, np.array([-40.0, 0, 40, 80]), 32)
  assert crop[:14, :14].max() == 0
  assert crop[2:14, 18:].min() == 200
  far = windows.crop_image(image, np.array([900.0, 900, 1200, 1200]), 32)
  assert far.shape == (32, 32)
  assert far.max() == 0


def test_window_holds_the_points_and_ignores_bad_ones():
  keypoints = np.zeros((4, 17, 3), np.float32)
  keypoints[:, :5] = [100, 50, 0.9]
  keypoints[2, 1:3] = [140, 130, 0.9]
  keypoints[3, 7] = [900, 900, 0.01]
  box = windows.clip_window(keypoints, 1.5)
  np.testing.assert_allclose(box, [60, 30, 180, 150])
  assert windows.clip_window(np.zeros((4, 17, 3)), 1.5) is None


def test_no_single_point_sets_the_window():
  rng = np.random.default_rng(0)
  keypoints = np.full((8, 17, 3), 0.9, np.float32)
  keypoints[..., :2] = rng.uniform(100, 200, (8, 17, 2))
  box = windows.clip_window(keypoints, 1.5)
  for place in ([320, 150], [150, -20], [2000, 2000], [-1e5, 40], [1e30, 1e30]):
    lying = keypoints.copy()
    lying[3, 9, :2] = place
    np.testing.assert_allclose(windows.clip_window(lying, 1.5), box, atol=10)
  # A raised hand is not one that lies.
  lying[3, 9, :2] = [150, 30]
  assert windows.clip_window(lying, 1.5)[1] < 30
  assert np.isfinite(windows.clip_window(lying[3:4], 1.5)).all()


@pytest.mark.parametrize("side", [640.0, 2000.0, 1e5, 1e9, 1e30, np.inf])
def test_crop_of_a_huge_window_takes_no_memory(side):
  image = np.full((48, 64, 3), 200, np.uint8)
  box = np.array([-side / 2, -side / 2, side / 2, side / 2], np.float32)
  tracemalloc.start()
  crop = windows.crop_image(image, box, 32)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert crop.shape == (32, 32, 3)
  assert peak < 1e6
  # What is seen of the image is its share of the window.
  share = 48 * 64 / side**2
  if share > 1e-3:
    assert crop.astype(float).mean() == pytest.approx(200 * share, rel=0.1)
  else:
    assert crop.max() <= 200 * max(share * 32**2, 0.01)


def test_blocks_far_from_the_image_are_cut_as_if_it_were_padded():
  rng = np.random.default_rng(0)
  image = rng.integers(0, 255, (70, 90)).astype(np.uint8)
  padded = np.pad(image, 400)
  for corner in ([-300.0, -250.0], [20.0, -110.0], [-390.0, 10.0]):
    box = np.array([*corner, corner[0] + 380, corner[1] + 380], np.float32)
    np.testing.assert_array_equal(
      windows.crop_image(image, box, 32), windows.crop_image(padded, box + 400, 32)
    )


@properties.check
@hypothesis.given(
  seed=strategies.integers(0, 2**32 - 1),
  corner=properties.floats((2,), -200, 400),
  side=strategies.floats(2, 900),
  scale=strategies.floats(0, 0.5),
  shift=strategies.floats(0, 0.5),
)
def test_jitter_stays_within_its_bounds(seed, corner, side, scale, shift):
  box = np.concatenate([corner, corner + side]).astype(np.float32)
  rng = np.random.default_rng(seed)
  jittered = windows.jitter_window(box, rng, scale, shift)
  jittered_side = jittered[2] - jittered[0]
  moved = (jittered[:2] + jittered[2:]) / 2 - (box[:2] + box[2:]) / 2
  rounding = 1e-3
  assert abs(jittered_side - side) <= scale * side + rounding
  assert np.abs(moved).max() <= shift * side + rounding
  assert jittered[3] - jittered[1] == pytest.approx(jittered_side, abs=rounding)


def test_boxes_stand_in_for_frames_without_keypoints():
  keypoints = np.zeros((3, 17, 3), np.float32)
  keypoints[0, :2] = [[100, 50, 0.9], [140, 130, 0.9]]
  boxes = np.array([[0, 0, 1000, 1000], [60, 70, 80, 90], [0, 0, 0, 0]], np.float32)
  box = windows.clip_window(keypoints, 1.5, boxes)
  np.testing.assert_allclose(box, [40, 30, 160, 150])
  np.testing.assert_allclose(windows.tight_boxes(keypoints)[0], [100, 50, 140, 130])
  assert not windows.tight_boxes(keypoints)[1:].any()


@properties.check
@hypothesis.given(
  corner=properties.floats((2,), -50, 200),
  side=strategies.floats(20, 300),
  size=strategies.integers(1, 512),
  points=properties.floats((5, 2), 0, 320),
)
def test_points_return_from_the_crop_to_their_places(corner, side, size, points):
  box = np.concatenate([corner, corner + side]).astype(np.float32)
  crop = windows.to_crop_pixels(points, box, size)
  back = box[:2] + crop * (box[2] - box[0]) / size
  np.testing.assert_allclose(back, points, atol=1e-3)
  ends = windows.to_crop_pixels(box.reshape(2, 2), box, size)
  np.testing.assert_allclose(ends, [[0, 0], [size, size]], rtol=1e-5)


@properties.check
@hypothesis.given(
  points=properties.floats((1, 17, 2), 100, 200), score=properties.floats((1, 17), 0, 1)
)
def test_missing_keypoints_stay_zero_in_the_crop(points, score):
  keypoints = np.concatenate([points * (score > 0)[..., None], score[..., None]], -1)
  box = np.array([80.0, 90, 230, 240], np.float32)
  crop = windows.crop_keypoints(keypoints, box, 64)
  np.testing.assert_array_equal(crop[..., 2], score)
  missing = score == 0
  assert not crop[missing].any()
  expected = (points - box[:2]) * 64 / 150
  np.testing.assert_allclose(
    crop[~missing, :2], expected[~missing], rtol=1e-5, atol=1e-4
  )


def test_several_images_are_cropped_as_each_alone():
  rng = np.random.default_rng(5)
  for dtype, channels in ((np.uint8, (3,)), (np.uint8, ()), (np.float32, (2,))):
    sizes = [(40, 60), (40, 60), (90, 30), (7, 5)]
    images = [rng.integers(0, 255, (*size, *channels)).astype(dtype) for size in sizes]
    for box in ([3, -4, 33, 26], [-20, -10, 60, 70], [-400, 0, 900, 1300]):
      box = np.array(box, np.float32)
      crops = windows.crop_images(images, box, 16)
      assert crops.dtype == dtype
      for image, crop in zip(images, crops, strict=True):
        np.testing.assert_array_equal(crop, windows.crop_image(image, box, 16))
      assert crops[0].any() == (box[2] < 900)
