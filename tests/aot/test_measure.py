"""The steps whose cost is measured, lowered for the devices that are here."""

import jax

from mhmr_jax.aot import measure
from tests import tiny


def test_the_step_that_predicts_gets_all_inputs_of_coordinates(tmp_path):
  config = tiny.config(tmp_path, "kp_video")
  lowered, parameters = measure._lower(config, jax.devices()[:1], "predict")
  _, batch, carry = lowered.args_info[0]
  assert batch.keys() == {"keypoints", "window", "valid"}
  assert batch["window"].shape == (4, 3)
  assert carry.crop.points.shape == (4, 17, 3)
  assert parameters > 10_000
