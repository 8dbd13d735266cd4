import numpy as np
import pytest

from mhmr_jax.synth import sensor


def test_grain_is_normal_noise_of_the_strength_asked_for():
  grain = sensor.grain(np.random.default_rng(0), 96, 2.5)
  assert grain.shape == (96, 96, 3)
  assert abs(grain.mean()) < 0.05
  assert grain.std() == pytest.approx(2.5, rel=0.02)
  # A normal distribution's kurtosis is 3; that of bytes alone is 1.8.
  assert 2.5 < ((grain / grain.std()) ** 4).mean() < 3.2
  for axis in range(3):
    beside = np.roll(grain, 1, axis)
    assert abs((grain * beside).mean()) < 0.02 * grain.var()


def test_a_camera_gains_and_stays_within_a_byte():
  drawn = sensor.sample(np.random.default_rng(1), 4, 32)
  levels = [
    drawn.record(time, np.full((32, 32, 3), level, np.uint8)).mean()
    for time in range(4)
    for level in (0, 60, 120, 180, 255)
  ]
  assert (np.diff(np.reshape(levels, (4, 5))) >= 0).all()
  assert min(levels) >= 0
  assert max(levels) <= 255
