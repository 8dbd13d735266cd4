"""AlphaPose's results in its three forms, written by the test and read back."""

import json

import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import formats
from tests.keypoints.formats.frames import assert_same, centred, some_frames

# Where AlphaPose's own writer takes each of OpenPose's 18 points from, after it has
# appended the neck to COCO's 17.
_OPEN = (0, 17, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)


def _write(path, frames, form, name="{}.jpg", extra=0):
  own, by_image = [], {}
  for number, people in frames.items():
    image = name.format(number)
    for person in people:
      points = np.concatenate([person, np.full((extra, 3), 7.0)])
      own.append(
        {"image_id": image, "category_id": 1, "score": 2.5, "idx": [0.0]}
        | {"keypoints": points.ravel().tolist()}
      )
      neck = person[[5, 6]].mean(axis=0)
      numbers = np.vstack([person, neck])[list(_OPEN)].ravel().tolist()
      key, inner = {
        "open": ("people", "pose_keypoints_2d"),
        "cmu": ("bodies", "joints"),
      }["cmu" if form == "own" else form]
      entry = by_image.setdefault(image, {"version": "AlphaPose v0.3", key: []})
      entry[key].append({inner: numbers})
  path.write_text(json.dumps(own if form == "own" else by_image))


@pytest.mark.parametrize("form", ["own", "open", "cmu"])
def test_forms(tmp_path, form):
  path = tmp_path / "alphapose-results.json"
  _write(path, some_frames(), form)
  # Nobody in the last frames, and in the first ones, changes nothing.
  assert_same(formats.read(path, "alphapose", 9), centred(some_frames()))
  later = {number + 1: people for number, people in some_frames().items()}
  _write(path, later, form)
  assert_same(formats.read(path, "alphapose", 7), centred(later))
  with pytest.raises(InputError, match="for frame 6, but the video's 6 frames"):
    formats.read(path, "alphapose", 6)


@pytest.mark.parametrize("extra", [9, 116, 119])
def test_halpe_and_whole_bodies(tmp_path, extra):
  path = tmp_path / "alphapose-results.json"
  _write(path, some_frames(), "own", extra=extra)
  assert_same(formats.read(path, "alphapose", 6), centred(some_frames()))


def test_images_of_a_folder_keep_their_names(tmp_path, caplog):
  later = {number + 1: people for number, people in some_frames().items()}
  path = tmp_path / "alphapose-results.json"
  _write(path, later, "own", name="video_{:05d}.png")
  assert_same(formats.read(path, "alphapose", 6), centred(some_frames()))
  assert "taken to be counted from 1" in caplog.text


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ([{"image_id": "0.jpg"}], "`keypoints` or `image_id` is missing in entry 0 of"),
    ([{"image_id": "x.jpg", "keypoints": [9] * 51}], "'x.jpg' in .* has no number"),
    ([{"image_id": "0.jpg", "keypoints": [9] * 60}], "20 points, but alphapose has 51"),
    ({"0.jpg": []}, "is not a file that AlphaPose wrote"),
    ({"0.jpg": {"people": [{}]}}, "pose_keypoints_2d of '0.jpg' in .* is missing"),
    ({"0.jpg": {"bodies": [{"joints": [9] * 51}]}}, "has 51 numbers"),
    (3, "is not a file that AlphaPose wrote"),
  ],
)
def test_bad_file(tmp_path, content, message):
  path = tmp_path / "keypoints.json"
  path.write_text(json.dumps(content))
  with pytest.raises(InputError, match=message):
    formats.read(path, "alphapose", 4)
