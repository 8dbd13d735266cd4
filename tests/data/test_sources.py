"""Datasets opened from a config: which clips come, and what is refused."""

import pathlib

import cv2
import numpy as np
import pytest

from mhmr_jax.data import sources
from mhmr_jax.errors import InputError
from tests import tiny
from tests.data.clips import make_source
from tests.data_builders import walkers
from tests.synth import surreal_files


def test_surreals_people_are_filmed_before_the_videos_of_kinetics(tmp_path):
  surreal, videos = tmp_path / "surreal", tmp_path / "kinetics"
  for split, name in (("train", "01_01"), ("test", "02_01")):
    surreal_files.write(
      surreal / split, f"run0/{name}/{name}_c0001", surreal_files.Scene(frames=12)
    )
  green = np.zeros((300, 300, 3), np.uint8)
  green[..., 1] = 255
  for name in ("a", "b", "c", "d", "e"):
    (videos / name).mkdir(parents=True)
    cv2.imwrite(str(videos / name / "x.png"), green)
  config = tiny.config(tmp_path / "data")
  config.data.people = "surreal"
  config.data.num_clips = 2
  config.surreal.dir, config.kinetics.dir = str(surreal), str(videos)
  clip = sources.open_source(config, "train")[0]
  image = cv2.imdecode(np.frombuffer(clip["frames"][0], np.uint8), cv2.IMREAD_COLOR)
  mask = cv2.imdecode(np.frombuffer(clip["mask"][0], np.uint8), cv2.IMREAD_GRAYSCALE)
  blue, shade, red = np.median(image[mask == 0], axis=0)
  assert shade > 2 * max(blue, red)
  assert 0.005 < (mask > 0).mean() < 0.7
  # The labels are those of a person who is there: joints lie on the mask.
  pixels = clip["joints_camera"][0] @ clip["intrinsics"].T
  pixels = (pixels[:, :2] / pixels[:, 2:]).astype(int)
  visible = pixels[clip["visibility"][0] > 0]
  assert len(visible) > 5
  assert (mask[visible[:, 1], visible[:, 0]] > 0).mean() > 0.8
  config.data.variant = "shifted"
  with pytest.raises(InputError, match="shifted"):
    sources.open_source(config, "train")


@pytest.mark.parametrize(
  ("change", "words"),
  [
    ({"data.source": "3dpw"}, "no dataset '3dpw'"),
    ({"data.source": "threedpw"}, r"config\.body\.female \(not set\).*threedpw\.dir"),
    ({"data.num_clips": 1}, "num_clips is 1"),
  ],
)
def test_unknown_names_and_sizes_are_refused(tmp_path, change, words):
  config = tiny.config(tmp_path)
  config.update_from_flattened_dict(change)
  with pytest.raises(InputError, match=words):
    sources.open_source(config, "train")


def test_an_unknown_split_is_refused_before_clips_are_made(tmp_path):
  config = tiny.config(tmp_path)
  for split in ("validation", "all"):
    with pytest.raises(InputError, match=f"no split '{split}'"):
      sources.open_source(config, split)
  assert not any(tmp_path.iterdir())


def test_target_clips_are_the_training_split_of_another_variant(tmp_path, monkeypatch):
  config = tiny.config(tmp_path, "dann")
  opened = []

  def open_source(config, split, name):
    opened.append((config.data.variant, split))
    return make_source([3])

  monkeypatch.setattr(sources, "open_source", open_source)
  sources.open_target(config)
  sources.open_training(config)
  assert opened == [("shifted", "train"), ("alone", "train")]
  assert sources.open_target(tiny.config(tmp_path)) is None


def test_videos_without_labels_are_only_a_target_domain(tmp_path, monkeypatch):
  walkers.replace_detector(monkeypatch, tmp_path / "cache")
  walkers.write(tmp_path / "videos" / "walk.mp4", [True] * 12, companion=True)
  walkers.write(tmp_path / "videos" / "short.mp4", [True] * 3)
  config = tiny.config(tmp_path / "data", "dann", target__dataset="unlabelled_videos")
  with pytest.raises(InputError, match=r"config\.videos\.dir \(not set\)"):
    sources.open_target(config)
  config.videos.dir = str(tmp_path / "videos")
  for split in ("train", "test"):
    with pytest.raises(InputError, match="have no labels to train or evaluate on"):
      sources.open_source(config, split, "unlabelled_videos")
  assert not (tmp_path / "data").exists()
  target = sources.open_target(config)
  assert [target[index]["sequence"] for index in range(len(target))] == [
    "walk.mp4_0",
    "walk.mp4_1",
  ]
  assert "pose" not in target[0]
  assert target.split == "train"


def test_to_test_no_clips_to_train_on_are_made(tmp_path):
  config = tiny.config(tmp_path, data__variant="plain", data__clip_frames=2)
  found = sources.open_source(config, "test")
  assert "_0+2_clips_" in found.folder
  assert not sources.training_is_here(config)
  # Those of the whole dataset are the same.
  sources.open_source(config, "train")
  whole = sources.open_source(config, "test")
  assert "_4+2_clips_" in whole.folder
  assert len(found) == len(whole) == 2
  for index in range(2):
    for key in ("pose", "betas", "keypoints_image"):
      np.testing.assert_array_equal(found[index][key], whole[index][key])


@pytest.mark.parametrize("content", ["{", "", "[]", "\xff", '{"name": 3}', "[" * 9999])
def test_a_damaged_description_of_the_dataset_is_named(tmp_path, content):
  config = tiny.config(tmp_path, data__variant="plain")
  folder = pathlib.Path(str(sources._builder("synthetic_clips", config).data_path))
  folder.mkdir(parents=True)
  (folder / "dataset_info.json").write_text(content, encoding="latin-1")
  with pytest.raises(InputError, match=r"clips .*delete that folder") as caught:
    sources.open_source(config, "train")
  assert "\n" not in str(caught.value)
  assert str(tmp_path) in str(caught.value)


def test_unknown_variants_are_refused(tmp_path):
  config = tiny.config(tmp_path, data__variant="foggy")
  with pytest.raises(InputError, match="no variant 'foggy'"):
    sources.open_source(config, "train")


def test_examples_made_on_the_device_have_a_seed_and_no_clips(tmp_path):
  config = tiny.config(tmp_path, "kp_video", data__seed=5)
  assert sources.open_training(config) == sources.Generated(5)
  # Evaluation has no clips to take a mean pose of.
  assert not sources.training_is_here(config)
  for name in (None, "keypoint_examples"):
    with pytest.raises(InputError) as caught:
      sources.open_source(config, "test", name)
    assert str(caught.value) == (
      "keypoint_examples are made on the device and not stored: name another dataset."
    )
  assert not list(tmp_path.iterdir())
