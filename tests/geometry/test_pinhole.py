import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from mhmr_jax.geometry import pinhole, windows
from tests.geometry import properties


def test_projection_is_the_pinholes():
  intrinsics = np.array([[600, 0, 160], [0, 500, 120], [0, 0, 1]], np.float32)
  points = np.array([[0.5, -0.2, 2.0], [0, 0, 3]], np.float32)
  pixels = pinhole.project(points, intrinsics)
  np.testing.assert_allclose(pixels, [[310.0, 70.0], [160.0, 120.0]], rtol=1e-6)


def test_another_camera_at_the_same_place_sees_what_it_would_project():
  rng = np.random.default_rng(0)
  points = rng.uniform([-1, -1, 2], [1, 1, 5], (4, 6, 3))
  cameras = np.zeros((5, 3, 3))
  cameras[:, [0, 1], [0, 1]] = rng.uniform(300, 900, (5, 2))
  cameras[:, :2, 2] = rng.uniform(100, 400, (5, 2))
  own, other = cameras[:4], cameras[4:]
  pixels = pinhole.project(points, own[:, None])
  moved = pinhole.to_camera(pixels, own, other)
  np.testing.assert_allclose(moved, pinhole.project(points, other[0]), rtol=1e-9)


def test_points_behind_the_camera_have_finite_pixels_and_are_told_apart():
  intrinsics = np.array([[100, 0, 32], [0, 100, 16], [0, 0, 1]], np.float32)
  points = np.array([[0.5, -0.25, 2.0], [0.5, 0, -1], [0, 0, 0], [0, 0, 0.1]])
  pixels, in_front = pinhole.project_in_front(points, intrinsics, min_depth=0.1)
  assert in_front.tolist() == [True, False, False, False]
  np.testing.assert_allclose(pixels, [[57, 3.5], [532, 16], [32, 16], [32, 16]])


@properties.check
@hypothesis.given(
  corner=properties.floats((2,), -50, 200),
  side=strategies.floats(20, 300),
  points=properties.floats((5, 3), -1, 1),
)
def test_intrinsics_of_a_crop_project_to_the_crops_pixels(corner, side, points):
  intrinsics = np.array([[300, 0, 160], [0, 310, 120], [0, 0, 1]], np.float32)
  points = points + np.float32([0, 0, 3])
  box = np.concatenate([corner, corner + np.float32(side)])
  expected = windows.to_crop_pixels(pinhole.project(points, intrinsics), box, 96)
  scale = 96 / float(box[2] - box[0])
  cropped = pinhole.crop_intrinsics(intrinsics, corner, scale)
  # Pixels of float32, some hundreds of them, times the scale.
  np.testing.assert_allclose(
    pinhole.project(points, cropped), expected, atol=2e-4 * max(1, scale)
  )


def test_unknown_focal_is_the_diagonal():
  matrix = pinhole.centred_intrinsics(400, 300)
  np.testing.assert_allclose(matrix, [[500, 0, 200], [0, 500, 150], [0, 0, 1]])
  assert pinhole.centred_intrinsics(400, 300, 700.0)[0, 0] == 700


@pytest.mark.parametrize("batch", [(), (1,), (2, 3)])
def test_translation_is_recovered_from_perspective_points(batch):
  rng = np.random.default_rng(0)
  points = rng.normal(0, 0.5, (*batch, 24, 3))
  truth = rng.uniform([-1, -1, 3], [1, 1, 9], (*batch, 3))
  intrinsics = np.array([[800, 0, 333], [0, 750, 222], [0, 0, 1.0]])
  image = (points + truth[..., None, :]) @ intrinsics.T
  image = image[..., :2] / image[..., 2:]
  found = pinhole.translation(points, image, intrinsics)
  np.testing.assert_allclose(found, truth, atol=1e-6)


def test_each_image_may_have_its_own_intrinsics():
  rng = np.random.default_rng(4)
  points, truth = rng.normal(0, 0.5, (3, 24, 3)), rng.uniform([-1, -1, 3], [1, 1, 9])
  matrices = np.stack(
    [pinhole.centred_intrinsics(64, 48, f) for f in (50.0, 70.0, 90.0)]
  )
  image = pinhole.project(points + truth, matrices[:, None])
  for row in range(3):
    alone = pinhole.project(points[row] + truth, matrices[row])
    np.testing.assert_allclose(image[row], alone)
  found = pinhole.translation(points, image, matrices)
  np.testing.assert_allclose(found, np.tile(truth, (3, 1)), atol=1e-6)


def test_translation_of_half_a_pixel_of_noise_is_near():
  rng = np.random.default_rng(1)
  points = rng.normal(0, 0.5, (24, 3))
  intrinsics = pinhole.centred_intrinsics(1920, 1080)
  truth = np.array([0.3, -0.2, 5.0])
  image = (points + truth) @ intrinsics.T
  image = image[:, :2] / image[:, 2:] + rng.normal(0, 0.5, (24, 2))
  found = pinhole.translation(points, image, intrinsics)
  np.testing.assert_allclose(found, truth, atol=0.02)


def test_points_on_one_ray_give_a_finite_translation():
  points = np.zeros((24, 3))
  found = pinhole.translation(
    points, np.full((24, 2), 50.0), pinhole.centred_intrinsics(9, 9)
  )
  assert np.isfinite(found).all()


@properties.check
@hypothesis.given(
  corner=properties.floats((2,), -50, 200),
  side=strategies.floats(20, 300),
  points=properties.floats((5, 3), -1, 1),
)
def test_a_window_in_the_camera_holds_what_is_projected_into_it(corner, side, points):
  """Centre and half side turn crop units into the directions that were projected."""
  intrinsics = np.array([[310, 0, 160], [0, 310, 120], [0, 0, 1]], np.float32)
  points = points + np.float32([0, 0, 3])
  box = np.concatenate([corner, corner + np.float32(side)])
  pixels = windows.to_crop_pixels(pinhole.project(points, intrinsics), box, 96)
  window = pinhole.window_in_camera(box, intrinsics)
  directions = window[:2] + window[2] * (pixels / 48 - 1)
  np.testing.assert_allclose(directions, points[:, :2] / points[:, 2:], atol=1e-4)


def test_a_window_in_the_camera_is_in_focal_lengths():
  intrinsics = np.array([[600, 0, 160], [0, 500, 120], [0, 0, 1]], np.float32)
  window = pinhole.window_in_camera(np.float32([190, 145, 300, 255]), intrinsics)
  np.testing.assert_allclose(window, [85 / 600, 80 / 500, 55 / 550], rtol=1e-6)
  assert window.dtype == np.float32
