"""MMPose's JSON in its two forms, written by the test and read back."""

import json

import numpy as np
import pytest

from mhmr_jax.body.joints import COCO_KEYPOINTS
from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import formats
from tests.keypoints.formats.frames import assert_same, centred, random_people

_FRAMES = {n: random_people(n, count) for n, count in enumerate([0, 2, 1, 0, 3, 0])}


def _frames(first, extra=0, order=slice(None)):
  listed = []
  for number, people in _FRAMES.items():
    instances = []
    for person in people:
      points = np.concatenate([person, np.full((extra, 3), 7.0)])[order]
      instances.append(
        {
          "keypoints": points[:, :2].tolist(),
          "keypoint_scores": points[:, 2].tolist(),
          "bbox": [[0.0, 0.0, 9.0, 9.0]],
          "bbox_score": 0.9,
        }
      )
    listed.append({"frame_id": number + first, "instances": instances})
  return listed


def _write(path, content):
  path.write_text(json.dumps(content))
  return path


@pytest.mark.parametrize("extra", [0, 9, 116])
def test_inferencer_counts_from_0(tmp_path, extra):
  path = _write(tmp_path / "video.json", _frames(0, extra))
  assert_same(formats.read(path, "mmpose", 6), centred(_FRAMES))
  for length in (5, 7):
    with pytest.raises(InputError, match=f"lists 6 frames, .* video has {length}"):
      formats.read(path, "mmpose", length)


def test_scripts_count_from_1(tmp_path):
  content = {"meta_info": {"dataset_name": "coco"}, "instance_info": _frames(1)}
  path = _write(tmp_path / "results.json", content)
  assert_same(formats.read(path, "mmpose", 6), centred(_FRAMES))
  assert_same(formats.read(path, "mmpose"), centred(_FRAMES))


def test_points_are_found_by_their_names(tmp_path):
  order = np.random.default_rng(0).permutation(20)
  names = [*COCO_KEYPOINTS, "neck", "left_toe", "right_toe"]
  by_name = {names[index]: place for place, index in enumerate(order.tolist())}
  content = {
    "meta_info": {"keypoint_name2id": by_name},
    "instance_info": _frames(1, extra=3, order=order),
  }
  path = _write(tmp_path / "results.json", content)
  assert_same(formats.read(path, "mmpose", 6), centred(_FRAMES))
  del by_name["left_wrist"]
  with pytest.raises(InputError, match="run a model of MMPose that finds COCO's"):
    formats.read(_write(path, content), "mmpose", 6)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ({"people": []}, "is not a file that MMPose wrote"),
    ([{"instances": []}], "`frame_id` or `instances` is missing in frame 0 of"),
    ([{"frame_id": 0, "instances": []}] * 2, "frame_id 0 is twice"),
    ([{"frame_id": 0, "instances": [3]}], r"instances\[0\] of .* is not a person"),
    (
      [{"frame_id": 0, "instances": [{"keypoints": [[1, 2]] * 17}]}],
      r"`keypoints` \[17, 2\] and `keypoint_scores` \[\]",
    ),
    (
      [{"frame_id": 0, "instances": [{"keypoints": "a", "keypoint_scores": [1]}]}],
      "holds no numbers",
    ),
    (
      [
        {
          "frame_id": 0,
          "instances": [{"keypoints": [[1, 2]] * 21, "keypoint_scores": [1] * 21}],
        }
      ],
      "21 points, but mmpose has 51",
    ),
  ],
)
def test_bad_file(tmp_path, content, message):
  path = _write(tmp_path / "keypoints.json", content)
  with pytest.raises(InputError, match=message):
    formats.read(path, "mmpose", 1)
