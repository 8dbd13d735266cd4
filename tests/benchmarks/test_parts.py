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


def test_the_table_has_a_part_a_line_and_leaves_out_what_was_not_measured():
  real = {
    f"real_fit_{fit}_{key}": value
    for fit, values in (("off", (64.17, 9.68)), ("on", (59.61, 9.01)))
    for key, value in zip(("pa_mpjpe", "acceleration"), values, strict=True)
  }
  synthetic = {"synthetic_detected_pa_mpjpe": 70.04, "synthetic_exact_pa_mpjpe": 50.0}
  shown = parts.table({"base": {**synthetic, **real}, "predict": real})
  *_, trained, predicted = shown.splitlines()
  assert trained == "| `base` | 70.0 | 50.0 | 64.2, 9.7 | 59.6, 9.0 |"
  assert predicted == "| `predict` |  |  | 64.2, 9.7 | 59.6, 9.0 |"
