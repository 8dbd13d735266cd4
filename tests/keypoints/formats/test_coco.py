"""COCO's JSON, written by the test and read back; and bad files."""

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


@pytest.mark.parametrize(
  "image_id", [int, "{}.jpg".format, "out/cam2_{:06d}.png".format]
)
def test_coco_results(tmp_path, image_id):
  frames = some_frames()
  path = tmp_path / "results.json"
  path.write_text(json.dumps(_entries(frames, image_id)))
  assert_same(formats.read(path, "coco", 6), centred(frames))


def test_coco_annotations_have_flags_and_names(tmp_path):
  people = random_people(0, 2) + np.float32(1)
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
  assert_same(detections, centred({4: people}))


def _with_images(numbers, frames, name):
  """A file whose table lists the frames; the ids in it begin elsewhere."""
  images = [
    {"id": 90 + number} | ({"file_name": name.format(number)} if name else {})
    for number in numbers
  ]
  return {"images": images, "annotations": _entries(frames, lambda n: n + 90)}


@pytest.mark.parametrize("name", ["cam/{:06d}.jpg", "", "camera1.jpg"])
@pytest.mark.parametrize("first", [0, 1])
def test_images_tell_the_frames_though_the_last_has_nobody(tmp_path, name, first):
  frames = some_frames()
  counted = {number + first: found for number, found in frames.items()}
  path = tmp_path / "annotations.json"
  listed = range(first, first + 8)
  path.write_text(json.dumps(_with_images(listed, counted, name)))
  read = formats.read(path, "coco", 8)
  assert [len(found) for found in read] == [2, 0, 1, 0, 0, 3, 0, 0]
  # And where the video's length is not known.
  if name.startswith("cam/"):
    assert len(formats.read(path, "coco")) == 8
  if first == 1 and name.startswith("cam/"):
    with pytest.raises(InputError, match="lists frames 1 to 8, but the video has 9"):
      formats.read(path, "coco", 9)


def test_numbers_without_a_frame_0_are_taken_as_the_length_says(tmp_path, caplog):
  path = tmp_path / "results.json"
  one = random_people(0, 1)
  path.write_text(json.dumps(_entries({1: one, 4: one}, "{:06d}.jpg".format)))
  assert [len(found) for found in formats.read(path, "coco", 4)] == [1, 0, 0, 1]
  assert "taken to be counted from 1" in caplog.text
  caplog.clear()
  assert [len(found) for found in formats.read(path, "coco", 5)] == [0, 1, 0, 0, 1]
  assert "1 to 4 for a video of 5 frames, are taken to be counted from 0" in caplog.text


def test_pixels_are_centred_at_one_half(tmp_path):
  """COCO counts from the first pixel's centre; missing points stay at zero."""
  path = tmp_path / "results.json"
  numbers = [0.0, 7.0, 1.0] + [3.0, 0.0, 0.5] + [0.0] * 45
  path.write_text(json.dumps([{"image_id": 0, "keypoints": numbers}]))
  found = formats.read(path, "coco", 1)[0][0]
  np.testing.assert_allclose(found[:3], [[0.5, 7.5, 1], [3.5, 0.5, 0.5], [0, 0, 0]])


def test_a_list_for_each_point(tmp_path):
  people = random_people(0, 2)
  entries = _entries({0: people})
  for entry, person in zip(entries, people, strict=True):
    entry["keypoints"] = person.tolist()
  path = tmp_path / "results.json"
  path.write_text(json.dumps(entries))
  assert_same(formats.read(path, "coco", 1), centred({0: people}))


def test_scores_above_one_are_cut_and_other_categories_are_left_out(tmp_path):
  people = random_people(0, 1) + np.float32(1)
  people[..., 2] = 3.0
  entries = _entries({0: people})
  entries.append(entries[0] | {"category_id": 18})
  path = tmp_path / "results.json"
  path.write_text(json.dumps(entries))
  found = formats.read(path, "coco", 1)[0]
  assert found.shape == (1, 17, 3)
  assert np.all(found[..., 2] == 1)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ("[", "cannot be read as JSON"),
    ({"people": []}, "neither a list of COCO results nor a dict with `annotations`"),
    ([{"image_id": 0}], "`keypoints` or `image_id` is missing in entry 0 of"),
    (
      [{"image_id": "x.jpg", "keypoints": [9] * 51}],
      "is 'x.jpg', which has no frame number",
    ),
    (
      [{"image_id": 0, "keypoints": [9] * 54}],
      "keypoints of entry 0 of .* has 54 numbers, which is 18 points.*openpose_coco18",
    ),
    ([{"image_id": 0, "keypoints": [1e308] * 51}], "holds a value that is not finite"),
    ([{"image_id": 0, "keypoints": [10**400] * 51}], "is not a list of numbers"),
    (
      {"annotations": [{"image_id": 0, "keypoints": 1.5}]},
      "not three a point",
    ),
    ([{"image_id": 0, "keypoints": [9] * 78}], "26 points.*halpe26 or alphapose or"),
    ([{"image_id": 0, "keypoints": [9] * 90}], "30 points.*convert it to one of"),
    ([{"image_id": 5, "keypoints": [9] * 51}], "keypoints for frame 5, .* 0 to 3"),
    ([{"image_id": -1, "keypoints": [9] * 51}], "keypoints for frame -1"),
    ([{"image_id": [0], "keypoints": [9] * 51}], "neither a number nor a name"),
    ({"annotations": [], "images": [3]}, "`images` of .* is not a list of images"),
    ({"annotations": [], "images": [{"id": {}}]}, "images with an id each"),
    ({"annotations": [], "images": [{"id": 3}, {"id": 3}]}, "has an id twice"),
    ({"annotations": [], "images": [{"id": "x"}]}, "Neither the names nor the ids"),
    (
      {"annotations": [{"image_id": 1, "keypoints": [9] * 51}], "images": [{"id": 3}]},
      "is 1, which is not among `images`",
    ),
  ],
)
def test_bad_coco_file(tmp_path, content, message):
  path = tmp_path / "keypoints.json"
  path.write_text(content if isinstance(content, str) else json.dumps(content))
  with pytest.raises(InputError, match=message):
    formats.read(path, "coco", 4)
