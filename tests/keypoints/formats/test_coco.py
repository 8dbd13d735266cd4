"""COCO's JSON, written by the test and read back; and bad files."""

import json

import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import formats
from tests.keypoints.formats.frames import assert_same, random_people, some_frames


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
def test_coco_results_and_alphapose(tmp_path, image_id):
  frames = some_frames()
  path = tmp_path / "results.json"
  path.write_text(json.dumps(_entries(frames, image_id)))
  assert_same(formats.read(path, "coco", 6), frames)


def test_coco_annotations_have_flags_and_names(tmp_path):
  people = random_people(0, 2)
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
  assert_same(detections, {4: people})


def test_scores_above_one_are_cut_and_other_categories_are_left_out(tmp_path):
  people = random_people(0, 1)
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
    ("[", "not readable as JSON"),
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
    ([{"image_id": 0, "keypoints": [9] * 78}], "26 points.*convert it to one of"),
    ([{"image_id": 4, "keypoints": [9] * 51}], "keypoints for frame 4, .* 0 to 3"),
    ([{"image_id": -1, "keypoints": [9] * 51}], "keypoints for frame -1"),
    ([{"image_id": [0], "keypoints": [9] * 51}], "neither a number nor a name"),
    ({"annotations": [], "images": [3]}, "`images` of .* is not a list of images"),
    ({"annotations": [], "images": [{"id": {}}]}, "images with an id each"),
  ],
)
def test_bad_coco_file(tmp_path, content, message):
  path = tmp_path / "keypoints.json"
  path.write_text(content if isinstance(content, str) else json.dumps(content))
  with pytest.raises(InputError, match=message):
    formats.read(path, "coco", 4)
