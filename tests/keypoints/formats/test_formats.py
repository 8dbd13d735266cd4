"""What the formats have in common: the checks of paths, frame numbers and units."""

import json

import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import formats
from mhmr_jax.keypoints.formats import detections_npz
from tests.keypoints.formats.frames import random_people


def test_a_frame_number_of_another_world_fills_no_memory(tmp_path):
  path = tmp_path / "keypoints.json"
  path.write_text(json.dumps([{"image_id": 10**15, "keypoints": [9] * 51}]))
  with pytest.raises(InputError, match="number the frames of the video from 0"):
    formats.read(path, "coco")


def test_bad_paths(tmp_path):
  (tmp_path / "file.json").write_text("[]")
  empty = tmp_path / "empty"
  empty.mkdir()
  cases = [
    (tmp_path / "absent", "npz", "There are no keypoints at .*absent"),
    (empty, "openpose_body25", "has no .json file"),
    (empty, "coco", "is a folder, but --keypoint_format=coco is one JSON file"),
    (tmp_path / "file.json", "openpose_body25", "is a file, .* folder of JSON files"),
    (empty, "npz", "is an .npz file"),
    (empty, "body_25", "--keypoint_format=body_25 is unknown: use one of openpose"),
  ]
  for path, keypoint_format, message in cases:
    with pytest.raises(InputError, match=message):
      formats.read(path, keypoint_format, 4)


def test_keypoints_of_a_larger_version_of_the_video(tmp_path):
  path = tmp_path / "keypoints.npz"
  detections_npz.write(path, [random_people(0, 1) * [10, 10, 1]])
  with pytest.raises(InputError, match="outside the video's 200 x 200 pixels"):
    formats.read(path, "npz", 1, image_size=(200, 200))
