"""What the config names, and what is said where it is not there."""

import cv2
import numpy as np
import pytest

from configs import dann, flow_kp
from mhmr_jax.data import sources
from mhmr_jax.errors import InputError
from tests import tiny
from tests.synth import surreal_files


def test_missing_paths_are_all_named_in_one_sentence(tmp_path):
  config = flow_kp.get_config("paper")
  config.surreal.dir = str(tmp_path)
  with pytest.raises(InputError) as caught:
    sources.check_paths(config)
  message = str(caught.value)
  assert "config.body.path (not set)" in message
  assert "config.kinetics.dir (not set)" in message
  assert "config.surreal.dir" not in message
  config.kinetics.dir = config.body.path = str(tmp_path)
  sources.check_paths(config)


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
  seen = pixels[clip["visibility"][0] > 0]
  assert len(seen) > 5
  assert (mask[seen[:, 1], seen[:, 0]] > 0).mean() > 0.8
  config.data.variant = "shifted"
  with pytest.raises(InputError, match="shifted"):
    sources.open_source(config, "train")


def test_body_path_is_checked_for_the_default_too(tmp_path):
  config = tiny.config(tmp_path)
  sources.check_paths(config)
  config.body.path = str(tmp_path / "absent.pkl")
  with pytest.raises(InputError, match=r"config\.body\.path \(.*absent\.pkl\)"):
    sources.check_paths(config)


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


def test_unknown_split_and_people_are_refused(tmp_path):
  config = tiny.config(tmp_path)
  with pytest.raises(InputError, match="no split 'validation'"):
    sources.open_source(config, "validation")
  config.data.people = "statues"
  with pytest.raises(InputError, match="'statues'"):
    sources.check_paths(config)


@pytest.mark.parametrize(
  ("mixture", "words"),
  [
    ({"synthetic_clips": 0.5, "kinetics": 0.5}, "no dataset 'kinetics'"),
    ({"synthetic_clips": -1.0}, r"mixture\.synthetic_clips is -1\.0"),
    ({"synthetic_clips": float("nan")}, "is nan"),
    ({"synthetic_clips": 0.0}, "All shares"),
    ({"synthetic_clips": 0.2, "threedpw": 0.1}, r"config\.threedpw\.dir \(not set\)"),
  ],
)
def test_shares_that_cannot_be_are_refused(tmp_path, mixture, words):
  config = tiny.config(tmp_path)
  with config.unlocked():
    config.data.mixture = mixture
  with pytest.raises(InputError, match=words):
    sources.check_paths(config)


def test_shares_of_one_or_of_several(tmp_path):
  config = tiny.config(tmp_path)
  assert sources.shares(config) == {"synthetic_clips": 1.0}
  with config.unlocked():
    config.data.mixture = {"kinetics_pseudo_gt": 2, "synthetic_clips": 0, "threedpw": 1}
  assert sources.shares(config) == {"kinetics_pseudo_gt": 2.0, "threedpw": 1.0}
  with config.unlocked():
    del config.data["mixture"]  # A run of an earlier version.
  assert sources.shares(config) == {"synthetic_clips": 1.0}


def test_a_run_from_another_machine_finds_its_data_here(tmp_path):
  config = tiny.config(tmp_path)
  with config.unlocked():
    del config["threedpw"]
    del config.body["male"]
  paths = sources.local_paths()
  assert not paths.threedpw.dir
  paths.threedpw.dir, paths.body.path = "/here/3DPW", "/here/neutral.pkl"
  changed = sources.with_local_paths(config, paths)
  assert changed.threedpw.dir == "/here/3DPW"
  assert changed.threedpw.frames == "stored"
  assert changed.body.path == "/here/neutral.pkl"
  assert changed.body.male == ""
  assert changed.data.dir == str(tmp_path)
  assert config.body.path == ""


def test_target_clips_are_the_training_split_of_another_variant(tmp_path, monkeypatch):
  config = tiny.config(tmp_path, "dann")
  opened = []
  monkeypatch.setattr(
    sources, "_synthetic_clips", lambda c, split: opened.append((c.data.variant, split))
  )
  sources.open_target(config)
  sources.open_training(config)
  assert opened == [("shifted", "train"), ("alone", "train")]
  assert sources.open_target(tiny.config(tmp_path)) is None


def test_target_datasets_paths_are_checked_with_the_others(tmp_path):
  config = dann.get_config("paper")
  config.data.people = "rendered"
  with pytest.raises(InputError) as caught:
    sources.check_paths(config)
  for key in ("config.kinetics.dir", "config.kinetics.pseudo_gt", "config.body.path"):
    assert f"{key} (not set)" in str(caught.value)
  config.target.dataset = "3dpw"
  with pytest.raises(InputError, match="no dataset '3dpw'"):
    sources.check_paths(config)


def test_a_run_is_tested_on_the_variant_that_is_named_or_else_its_own(tmp_path):
  config = tiny.config(tmp_path, data__variant="full")
  named = sources.local_paths()
  assert sources.with_local_paths(config, named).data.variant == "full"
  named.data.variant = "shifted"
  assert sources.with_local_paths(config, named).data.variant == "shifted"
  with config.unlocked():
    del config.data["variant"]  # As in runs of before there were any.
  assert sources.with_local_paths(config, sources.local_paths()).data.variant == "alone"


def test_unknown_variants_are_refused(tmp_path):
  config = tiny.config(tmp_path, data__variant="foggy")
  with pytest.raises(InputError, match="no variant 'foggy'"):
    sources.open_source(config, "train")
