"""What the config names, and what is said where it is not there."""

import pytest

from configs import flow_kp
from mhmr_jax.data import sources
from mhmr_jax.errors import InputError
from tests import tiny


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
  with pytest.raises(InputError, match="does not read SURREAL"):
    sources.check_paths(config)


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
