"""Figures that are known beforehand, of clips made by hand."""

import json

import cv2
import numpy as np
import pytest

from mhmr_jax.body.joints import SMPL_JOINTS
from mhmr_jax.visualize import datasheet, datasheet_page

FPS, SIZE = 25.0, 64
FRAME = cv2.imencode(".jpg", np.zeros((SIZE, 2 * SIZE, 3), np.uint8))[1].tobytes()
WRIST = SMPL_JOINTS.index("left_wrist")


def _clip(facing: float = 0.0) -> dict:
  """Three frames, the last not valid; a wrist moves a tenth of a metre a frame."""
  joints = np.zeros((3, 24, 3), np.float32)
  joints[..., 2] = 10
  joints[:, 10, 1], joints[:, 15, 1] = 1, -1
  joints[:, WRIST, 0] = [0, 0.1, 5]
  joints[2] += 100
  visibility = np.ones((3, 24), np.float32)
  visibility[0, WRIST] = 0
  visibility[2] = 0
  # First upright before the camera, then turned about the vertical.
  upright, _ = cv2.Rodrigues(np.float64([np.pi, 0, 0]))
  turn, _ = cv2.Rodrigues(np.float64([0, np.radians(facing), 0]))
  pose = np.zeros((3, 24, 3), np.float32)
  pose[:, 0] = cv2.Rodrigues(turn @ upright)[0].ravel()
  pose[:, WRIST] = [0, 0, np.radians(30)]
  mask = np.zeros((SIZE, 2 * SIZE), np.uint8)
  mask[: SIZE // 4] = 255
  return {
    "frames": [FRAME] * 3,
    "pose": pose,
    "betas": np.arange(10, dtype=np.float32),
    "joints_camera": joints,
    "visibility": visibility,
    "keypoints_image": np.full((3, 17, 3), 5, np.float32),
    "intrinsics": np.float32([[100, 0, SIZE], [0, 100, SIZE / 2], [0, 0, 1]]),
    "mask": [cv2.imencode(".png", mask)[1].tobytes()] * 3,
    "valid": np.array([True, True, False]),
    "fps": FPS,
    "sequence": "a",
  }


def test_measures_of_a_clip():
  facts = datasheet.gather([_clip()])
  json.dumps(facts, allow_nan=False)
  assert facts["clips_read"] == facts["sequences"] == 1
  assert facts["frames"] == 2
  assert facts["seconds"] == pytest.approx(2 / FPS, abs=0.05)
  assert facts["fps"] == {"25": 1}
  assert facts["frame_size"] == {f"{2 * SIZE}x{SIZE}": 1}
  # Two metres, ten metres away, at a focal length of 100 pixels.
  assert facts["person_height"]["median"] == pytest.approx(20 / SIZE, rel=1e-3)
  speeds = facts["joint_speed_by_joint"]
  assert speeds["left_wrist"]["median"] == pytest.approx(2.5, rel=1e-3)
  assert speeds["right_wrist"]["p95"] == 0
  assert "pelvis" not in speeds
  assert facts["pelvis_speed"]["max"] == 0
  assert facts["visibility"]["left_wrist"] == 0.5
  assert facts["visibility"]["head"] == 1
  assert facts["inside_frame"]["head"] == 1
  assert facts["joint_angle_by_joint"]["left_wrist"]["median"] == pytest.approx(30)
  assert facts["mask_share"]["mean"] == pytest.approx(0.25)
  assert [row["mean"] for row in facts["betas"]] == list(range(10))


@pytest.mark.parametrize("degrees", [0, 90, -45])
def test_facing(degrees):
  facts = datasheet.gather([_clip(degrees)])
  # The camera's y points down: a positive turn about it is clockwise from above,
  # which brings a front that pointed at the camera to the frame's left.
  assert facts["facing"]["median"] == pytest.approx(degrees, abs=0.1)


def test_what_clips_lack_is_left_out():
  bare = {"frames": [FRAME] * 4, "keypoints_image": np.zeros((4, 17, 3), np.float32)}
  bare["keypoints_image"][:, :2] = [[10, 8, 1], [10, 40, 1]]
  facts = datasheet.gather([bare])
  assert set(facts) == {
    *("clips_read", "sequences", "frames", "frame_size", "frames_per_clip"),
    *("person_height", "keypoint_speed", "keypoint_found"),
  }
  assert facts["person_height"]["median"] == 0.5
  page = datasheet_page.render({"dataset": "d", "split": "<s>", "clips": 1, **facts})
  assert "Size of the person" in page
  assert "Shapes" not in page
  assert "<s>" not in page


def test_a_page_of_everything():
  facts = datasheet.gather([_clip(), _clip(10) | {"gender": "male", "sequence": "b"}])
  assert facts["gender"] == {"male": 1}
  assert facts["sequences"] == 2
  page = datasheet_page.render({"dataset": "d", "split": "train", "clips": 2, **facts})
  for text in ("Shapes (betas)", "left_wrist", "Share of the mask", "male: 1"):
    assert text in page


def test_histograms_count_what_lies_beyond_them():
  values = np.array([-1, 0.1, 0.4, 5, np.nan])
  found = datasheet.distribution(values, np.array([0, 0.25, 0.5]))
  assert found["histogram"] == {"edges": [0, 0.25, 0.5], "counts": [2, 2]}
  assert found["max"] == 5
