"""The parts that are trained: each is a config that can be, at the same budget."""

import pytest

from mhmr_jax.keypoints import noise_file
from mhmr_jax.runtime import config_check
from tests.benchmarks import parts


@pytest.mark.parametrize("name", parts.TRAININGS)
def test_every_part_can_be_trained_and_sees_as_many_frames(name, tmp_path):
  config = parts.config_of(name, "", 100, tmp_path)
  config_check.check(config)
  base = parts.config_of("base", "", 100, tmp_path)
  assert (config.to_dict() == base.to_dict()) == (name == "base")
  frames = [c.train.steps * c.train.batch_size * c.data.window for c in (config, base)]
  assert frames[0] == frames[1]


def test_gaussian_noise_is_not_the_detectors(tmp_path):
  config = parts.config_of("gaussian_noise", "", 100, tmp_path)
  noise = noise_file.from_config(config)
  assert noise.jitter > 0
  assert noise.correlation == noise.swap_limbs == noise.miss_occluded == 0
