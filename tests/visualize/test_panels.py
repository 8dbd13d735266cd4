import numpy as np
import pytest

from mhmr_jax.geometry import pinhole
from mhmr_jax.visualize import panels


def test_weak_perspective_view_draws_where_the_camera_says():
  rng = np.random.default_rng(0)
  points = rng.uniform(-1, 1, (50, 3)).astype(np.float32)
  s, tx, ty = camera = np.array([0.8, 0.1, -0.2], np.float32)
  placed, intrinsics = panels.weak_perspective_view(points, camera, 200)
  expected = (s * (points[:, :2] + [tx, ty]) + 1) * 100
  np.testing.assert_allclose(pinhole.project(placed, intrinsics), expected, atol=0.7)
  flat = points * [1, 1, 0]
  placed, intrinsics = panels.weak_perspective_view(flat, camera, 200)
  np.testing.assert_allclose(pinhole.project(placed, intrinsics), expected, atol=0.01)
  # Depth keeps its sense: the mesh is not turned inside out.
  assert (np.diff(placed[np.argsort(points[:, 2]), 2]) > -1e-6).all()


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_a_degenerate_camera_still_gives_a_view(scale):
  camera = np.array([scale, 0, 0], np.float32)
  placed, _ = panels.weak_perspective_view(np.zeros((4, 3)), camera, 100)
  assert np.isfinite(placed).all()
  assert (placed[:, 2] > 0).all()


def test_side_view_is_a_turn_and_no_mirror():
  turn = panels.from_the_side(np.eye(3)).T
  np.testing.assert_allclose(turn @ turn.T, np.eye(3))
  assert np.linalg.det(turn) == pytest.approx(1)
  nearer = panels.from_the_side(np.array([[0.0, 0, -1]]))
  assert nearer[0, 0] == -1  # What is near the camera is at the left.
  right = panels.from_the_side(np.array([[1.0, 0, 0]]))
  assert right[0, 2] == -1  # What is at the camera's right is near the viewer.


def test_grid_places_images_in_rows():
  images = [
    [np.full((4, 5, 3), 10 * r + c, np.uint8) for c in range(3)] for r in (1, 2)
  ]
  grid = panels.grid(images, gap=2)
  assert grid.shape == (10, 19, 3)
  assert grid[0, 0, 0] == 10
  assert grid[9, 18, 0] == 22
  assert (grid[4:6] == 255).all()


def test_heatmaps_are_brightest_on_their_keypoints_and_tell_them_apart():
  keypoints = np.zeros((1, 17, 3), np.float32)
  keypoints[0, 3] = [20.5, 10.5, 1]
  keypoints[0, 9] = [40.5, 50.5, 0.5]
  (drawn,) = panels.draw_heatmaps(keypoints, 64, 1.3)
  assert drawn.shape == (64, 64, 3)
  assert drawn[10, 20].max() == 255
  assert drawn[50, 40].max() == 127
  assert drawn[30, 10].max() == 0
  assert np.argmax(drawn[10, 20]) != np.argmax(drawn[50, 40])
  np.testing.assert_array_equal(panels.draw_heatmaps(keypoints[0], 64, 1.3), drawn)


def test_text_outside_ascii_is_drawn_as_something():
  bar = panels.text_bar("clip é 中", 120)
  assert bar.min() < 128


def test_crop_camera_agrees_with_the_crop():
  rng = np.random.default_rng(3)
  points = rng.normal(0, 0.4, (9, 3)).astype(np.float32)
  camera = np.array([80.0, 1.5, 0.7], np.float32)
  box = np.array([60.0, 10, 160, 110], np.float32)
  image = camera[0] * (points[:, :2] + camera[1:])
  expected = (image - box[:2]) * 2 / 100 - 1
  s, *t = panels.crop_camera(camera, box)
  np.testing.assert_allclose(s * (points[:, :2] + t), expected, atol=1e-5)
  assert np.isfinite(panels.crop_camera(np.zeros(3, np.float32), box)).all()
