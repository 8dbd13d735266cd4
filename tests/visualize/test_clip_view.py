import cv2
import numpy as np
import pytest

from mhmr_jax.body import joints as body_joints
from mhmr_jax.files import flow_images
from mhmr_jax.synth import clips
from mhmr_jax.visualize import clip_view


def _jpegs(height, width, count=3):
  noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
  return [cv2.imencode(".jpg", cv2.blur(noise, (5, 5)))[1].tobytes()] * count


def test_3d_joints_lie_at_the_keypoints_of_the_same_name():
  clip, _ = clips.ClipMaker(clips.ClipSpec(seed=3, frames=3, size=64)).make("train", 0)
  pixels = clip_view.joints_image(clip)
  for keypoint, joint in body_joints.COCO_FROM_SMPL.items():
    apart = pixels[:, joint] - clip["keypoints_image"][:, keypoint, :2]
    assert np.abs(apart).max() < 6, body_joints.COCO_KEYPOINTS[keypoint]


def test_joints_before_either_camera():
  points = np.tile(np.float32([[0.5, -0.25, 2.0]]), (3, 24, 1))
  points[1, 7, 2] = -1
  K = np.float32([[100, 0, 32], [0, 100, 16], [0, 0, 1]])
  seen = clip_view.joints_image({"joints_camera": points, "intrinsics": K})
  np.testing.assert_allclose(seen[0, 0], [57, 3.5])
  assert np.isnan(seen[1, 7]).all()
  camera = np.tile(np.float32([[10, 1, 2]]), (3, 1))
  seen = clip_view.joints_image({"joints_camera": points, "camera_image": camera})
  np.testing.assert_allclose(seen[0, 0], [15, 17.5])
  assert clip_view.joints_image({"joints_camera": points}) is None
  assert clip_view.joints_image({"intrinsics": K}) is None


def test_wide_frames_are_scaled_into_the_square_with_all_that_is_drawn_on_them():
  flow = np.zeros((40, 80, 2), np.float32)
  flow[..., 0] = 4
  keypoints = np.zeros((3, 17, 3), np.float32)
  keypoints[:, 0] = [60.5, 20.5, 1]
  clip = {
    "frames": _jpegs(40, 80),
    "flow": [flow_images.encode_png(flow)] * 3,
    "keypoints_image": keypoints,
  }
  view = clip_view.ClipView(clip, 32)
  assert view.captions == ("frame", "keypoints", "heatmaps", "DIS flow", "exact flow")
  np.testing.assert_allclose(
    view.flows(1)["exact flow"][..., 0], 4 * 32 / 80, atol=0.01
  )
  (row,) = view.panels([1])
  assert row.keys() == set(view.captions)
  for name, picture in row.items():
    assert picture.shape == (32, 32, 3)
    if name != "heatmaps":
      assert (picture[16:] == 255).all(), name
  drawn = (row["keypoints"] != row["frame"]).any(-1)
  rows, columns = np.nonzero(drawn)
  assert abs(rows.mean() + 0.5 - 20.5 * 0.4) < 0.6
  assert abs(columns.mean() + 0.5 - 60.5 * 0.4) < 0.6


@pytest.mark.parametrize(
  ("valid", "moments"),
  [(None, [1, 2, 3]), ([1, 1, 0, 1], [1]), ([0, 1, 1, 1], [2, 3]), ([1, 0, 1, 0], [])],
)
def test_moments_follow_a_valid_frame(valid, moments):
  clip = {"frames": _jpegs(16, 16, 4)}
  if valid is not None:
    clip["valid"] = np.array(valid, bool)
  assert clip_view.ClipView(clip, 16).moments() == moments
