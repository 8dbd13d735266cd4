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
