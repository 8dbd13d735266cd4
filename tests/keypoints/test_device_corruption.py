"""The detector's errors on the device against those of the NumPy model."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mhmr_jax.body.joints import COCO_FLIP
from mhmr_jax.keypoints import corruption, device_corruption
from mhmr_jax.keypoints.noise import KeypointNoise
from mhmr_jax.runtime.draws import Draws
from tests.keypoints.people import HEIGHT, movement

FRAMES, CLIPS = 24, 1500
_FLIP = np.array(COCO_FLIP)
# What the device leaves out, or the NumPy model does not have.
_SHARED = {"jump": 0.0}
_DETECTED = dataclasses.replace(KeypointNoise(), **_SHARED)
_NO_EVENTS = dataclasses.replace(
  KeypointNoise(),
  **_SHARED,
  outlier=0.0,
  miss=0.0,
  miss_occluded=0.0,
  miss_limb=0.0,
  miss_frame=0.0,
  swap=0.0,
  swap_limbs=0.0,
)
_SILENT = KeypointNoise(
  **{field.name: 0.0 for field in dataclasses.fields(KeypointNoise)}
  | {"run": 5.0, "score_error": 1.0, "score_occluded": 0.5, "score_power": 1.0}
)


@pytest.fixture(scope="module")
def person():
  return movement(0, FRAMES)


def _on_device(person, noise, clips=CLIPS):
  true, occluded = jnp.asarray(person[..., :2]), jnp.asarray(person[..., 2] == 0)

  def one(key):
    draws = Draws(
      key,
      normals=FRAMES * device_corruption.NORMALS + device_corruption.MORE,
      uniforms=FRAMES * device_corruption.UNIFORMS + device_corruption.MORE,
    )
    return device_corruption.corrupt(true, occluded, draws, noise)

  keys = jax.random.split(jax.random.key(0), clips)
  return np.asarray(jax.jit(jax.vmap(one))(keys))


def _on_host(person, noise, clips=CLIPS):
  return np.stack(
    [
      corruption.corrupt(person, np.random.default_rng(seed), noise)
      for seed in range(clips)
    ]
  )


def _both(person, noise):
  """Without delays and the image's border, which the NumPy model does not have."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(device_corruption, "_LAGGING", 0.0)
    patch.setattr(device_corruption, "_CUT", 0.0)
    return {"device": _on_device(person, noise), "host": _on_host(person, noise)}


@pytest.fixture(scope="module")
def detections(person):
  return _both(person, _DETECTED)


@pytest.fixture(scope="module")
def errors(person):
  found = _both(person, _NO_EVENTS)
  return {name: d[..., :2] - person[..., :2] for name, d in found.items()}


def test_output_is_a_detection(detections):
  found = detections["device"]
  assert np.isfinite(found).all()
  missing = found[..., 2] == 0
  assert 0 < missing.mean() < 0.5
  assert np.all(found[missing] == 0)
  assert found[~missing][:, 2].min() >= 0.02
  assert found[..., 2].max() == 1


def test_errors_are_as_large(errors):
  # The samples' own error is 2 to 3 %.
  spread = {name: e.std(axis=(0, 1, 3)) for name, e in errors.items()}
  np.testing.assert_allclose(spread["device"], spread["host"], rtol=0.12)
  assert 0.005 * HEIGHT < spread["device"].min() < spread["device"].max() < 0.1 * HEIGHT
  typical = {name: np.median(np.abs(e), axis=(0, 1, 3)) for name, e in errors.items()}
  np.testing.assert_allclose(typical["device"], typical["host"], rtol=0.08)


@pytest.mark.parametrize("lag", [1, 6])
def test_errors_change_as_much_over_time(errors, lag):
  change = {
    name: np.median(np.abs(e[:, lag:] - e[:, :-lag]), axis=(0, 1, 3))
    for name, e in errors.items()
  }
  np.testing.assert_allclose(change["device"], change["host"], rtol=0.08)


def test_errors_of_left_and_right_go_together_as_much(errors):
  """Along the trunk, which is upright here, part of the constant error is shared."""
  together = {
    name: np.corrcoef(e[:, 0, 11, 1], e[:, 0, 12, 1])[0, 1]
    for name, e in errors.items()
  }
  assert together["device"] == pytest.approx(together["host"], abs=0.08)
  assert together["device"] > 0.3


def test_as_many_points_are_missing(detections, person):
  share = {name: (d[..., 2] == 0).mean(axis=(0, 1)) for name, d in detections.items()}
  np.testing.assert_allclose(share["device"], share["host"], atol=0.012)
  hidden = person[..., 2] == 0
  for name, found in detections.items():
    missing = found[..., 2] == 0
    assert missing[:, hidden].mean() > 5 * missing[:, ~hidden].mean(), name
  whole = {n: (d[..., 2] == 0).all(axis=-1).mean() for n, d in detections.items()}
  assert whole["device"] == pytest.approx(whole["host"], abs=0.003)
  assert whole["device"] > 0.002


