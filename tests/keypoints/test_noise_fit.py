"""Fitting the noise model to detections that it made itself, with other parameters."""

import dataclasses

import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import noise_fit
from mhmr_jax.keypoints.noise import KeypointNoise
from tests.keypoints.people import FRAMES, tracks


def test_finds_the_defaults():
  default = KeypointNoise()
  fitted = noise_fit.fit(tracks(default, clips=12), 30.0)
  for name, factor in {
    "jitter": 1.4, "flicker": 1.3, "speed": 2.0, "occluded": 1.5, "quality": 2.0,
    "miss": 2.0, "miss_occluded": 1.6, "miss_limb": 2.0, "swap_limbs": 1.6,
    "outlier": 2.0, "outlier_distance": 1.4, "run": 1.3, "score_occluded": 1.3,
    "score_power": 1.5, "score_gamma": 1.6,
  }.items():  # fmt: skip
    ratio = getattr(fitted, name) / getattr(default, name)
    assert 1 / factor < ratio < factor, (name, getattr(fitted, name))


@pytest.mark.parametrize(
  ("name", "values"),
  [
    ("flicker", (0.001, 0.008)),
    ("jitter", (0.002, 0.02)),
    ("speed", (0.0, 0.25)),
    ("occluded", (1.0, 4.0)),
    ("miss", (0.0, 0.05)),
    ("miss_occluded", (0.03, 0.5)),
    ("miss_limb", (0.0, 0.05)),
    ("miss_frame", (0.0, 0.05)),
    ("swap_limbs", (0.0, 0.05)),
    ("outlier", (0.0, 0.03)),
    ("jump", (0.0, 0.05)),
    ("run", (3.0, 8.0)),
    ("score_power", (0.2, 2.0)),
    ("score_occluded", (0.2, 0.9)),
  ],
)
def test_tells_low_from_high(name, values):
  """A change of one parameter is seen in that one."""
  base = dataclasses.replace(KeypointNoise(), quality=0.0, score_constant=0.0)
  low, high = (
    getattr(
      noise_fit.fit(tracks(dataclasses.replace(base, **{name: value})), 30.0), name
    )
    for value in values
  )
  assert high - low > 0.35 * (values[1] - values[0])
  assert high - low < 2 * (values[1] - values[0])


def test_perfect_detector():
  silent = KeypointNoise(
    **{field.name: 0.0 for field in dataclasses.fields(KeypointNoise)}
    | {"run": 5.0, "score_error": 1.0, "score_occluded": 1.0, "score_power": 1.0}
    | {"score_constant": 1.0}
  )
  fitted = noise_fit.fit(tracks(silent, clips=4), 30.0)
  assert fitted.flicker < 1e-4
  assert fitted.jitter < 1e-3
  for name in (
    "outlier", "swap", "swap_limbs", "jump", "miss", "miss_limb", "miss_frame",
    "miss_occluded", "miss_outside",
  ):  # fmt: skip
    assert getattr(fitted, name) == pytest.approx(0, abs=1e-3), name
  assert fitted.score_constant == 1


def test_twice_the_frame_rate_is_the_same_detector():
  noise = dataclasses.replace(KeypointNoise(), run=8.0)
  fast = tracks(noise, frames=2 * FRAMES, fps=60.0)
  fitted = noise_fit.fit(fast, 60.0)
  # Every second frame of white noise is as white.
  assert fitted.flicker == pytest.approx(noise.flicker, rel=0.3)
  assert fitted.run == pytest.approx(noise.run / 2, rel=0.3)


def test_short_tracks_cannot_be_fitted():
  with pytest.raises(InputError, match="Nobody is followed for a second"):
    noise_fit.fit(tracks(KeypointNoise(), clips=2, frames=20), 30.0)
  with pytest.raises(InputError, match="Nobody is followed for a second"):
    noise_fit.fit([], 30.0)
