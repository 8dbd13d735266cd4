"""Noise files: which noise a config means, and bad files."""

import dataclasses
import json

import pytest

from configs import flow_kp
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import noise_file
from mhmr_jax.keypoints.noise import SHIFTED, KeypointNoise


def test_all_fields_are_written_to_three_digits(tmp_path):
  path = tmp_path / "noise.json"
  noise = dataclasses.replace(SHIFTED, jitter=0.0123456)
  noise_file.write(path, noise)
  assert noise_file.read(path) == dataclasses.replace(noise, jitter=0.0123)
  with pytest.raises(InputError, match=r"cannot be written .*: name another file"):
    noise_file.write(tmp_path / "absent" / "noise.json", noise)


def test_noise_of_a_config(tmp_path):
  out = tmp_path / "noise.json"
  noise = dataclasses.replace(KeypointNoise(), jitter=0.02)
  noise_file.write(out, noise)
  config = flow_kp.get_config()
  assert InputSpec.from_config(config).noise == KeypointNoise()
  config.data.variant = "shifted"
  assert InputSpec.from_config(config).noise == SHIFTED
  config.keypoints.noise_file = str(out)
  assert InputSpec.from_config(config).noise == noise
  config.keypoints.noise = False
  assert InputSpec.from_config(config).noise is None


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ("{", "cannot be read as JSON"),
    ("[" * 100_000, "cannot be read as JSON"),
    ("[1]", "is not a JSON object"),
    ('{"jiter": 0.1}', "has 'jiter': use some of offset, width, jitter"),
    ('{"jitter": -0.1}', "has jitter = -0.1: give a number from 0 to 1"),
    ('{"jitter": NaN}', "has jitter = nan"),
    ('{"run": 0.5}', "has run = 0.5: give a number of frames from 1"),
    ('{"occluded": Infinity}', "give a number from 0"),
    ('{"occluded": 1' + "0" * 400 + "}", "give a number from 0"),
    ('{"miss": true}', "has miss = True"),
    ('{"correlation": 1.5}', "from 0 to 1"),
  ],
)
def test_bad_noise_file(tmp_path, content, message):
  path = tmp_path / "noise.json"
  path.write_text(content)
  with pytest.raises(InputError, match=message):
    noise_file.read(path)
  path.write_text(json.dumps({"miss": 0.5}))
  assert noise_file.read(path) == dataclasses.replace(KeypointNoise(), miss=0.5)
