"""Meshes and skeletons: pixels where they should be."""

import numpy as np
import pytest

from mhmr_jax.body.joints import SMPL_BONES, SMPL_JOINTS
from mhmr_jax.files import yuv
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
def test_mesh_covers_its_pixels_and_fades_out_over_one(intrinsics):
  vertices, faces = _quad(30, 20, 70, 90, 4.0, intrinsics)
  drawn = overlay.draw_mesh(_GREY, vertices, faces, intrinsics, _COLOUR)
  change = drawn.astype(float) - _GREY
  full = change[50, 50]
  assert np.all(full != 0)
  outer, inner = np.zeros((2, *change.shape[:2]), bool)
  outer[19:91, 29:71] = True
  inner[21:89, 31:69] = True
  np.testing.assert_array_equal(change[~outer], 0)
  np.testing.assert_allclose(change[inner], np.broadcast_to(full, (68 * 38, 3)), atol=1)
  # Along the left outline, away from the corners.
  np.testing.assert_allclose(change[50, 29], 0.25 * full, atol=1)
  np.testing.assert_allclose(change[50, 30], 0.75 * full, atol=1)
  assert np.all(_GREY == 60)


def test_the_nearer_mesh_hides_the_farther():
  intrinsics = _intrinsics()
  near, faces = _quad(30, 20, 70, 90, 3.0, intrinsics)
  far, _ = _quad(20, 10, 80, 100, 5.0, intrinsics)
  red, blue = (255, 0, 0), (0, 0, 255)
  for meshes, colours in (([near, far], [red, blue]), ([far, near], [blue, red])):
    drawn = overlay.draw_meshes(_GREY, np.stack(meshes), faces, intrinsics, colours)
    assert drawn[50, 50].argmax() == 0
    assert drawn[50, 25].argmax() == 2


def test_what_faces_away_is_drawn_only_where_the_near_plane_opens_a_mesh():
  intrinsics = _intrinsics()
  vertices, faces = _quad(30, 20, 70, 90, 4.0, intrinsics)
  away = faces[:, ::-1]
  drawn = overlay.draw_mesh(_GREY, vertices, away, intrinsics, _COLOUR)
  np.testing.assert_array_equal(drawn, _GREY)
  opened = np.concatenate([vertices, [[0, 0, -1]]]).astype(np.float32)
  drawn = overlay.draw_mesh(_GREY, opened, away, intrinsics, _COLOUR)
  assert np.any(drawn[50, 50] != 60)


@pytest.mark.parametrize("corner", [(30, 20), (31, 23), (-9, 100)])
def test_a_stored_picture_is_drawn_over_as_an_rgb_one(corner):
  intrinsics = _intrinsics()
  near, faces = _quad(*corner, corner[0] + 40, corner[1] + 70, 3.0, intrinsics)
  far, _ = _quad(60, 5, 120, 110, 5.0, intrinsics)
  meshes = np.stack([near, far])
  normals = np.broadcast_to(np.float32([0, 0, -1]), meshes.shape)
  columns = np.linspace(0, 255, 160).astype(np.uint8)
  image = np.stack([columns, 255 - columns, columns // 2], -1)[None].repeat(120, axis=0)
  colours = [(255, 60, 100), (40, 200, 255)]
  expected = yuv.from_rgb(
    overlay.draw_meshes(image, meshes, faces, intrinsics, colours)
  )
  before = yuv.from_rgb(image)
  kept = before.copy()
  found = overlay.draw_over_stored(before, meshes, normals, faces, intrinsics, colours)
  for plane, other, same, first in zip(found, expected, before, kept, strict=True):
    # But for pixels that are beside both meshes: the brighter one colours them, by
    # channel.
    assert np.mean(np.abs(plane.astype(int) - other) > 3) < 5e-4
    np.testing.assert_array_equal(same, first)
    assert np.abs(plane.astype(int) - first).max() > 20


def test_a_large_body_is_as_smooth_and_in_its_place():
  intrinsics = _intrinsics(cx=300.0, cy=240.0)
  vertices, faces = _quad(101, 51, 402, 431, 3.0, intrinsics)
  normals = np.broadcast_to(np.float32([0, 0, -1]), vertices.shape)
  before = yuv.from_rgb(np.full((480, 600, 3), 60, np.uint8))
  drawn = overlay.draw_over_stored(
    before, vertices[None], normals[None], faces, intrinsics, [_COLOUR]
  )
  for plane, first, step in zip(drawn, before, (1, 2, 2), strict=True):
    change = plane.astype(float) - first
    full = change[240 // step, 240 // step]
    assert abs(full) > 10
    rows, columns = change[:, 240 // step] / full, change[240 // step] / full
    assert rows.sum() * step == pytest.approx(380, abs=1.5)
    assert columns.sum() * step == pytest.approx(301, abs=1.5)
    for line, (low, high) in ((rows, (51, 431)), (columns, (101, 402))):
      np.testing.assert_array_equal(line[: low // step - 2], 0)
      np.testing.assert_array_equal(line[high // step + 3 :], 0)
      np.testing.assert_allclose(line[low // step + 3 : high // step - 2], 1, atol=0.1)
      assert np.all(np.diff(line[: low // step + 3]) >= 0)


def test_no_mesh_leaves_the_image():
  none = np.zeros((0, 4, 3), np.float32)
  _, faces = _quad(30, 20, 70, 90, 4.0, _intrinsics())
  drawn = overlay.draw_meshes(_GREY, none, faces, _intrinsics(), [])
  np.testing.assert_array_equal(drawn, _GREY)


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
