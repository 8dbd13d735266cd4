"""Meshes and skeletons: pixels where they should be."""

import numpy as np
import pytest

from mhmr_jax.body.joints import SMPL_BONES, SMPL_JOINTS
from mhmr_jax.visualize import overlay

_GREY = np.full((120, 160, 3), 60, np.uint8)
_COLOUR = (255, 200, 100)


def _quad(x0, y0, x1, y1, depth, intrinsics):
  """A rectangle of pixels at a depth, its front towards the camera."""
  pixels = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float64)
  focal, centre = intrinsics[[0, 1], [0, 1]], intrinsics[:2, 2]
  points = (pixels - centre) / focal * depth
  vertices = np.concatenate([points, np.full((4, 1), depth)], axis=-1)
  # Counter-clockwise for a viewer at the origin looking along +z with y down.
  return vertices.astype(np.float32), np.array([[0, 3, 2], [0, 2, 1]])


def _intrinsics(fx=200.0, fy=200.0, cx=80.0, cy=60.0):
  return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


@pytest.mark.parametrize(
  "intrinsics",
  [_intrinsics(), _intrinsics(fx=300.0, fy=180.0), _intrinsics(cx=-40.0, cy=200.5)],
)
def test_mesh_covers_exactly_its_pixels(intrinsics):
  vertices, faces = _quad(30, 20, 70, 90, 4.0, intrinsics)
  drawn = overlay.draw_mesh(_GREY, vertices, faces, intrinsics, _COLOUR)
  changed = np.any(drawn != _GREY, axis=-1)
  expected = np.zeros_like(changed)
  expected[20:90, 30:70] = True
  np.testing.assert_array_equal(changed, expected)
  assert np.all(_GREY == 60)


def test_half_a_pixel_is_half_covered():
  intrinsics = _intrinsics()
  vertices, faces = _quad(30.5, 20, 70, 90, 4.0, intrinsics)
  drawn = overlay.draw_mesh(_GREY, vertices, faces, intrinsics, _COLOUR).astype(float)
  inside = drawn[50, 50, 0] - 60
  np.testing.assert_allclose(drawn[50, 30, 0] - 60, inside / 2, atol=2)
  assert drawn[50, 29, 0] == 60


def test_the_nearer_surface_hides_the_farther():
  intrinsics = _intrinsics()
  near, faces = _quad(30, 20, 70, 90, 3.0, intrinsics)
  far, _ = _quad(20, 10, 80, 100, 5.0, intrinsics)
  both = np.concatenate([far, near])
  # The far quad faces away from the light: darker.
  indices = np.concatenate([faces[:, ::-1], faces + 4])
  drawn = overlay.draw_mesh(_GREY, both, indices, intrinsics, _COLOUR)
  assert drawn[50, 50, 0] > drawn[50, 25, 0] + 50


def test_mesh_outside_or_behind_leaves_the_image():
  intrinsics = _intrinsics()
  vertices, faces = _quad(30, 20, 70, 90, 4.0, intrinsics)
  for moved in (vertices - np.array([0, 0, 8]), vertices + np.array([100, 0, 0])):
    moved = moved.astype(np.float32)
    drawn = overlay.draw_mesh(_GREY, moved, faces, intrinsics, _COLOUR)
    np.testing.assert_array_equal(drawn, _GREY)
  near = vertices.copy()
  near[0, 2] = -1.0
  drawn = overlay.draw_mesh(_GREY, near, faces, intrinsics, _COLOUR)
  assert np.all(drawn.shape == _GREY.shape)


def test_skeleton_skips_missing_points_and_colours_sides():
  keypoints = np.zeros((17, 3), np.float32)
  keypoints[5] = [40.5, 30.5, 1]
  keypoints[7] = [40.5, 60.5, 0.5]
  keypoints[8] = [90.5, 60.5, 0.5]
  drawn = overlay.draw_skeleton(_GREY, keypoints)
  np.testing.assert_allclose(drawn[45, 40], (255, 150, 50), atol=25)
  np.testing.assert_allclose(drawn[60, 90], (60, 160, 255), atol=25)
  assert np.all(drawn[:10, :10] == 60)
  changed = np.any(drawn != 60, axis=-1)
  assert not changed[:, 60:80].any()


def test_skeleton_of_smpl_joints_far_outside():
  keypoints = np.full((24, 3), 1e9, np.float32)
  keypoints[3] = np.nan
  drawn = overlay.draw_skeleton(_GREY, keypoints, SMPL_BONES, SMPL_JOINTS)
  np.testing.assert_array_equal(drawn, _GREY)
