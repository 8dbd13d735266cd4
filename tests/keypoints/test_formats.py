"""Every keypoint format, written by the test and read back; and bad input."""

import json
import pickle
import zipfile

import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import formats


def _names(text):
  return text.split()


# Names in each format's own order, spelt out from its documentation: the maps in the
# module must agree with them point by point.
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


def _people(seed, count):
  """People as COCO-17, with a missing point each."""
  rng = np.random.default_rng(seed)
  people = rng.uniform(5, 200, (count, 17, 3)).astype(np.float32)
  people[..., 2] = rng.uniform(0.1, 1, (count, 17))
  people[np.arange(count), rng.integers(17, size=count)] = 0
  return people


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


def _entries(frames, image_id=lambda number: number):
  return [
    {
      "image_id": image_id(number),
      "category_id": 1,
      "keypoints": person.ravel().tolist(),
      "score": 2.1,
    }
    for number, people in frames.items()
    for person in people
  ]


def _assert_same(detections, frames):
  for number, found in enumerate(detections):
    expected = frames.get(number, np.zeros((0, 17, 3)))
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.fixture
def frames():
  return {0: _people(0, 2), 2: _people(1, 1), 3: _people(2, 0), 5: _people(3, 3)}


@pytest.mark.parametrize("name", list(_ORDERS))
def test_openpose(tmp_path, frames, name):
  folder = _write_openpose(tmp_path / "json", frames, name)
  detections = formats.read(folder, name, num_frames=7)
  assert len(detections) == 7
  _assert_same(detections, frames)


def test_formats_of_one_length_are_taken_at_the_users_word(tmp_path):
  frames = {0: _people(0, 1)}
  folder = _write_openpose(tmp_path / "json", frames, "openpose_body25b")
  as_body25 = formats.read(folder, "openpose_body25", 1)[0]
  assert np.abs(as_body25 - frames[0]).max() > 1


def test_openpose_files_without_numbers_are_in_order_of_name(tmp_path, frames):
  names = {0: "a", 2: "b", 3: "c", 5: "d"}
  folder = tmp_path / "json"
  for number, letter in names.items():
    one = {number: frames[number]}
    _write_openpose(folder, one, "openpose_coco18", f"{letter}.json")
  detections = formats.read(folder, "openpose_coco18", num_frames=4)
  _assert_same(detections, dict(enumerate(frames.values())))


def test_openpose_people_without_a_body_are_left_out(tmp_path):
  folder = tmp_path / "json"
  folder.mkdir()
  content = {"people": [{"pose_keypoints_2d": []}]}
  (folder / "000.json").write_text(json.dumps(content))
  assert formats.read(folder, "openpose_body25", 1)[0].shape == (0, 17, 3)


@pytest.mark.parametrize(
  "image_id", [int, "{}.jpg".format, "out/cam2_{:06d}.png".format]
)
def test_coco_results_and_alphapose(tmp_path, frames, image_id):
  path = tmp_path / "results.json"
  path.write_text(json.dumps(_entries(frames, image_id)))
  _assert_same(formats.read(path, "coco", 6), frames)


def test_coco_annotations_have_flags_and_names(tmp_path):
  people = _people(0, 2)
  people[..., 2] = np.arange(34).reshape(2, 17) % 3
  content = {
    "images": [{"id": 731, "file_name": "frame_0004.jpg"}],
    "annotations": _entries({731: people}),
  }
  path = tmp_path / "annotations.json"
  path.write_text(json.dumps(content))
  detections = formats.read(path, "coco", 5)
  people[..., 2] /= 2
  people[people[..., 2] == 0] = 0
  _assert_same(detections, {4: people})


def test_scores_above_one_are_cut_and_other_categories_are_left_out(tmp_path):
  people = _people(0, 1)
  people[..., 2] = 3.0
  entries = _entries({0: people})
  entries.append(entries[0] | {"category_id": 18})
  path = tmp_path / "results.json"
  path.write_text(json.dumps(entries))
  found = formats.read(path, "coco", 1)[0]
  assert found.shape == (1, 17, 3)
  assert np.all(found[..., 2] == 1)


def test_npz_round_trip(tmp_path, frames):
  detections = [frames.get(n, np.zeros((0, 17, 3), np.float32)) for n in range(6)]
  path = tmp_path / "keypoints.npz"
  formats.write_npz(path, detections)
  assert [file.name for file in tmp_path.iterdir()] == ["keypoints.npz"]
  _assert_same(formats.read(path, "npz", 6), frames)
  formats.write_npz(path, [np.zeros((0, 17, 3), np.float32)] * 2)
  _assert_same(formats.read(path, "npz", 6), {})


def test_npz_of_one_person_with_frame_index(tmp_path):
  people = _people(0, 3)
  keypoints = people.copy()
  keypoints[keypoints[..., 2] == 0] = np.nan
  keypoints[1] = np.nan
  path = tmp_path / "one.npz"
  np.savez(path, keypoints=keypoints, frame_index=np.array([4, 1, 9]))
  detections = formats.read(path, "npz", 10)
  _assert_same(detections, {4: people[:1], 9: people[2:]})


