"""The datasets and paths that configs name: shares, missing paths, replaced paths."""

import pytest

from configs import dann, flow_kp
from mhmr_jax.data import config_paths
from mhmr_jax.errors import InputError
from tests import tiny


def test_missing_paths_are_all_named_in_one_sentence(tmp_path):
  config = flow_kp.get_config("paper")
  config.surreal.dir = str(tmp_path)
  with pytest.raises(InputError) as caught:
    config_paths.check_paths(config)
  message = str(caught.value)
  assert "config.body.path (not set)" in message
  assert "config.kinetics.dir (not set)" in message
  assert "config.surreal.dir" not in message
  config.kinetics.dir = config.body.path = str(tmp_path)
  config_paths.check_paths(config)


def test_body_path_is_checked_for_the_default_too(tmp_path):
  config = tiny.config(tmp_path)
  config_paths.check_paths(config)
  config.body.path = str(tmp_path / "absent.pkl")
  with pytest.raises(InputError, match=r"config\.body\.path \(.*absent\.pkl\)"):
    config_paths.check_paths(config)


def test_the_paths_of_a_mixtures_datasets_are_checked(tmp_path):
  config = tiny.config(tmp_path)
  with config.unlocked():
    config.data.mixture = {"synthetic_clips": 0.2, "threedpw": 0.1}
  with pytest.raises(InputError, match=r"config\.threedpw\.dir \(not set\)"):
    config_paths.check_paths(config)


def test_shares_of_one_or_of_several(tmp_path):
  config = tiny.config(tmp_path)
  assert config_paths.shares(config) == {"synthetic_clips": 1.0}
  with config.unlocked():
    config.data.mixture = {"kinetics_pseudo_gt": 2, "synthetic_clips": 0, "threedpw": 1}
  assert config_paths.shares(config) == {"kinetics_pseudo_gt": 2.0, "threedpw": 1.0}
  with config.unlocked():
    del config.data["mixture"]  # A run of an earlier version.
  assert config_paths.shares(config) == {"synthetic_clips": 1.0}


def test_a_run_from_another_machine_finds_its_data_here(tmp_path):
  config = tiny.config(tmp_path)
  with config.unlocked():
    del config["threedpw"]
    del config.body["male"]
  paths = config_paths.local_paths()
  assert not paths.threedpw.dir
  paths.threedpw.dir, paths.body.path = "/here/3DPW", "/here/neutral.pkl"
  changed = config_paths.with_local_paths(config, paths)
  assert changed.threedpw.dir == "/here/3DPW"
  assert changed.threedpw.frames == "stored"
  assert changed.body.path == "/here/neutral.pkl"
  assert changed.body.male == ""
  assert changed.data.dir == str(tmp_path)
  assert config.body.path == ""


def test_target_datasets_paths_are_checked_with_the_others(tmp_path):
  config = dann.get_config("paper")
  config.data.people = "rendered"
  with pytest.raises(InputError) as caught:
    config_paths.check_paths(config)
  for key in ("config.kinetics.dir", "config.kinetics.pseudo_gt", "config.body.path"):
    assert f"{key} (not set)" in str(caught.value)


def test_the_folder_of_a_targets_videos_must_be_there_and_weights_if_named(tmp_path):
  config = dann.get_config()
  config.target.dataset = "unlabelled_videos"
  with pytest.raises(InputError, match=r"config\.videos\.dir \(not set\)"):
    config_paths.check_paths(config)
  config.videos.dir = str(tmp_path)
  config_paths.check_paths(config)
  config.videos.detector_weights = str(tmp_path / "absent.task")
  with pytest.raises(InputError, match=r"detector_weights \(.*absent\.task\)"):
    config_paths.check_paths(config)


def test_a_run_is_tested_on_the_variant_that_is_named_or_else_its_own(tmp_path):
  config = tiny.config(tmp_path, data__variant="full")
  named = config_paths.local_paths()
  assert config_paths.with_local_paths(config, named).data.variant == "full"
  named.data.variant = "shifted"
  assert config_paths.with_local_paths(config, named).data.variant == "shifted"
  with config.unlocked():
    del config.data["variant"]  # A run of a version that had none.
  assert (
    config_paths.with_local_paths(config, config_paths.local_paths()).data.variant
    == "alone"
  )