def test_events_last_as_long(detections):
  stays = {}
  for name, found in detections.items():
    missing = found[..., 2] == 0
    stays[name] = (missing[:, 1:] & missing[:, :-1]).sum() / missing[:, :-1].sum()
  assert stays["device"] == pytest.approx(stays["host"], abs=0.02)
  assert 0.6 < stays["device"] < 0.95


def test_as_many_points_are_exchanged(detections, person):
  true = person[..., :2]
  exchanged = {}
  for name, found in detections.items():
    own = np.linalg.norm(found[..., :2] - true, axis=-1)
    other = np.linalg.norm(found[..., :2] - true[:, _FLIP], axis=-1)
    nearer = (other < own) & (found[..., 2] > 0)
    # Elbows, wrists, knees and ankles lie well apart.
    exchanged[name] = nearer[:, :, [7, 8, 9, 10]].mean()
  assert exchanged["device"] == pytest.approx(exchanged["host"], abs=0.006)
  assert exchanged["device"] > 0.015


def test_scores_are_distributed_alike(detections):
  parts = [0.02, 0.1, 0.25, 0.5, 0.75, 0.9]
  quantiles, ones = {}, {}
  for name, found in detections.items():
    scores = found[..., 2]
    # The clips whose scores are all 1 are a jump of their own.
    quantiles[name] = np.quantile(scores[(scores > 0) & (scores < 1)], parts)
    ones[name] = ((scores == 1) | (scores == 0)).all(axis=(1, 2)).mean()
  np.testing.assert_allclose(quantiles["device"], quantiles["host"], atol=0.02)
  assert ones["device"] == pytest.approx(ones["host"], abs=0.04)
  assert ones["device"] == pytest.approx(_DETECTED.score_constant, abs=0.04)


class _Given(Draws):
  """Hands out chosen uniform numbers in place of `Draws`."""

  def __init__(self, *uniform):
    self._uniform = list(uniform)

  def uniform(self, *shape, low=0.0, high=1.0):
    value = low + (high - low) * np.asarray(self._uniform.pop(0), np.float32)
    return jnp.broadcast_to(value, shape)


def test_delayed_points_lie_between_their_frame_and_the_one_before(person):
  true = jnp.asarray(person[..., :2])
  before = np.concatenate([person[:1, :, :2], person[:-1, :, :2]])
  delayed = device_corruption._delayed
  # The delay of a clip that lags is `share` of the longest, times each point's factor.
  np.testing.assert_array_equal(delayed(true, _Given([0.9, 0.5], 0.5)), true)
  for share, own, delay in ((0.5, 0.5, 0.4), (1.0, 0.0, 0.4), (1.0, 1.0, 1.0)):
    expected = person[..., :2] + delay * (before - person[..., :2])
    result = delayed(true, _Given([0.1, share], own))
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_half_of_the_clips_lag():
  ramp = jnp.broadcast_to(jnp.arange(3.0)[:, None, None], (3, 17, 2))
  keys = jax.random.split(jax.random.key(1), 2000)
  run = jax.jit(
    jax.vmap(lambda key: device_corruption._delayed(ramp, Draws(key, 0, 19)))
  )
  lag = np.asarray(ramp - run(keys))[:, 1:]
  assert not np.asarray(ramp - run(keys))[:, 0].any()
  lagging = (lag > 0).any(axis=(1, 2, 3))
  assert lagging.mean() == pytest.approx(0.5, abs=0.06)
  assert 0.95 < lag.max() <= 1
  longest, shortest = lag[lagging].max(axis=(1, 2, 3)), lag[lagging].min(axis=(1, 2, 3))
  assert np.all(longest <= 3.001 * shortest)


def test_the_lower_border_cuts_some_clips(person, monkeypatch):
  monkeypatch.setattr(device_corruption, "_LAGGING", 0.0)
  noise = dataclasses.replace(_SILENT, miss_outside=0.5)
  found = _on_device(person, noise, clips=400)
  y, reported = found[..., 1], found[..., 2] > 0
  changed = (y != person[..., 1]) | ~reported
  cut = changed.any(axis=(1, 2))
  assert cut.mean() == pytest.approx(0.15, abs=0.07)
  top, bottom = person[..., 1].min(), person[..., 1].max()
  for clip in np.flatnonzero(cut):
    moved = changed[clip] & reported[clip]
    if not moved.any():
      continue
    border = y[clip][moved].max()
    # All points that are reported below the border lie on it.
    np.testing.assert_allclose(y[clip][moved], border, rtol=1e-6)
    assert 0.44 < (border - top) / (bottom - top) <= 1
    assert np.all(person[..., 1][changed[clip]] >= border - 1e-3)
    assert np.all(person[..., 1][~changed[clip]] <= border + 1e-3)
  outside = changed[cut]
  assert (~reported[cut][outside]).mean() == pytest.approx(0.5, abs=0.08)


def test_a_detector_that_finds_nothing_gives_zeros(person):
  nothing = dataclasses.replace(KeypointNoise(), miss_frame=1.0)
  assert not _on_device(person, nothing, clips=4).any()