def _bad_json(path, content):
  path.write_text(content if isinstance(content, str) else json.dumps(content))
  return path


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ("{nope", "not readable as JSON"),
    ({"people": {}}, "has no list `people`"),
    ({"people": [{}]}, r"people\[0\].pose_keypoints_2d of .* is missing"),
    (
      {"people": [{"pose_keypoints_2d": [1.0] * 75}]},
      "has 75 numbers, which is 25 points, but openpose_coco18 has 54: "
      "name --keypoint_format=openpose_body25 or openpose_body25b",
    ),
    ({"people": [{"pose_keypoints_2d": [1.0] * 53}]}, "53 numbers, not three a point"),
    ({"people": [{"pose_keypoints_2d": ["a"] * 54}]}, "not a list of numbers"),
    ('{"people": [{"pose_keypoints_2d": [' + "NaN," * 53 + "1]}]}", "not finite"),
    ({"people": [{"pose_keypoints_2d": [0.5] * 54}]}, "not normalised"),
  ],
)
def test_bad_openpose_file(tmp_path, content, message):
  _bad_json(tmp_path / "v_000000000000_keypoints.json", content)
  with pytest.raises(InputError, match=message):
    formats.read(tmp_path, "openpose_coco18", 1)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ("[", "not readable as JSON"),
    ({"people": []}, "neither a list of COCO results nor a dict with `annotations`"),
    ([{"image_id": 0}], "Entry 0 of .* lacks `keypoints`"),
    ([{"image_id": "x.jpg", "keypoints": [9] * 51}], "has no frame number"),
    (
      [{"image_id": 0, "keypoints": [9] * 54}],
      "keypoints of entry 0 of .* has 54 numbers, which is 18 points.*openpose_coco18",
    ),
    ([{"image_id": 0, "keypoints": [9] * 78}], "26 points.*convert it to one of"),
    ([{"image_id": 4, "keypoints": [9] * 51}], "keypoints for frame 4, .* 0 to 3"),
    ([{"image_id": -1, "keypoints": [9] * 51}], "keypoints for frame -1"),
    ([{"image_id": [0], "keypoints": [9] * 51}], "neither a number nor a name"),
    ({"annotations": [], "images": [3]}, "`images` of .* is not a list of images"),
    ({"annotations": [], "images": [{"id": {}}]}, "images with an id each"),
  ],
)
def test_bad_coco_file(tmp_path, content, message):
  path = _bad_json(tmp_path / "keypoints.json", content)
  with pytest.raises(InputError, match=message):
    formats.read(path, "coco", 4)


@pytest.mark.parametrize(
  ("arrays", "message"),
  [
    ({"poses": np.zeros(3)}, "lacks the array `keypoints`"),
    ({"keypoints": np.zeros((4, 18, 3))}, r"float64 \[4, 18, 3\]"),
    ({"keypoints": np.zeros((4, 17, 3), int)}, "of floats"),
    ({"keypoints": np.full((4, 17, 3), np.inf)}, "holds infinity"),
    ({"keypoints": np.array([None, {}])}, "refused: it has Python objects"),
    ({"keypoints": np.ones((5, 17, 3)) * 9}, "keypoints for frame 4"),
    (
      {"keypoints": np.ones((2, 17, 3)), "frame_index": np.zeros(3, int)},
      "one whole number for each of the 2 frames",
    ),
    (
      {"keypoints": np.ones((2, 17, 3)), "frame_index": np.zeros(2, int)},
      "names a frame twice",
    ),
  ],
)
def test_bad_npz(tmp_path, arrays, message):
  path = tmp_path / "keypoints.npz"
  np.savez(path, **arrays)
  with pytest.raises(InputError, match=message):
    formats.read(path, "npz", 4)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04nonsense", pickle.dumps([1])])
def test_damaged_npz(tmp_path, content):
  path = tmp_path / "keypoints.npz"
  path.write_bytes(content)
  with pytest.raises(InputError, match=r"keypoints\.npz cannot be read as an \.npz"):
    formats.read(path, "npz", 4)


def test_an_npz_header_of_100_gb_is_refused(tmp_path):
  path = tmp_path / "keypoints.npz"
  header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (245000000, 17, 3), }"
  with zipfile.ZipFile(path, "w") as archive:
    start = b"\x93NUMPY\x01\x00v\x00" + header.ljust(117) + b"\n"
    archive.writestr("keypoints.npy", start + bytes(408))
  with pytest.raises(InputError, match=r"refused: it has keypoints\.npy of shape"):
    formats.read(path, "npz", 4)


def test_a_frame_number_of_another_world_fills_no_memory(tmp_path):
  path = _bad_json(
    tmp_path / "keypoints.json", [{"image_id": 10**15, "keypoints": [9] * 51}]
  )
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


def test_two_videos_in_one_folder(tmp_path):
  for name in ("a", "b"):
    pattern = name + "_{:012d}_keypoints.json"
    _write_openpose(tmp_path / "x", {0: _people(0, 1)}, "openpose_body25", pattern)
  with pytest.raises(InputError, match="each its own frame number"):
    formats.read(tmp_path / "x", "openpose_body25", 4)


def test_keypoints_of_a_larger_version_of_the_video(tmp_path):
  path = tmp_path / "keypoints.npz"
  formats.write_npz(path, [_people(0, 1) * [10, 10, 1]])
  with pytest.raises(InputError, match="outside the video's 200 x 200 pixels"):
    formats.read(path, "npz", 1, image_size=(200, 200))
