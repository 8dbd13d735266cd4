"""OpenPose's folders, written by the test and read back; and bad ones."""

import json

import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import formats
from tests.keypoints.formats.frames import (
  assert_same,
  centred,
  random_people,
  some_frames,
)


def _names(text):
  return text.split()


# Point names in each format's own order, spelt out from its documentation: the maps in
# the package must agree with them point by point.
_ORDERS = {
  "openpose_body25": _names("""
    nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow
    left_wrist mid_hip right_hip right_knee right_ankle left_hip left_knee
    left_ankle right_eye left_eye right_ear left_ear a b c d e f
  """),
  "openpose_body25b": _names("""
    nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder
    left_elbow right_elbow left_wrist right_wrist left_hip right_hip left_knee
    right_knee left_ankle right_ankle neck head a b c d e f
  """),
  "openpose_coco18": _names("""
    nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow
    left_wrist right_hip right_knee right_ankle left_hip left_knee left_ankle
    right_eye left_eye right_ear left_ear
  """),
}
_COCO = _names("""
    nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder
    left_elbow right_elbow left_wrist right_wrist left_hip right_hip left_knee
    right_knee left_ankle right_ankle
  """)


def _openpose_person(person, name):
  """A COCO-17 person in OpenPose's order, other points filled with a decoy."""
  points = dict(zip(_COCO, person.tolist(), strict=True))
  ordered = [points.get(point, [7.0, 7.0, 1.0]) for point in _ORDERS[name]]
  return {"pose_keypoints_2d": np.ravel(ordered).tolist(), "face_keypoints_2d": []}


def _write_openpose(folder, frames, name, file_name="clip_{:012d}_keypoints.json"):
  folder.mkdir(exist_ok=True)
  for number, people in frames.items():
    content = {"version": 1.3, "people": [_openpose_person(p, name) for p in people]}
    (folder / file_name.format(number)).write_text(json.dumps(content))
  return folder


@pytest.mark.parametrize("name", list(_ORDERS))
def test_openpose(tmp_path, name):
  frames = some_frames()
  folder = _write_openpose(tmp_path / "json", frames, name)
  detections = formats.read(folder, name, num_frames=7)
  assert len(detections) == 7
  assert_same(detections, frames)


def test_formats_of_one_length_are_taken_at_the_users_word(tmp_path):
  frames = {0: random_people(0, 1)}
  folder = _write_openpose(tmp_path / "json", frames, "openpose_body25b")
  as_body25 = formats.read(folder, "openpose_body25", 1)[0]
  assert np.abs(as_body25 - frames[0]).max() > 1


def test_openpose_files_without_numbers_are_in_order_of_name(tmp_path):
  frames = some_frames()
  names = {0: "a", 2: "b", 3: "c", 5: "d"}
  folder = tmp_path / "json"
  for number, letter in names.items():
    one = {number: frames[number]}
    _write_openpose(folder, one, "openpose_coco18", f"{letter}.json")
  detections = formats.read(folder, "openpose_coco18", num_frames=4)
  assert_same(detections, dict(enumerate(frames.values())))


def test_a_folder_counted_from_1(tmp_path):
  frames = {number + 1: random_people(number, number % 3) for number in range(5)}
  folder = _write_openpose(tmp_path / "json", frames, "openpose_body25")
  (folder / "._clip_000000000001_keypoints.json").write_bytes(b"\0\5\x16\7")
  read = formats.read(folder, "openpose_body25", 5)
  assert_same(read, {number - 1: found for number, found in frames.items()})
  assert len(formats.read(folder, "openpose_body25")) == 5
  with pytest.raises(InputError, match=r"lists 5 frames, 1 to 5, but the video has 6"):
    formats.read(folder, "openpose_body25", 6)


def test_a_folder_of_another_length_is_refused_with_both_numbers(tmp_path):
  frames = {number: random_people(number, 1) for number in range(5)}
  folder = _write_openpose(tmp_path / "json", frames, "openpose_body25")
  for length in (4, 6):
    with pytest.raises(InputError, match=f"lists 5 frames, .* video has {length}"):
      formats.read(folder, "openpose_body25", length)


@pytest.mark.parametrize("count", [17, 26, 133])
def test_sports2d_and_pose2sim(tmp_path, count):
  """They count the video's frames from 0, and write a part of them if asked."""
  name = {17: "openpose_coco17", 26: "openpose_halpe26", 133: "openpose_coco133"}[count]
  people = random_people(0, 2)
  for number in (2, 3):
    listed = []
    for person in people:
      missing = person[:, 2:] == 0
      points = np.concatenate(
        [np.where(missing, np.nan, person), np.full((count, 3), 9)]
      )
      listed.append(
        {"person_id": [-1], "pose_keypoints_2d": points[:count].ravel().tolist()}
      )
    content = json.dumps({"version": 1.3, "people": listed if number == 2 else None})
    (tmp_path / f"demo_{number:06d}.json").write_text(content)
  read = formats.read(tmp_path, name, 6)
  assert_same(read, centred({2: people}))


def test_openpose_people_without_a_body_are_left_out(tmp_path):
  folder = tmp_path / "json"
  folder.mkdir()
  content = {"people": [{"pose_keypoints_2d": []}]}
  (folder / "000.json").write_text(json.dumps(content))
  assert formats.read(folder, "openpose_body25", 1)[0].shape == (0, 17, 3)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ("{nope", "cannot be read as JSON"),
    ({"people": {}}, "has no list `people`"),
    ({"people": [{}]}, r"people\[0\].pose_keypoints_2d of .* is missing"),
    (
      {"people": [{"pose_keypoints_2d": [1.0] * 75}]},
      "has 75 numbers, which is 25 points, but openpose_coco18 has 54: "
      "name --keypoint_format=openpose_body25 or openpose_body25b",
    ),
    ({"people": [{"pose_keypoints_2d": [1.0] * 53}]}, "53 numbers, not three a point"),
    ({"people": [{"pose_keypoints_2d": ["a"] * 54}]}, "not a list of numbers"),
    ('{"people": [{"pose_keypoints_2d": [' + "Infinity," * 53 + "1]}]}", "not finite"),
    ({"people": [{"pose_keypoints_2d": [0.5] * 54}]}, "not normalised"),
  ],
)
def test_bad_openpose_file(tmp_path, content, message):
  path = tmp_path / "v_000000000000_keypoints.json"
  path.write_text(content if isinstance(content, str) else json.dumps(content))
  with pytest.raises(InputError, match=message):
    formats.read(tmp_path, "openpose_coco18", 1)


def test_two_videos_in_one_folder(tmp_path):
  for name in ("a", "b"):
    pattern = name + "_{:012d}_keypoints.json"
    _write_openpose(
      tmp_path / "x", {0: random_people(0, 1)}, "openpose_body25", pattern
    )
  with pytest.raises(InputError, match="each its own frame number"):
    formats.read(tmp_path / "x", "openpose_body25", 4)
