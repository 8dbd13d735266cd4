"""The noise model's statistics over many clips."""

import dataclasses

import numpy as np
import pytest

from mhmr_jax.body.joints import COCO_FLIP
from mhmr_jax.keypoints import corruption
from mhmr_jax.keypoints.corruption import corrupt
from mhmr_jax.keypoints.noise import KeypointNoise
from tests.keypoints.people import HEIGHT, STANDING

_SILENT = KeypointNoise(
  **{field.name: 0.0 for field in dataclasses.fields(KeypointNoise)}
  | {"run": 5.0, "score_error": 1.0, "score_occluded": 0.5, "score_power": 1.0}
)


def _clip(frames=32, hidden=()):
  keypoints = np.ones((frames, 17, 3), np.float32)
  keypoints[..., :2] = (STANDING - STANDING[:1]) * HEIGHT / 0.96 + [150, 40]
  keypoints[:, list(hidden), 2] = 0
  return keypoints


def _many(keypoints, noise, clips=300, **options):
  return np.stack(
    [
      corrupt(keypoints, np.random.default_rng(i), noise, **options)
      for i in range(clips)
    ]
  )


def _runs(flags):
  """Lengths of the runs of True along the second axis of [clips, time, points]."""
  padded = np.pad(flags.astype(int), ((0, 0), (1, 1), (0, 0)))
  starts = (np.diff(padded, axis=1) == 1).sum()
  return flags.sum() / max(starts, 1)


def test_output_is_a_detection_and_the_input_stays():
  keypoints = _clip(hidden=[3, 9])
  before = keypoints.copy()
  detections = _many(keypoints, KeypointNoise(), image_size=(320, 320))
  assert detections.dtype == np.float32
  assert np.isfinite(detections).all()
  missing = detections[..., 2] == 0
  assert np.all(detections[missing] == 0)
  assert np.all(detections[~missing][:, 2] > 0)
  assert np.all(detections[~missing][:, 2] <= 1)
  np.testing.assert_array_equal(keypoints, before)


def test_same_generator_same_detections():
  first, again = (
    corrupt(_clip(), np.random.default_rng(5), KeypointNoise()) for _ in range(2)
  )
  other = corrupt(_clip(), np.random.default_rng(6), KeypointNoise())
  np.testing.assert_array_equal(first, again)
  assert np.any(first != other)


def test_no_noise_is_the_truth():
  keypoints = _clip(hidden=[4])
  detections = corrupt(keypoints, np.random.default_rng(0), _SILENT)
  np.testing.assert_array_equal(detections[..., :2], keypoints[..., :2])
  assert np.all(detections[..., 2] > 0)


def test_typical_errors_are_a_good_detectors():
  keypoints = _clip()
  detections = _many(keypoints, KeypointNoise())
  seen = detections[..., 2] > 0
  error = np.linalg.norm(detections[..., :2] - keypoints[..., :2], axis=-1) / HEIGHT
  hips = np.median(error[..., 11:13][seen[..., 11:13]])
  eyes = np.median(error[..., 1:3][seen[..., 1:3]])
  assert 0.015 < hips < 0.05
  assert 0.004 < eyes < 0.015
  # Heavy tails: a normal distribution's 99th percentile is 2.6 times its median.
  visible = error[seen]
  assert np.percentile(visible, 99) > 4 * np.median(visible)


def test_systematic_error_lasts_through_the_clip_and_jitter_is_correlated():
  keypoints = _clip(frames=64)
  quiet = dataclasses.replace(_SILENT, offset=0.01, jitter=0.01, correlation=0.8)
  error = (_many(keypoints, quiet) - keypoints)[..., :2]
  assert np.abs(error.mean(axis=(0, 1))).max() < 0.01 * HEIGHT
  between_clips = error.mean(axis=1).std(axis=0).mean() / HEIGHT
  assert 0.008 < between_clips < 0.03
  drift = error - error.mean(axis=1, keepdims=True)
  lagged = (drift[:, 1:] * drift[:, :-1]).mean() / (drift**2).mean()
  assert 0.7 < lagged < 0.85


def _closed_form(frames, correlation):
  """The matrix that turns white noise into the AR(1) process, and its covariance."""
  lag = np.arange(frames)[:, None] - np.arange(frames)
  matrix = np.where(lag >= 0, correlation ** np.maximum(lag, 0.0), 0.0)
  matrix[:, 1:] *= np.sqrt(1 - correlation**2)
  return matrix, correlation ** np.abs(lag)


@pytest.mark.parametrize("frames", [1, 2, 16, 300])
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9, 1.0])
def test_autoregression_is_the_closed_form(frames, correlation):
  white = np.random.default_rng(0).standard_normal((frames, 34), np.float32)
  before = white.copy()
  drift = corruption.autoregression(white, correlation)
  matrix, covariance = _closed_form(frames, correlation)
  # Stationary: its variance is 1 in all frames, and correlation^lag between them.
  np.testing.assert_allclose(matrix @ matrix.T, covariance, atol=1e-12)
  expected = (matrix @ white.astype(float)).astype(np.float32)
  np.testing.assert_allclose(drift, expected, rtol=1e-6, atol=1e-6)
  assert drift.dtype == np.float32
  np.testing.assert_array_equal(white, before)


def test_hidden_points_are_guessed_worse_with_lower_scores_or_dropped():
  noise = dataclasses.replace(KeypointNoise(), swap=0.0, swap_limbs=0.0, offset=0.0)
  keypoints = _clip(hidden=[7, 9])
  detections = _many(keypoints, noise)
  error = np.linalg.norm(detections[..., :2] - keypoints[..., :2], axis=-1)
  seen = detections[..., 2] > 0
  hidden, visible = [7, 9], [8, 10]
  assert np.mean(seen[..., hidden]) < np.mean(seen[..., visible]) - 0.08
  assert np.mean(seen[..., hidden]) > 0.7
  for statistic in (error, -detections[..., 2]):
    at_hidden = np.median(statistic[..., hidden][seen[..., hidden]])
    at_visible = np.median(statistic[..., visible][seen[..., visible]])
    assert at_hidden > at_visible
  assert np.median(error[..., hidden][seen[..., hidden]]) > 1.5 * np.median(
    error[..., visible][seen[..., visible]]
  )


def test_misses_come_in_runs_and_take_limbs_and_whole_frames():
  detections = _many(_clip(), KeypointNoise(), clips=500)
  missing = detections[..., 2] == 0
  assert 0.01 < missing.mean() < 0.06
  assert _runs(missing) > 2.5
  whole_frames = missing.all(axis=-1).mean()
  assert 0.001 < whole_frames < 0.02
  partly = missing & ~missing.all(axis=-1, keepdims=True)
  forearm = (partly[..., 7] & partly[..., 9]).mean()
  assert forearm > 10 * partly[..., 7].mean() * partly[..., 9].mean()


def test_swaps_last_and_exchange_partners():
  noise = dataclasses.replace(_SILENT, swap=0.05, swap_limbs=0.05)
  keypoints = _clip()
  keypoints[..., 2] = 1
  detections = _many(keypoints, noise)
  swapped = np.any(detections[..., :2] != keypoints[..., :2], axis=-1)
  mirrored = np.broadcast_to(keypoints[:, COCO_FLIP, :2], detections[..., :2].shape)
  np.testing.assert_array_equal(detections[..., :2][swapped], mirrored[swapped])
  np.testing.assert_array_equal(swapped, swapped[..., COCO_FLIP])
  assert not swapped[..., 0].any()
  assert 0.03 < swapped[..., 1].mean() < 0.07
  assert 0.07 < swapped[..., 15].mean() < 0.13
  assert _runs(swapped) > 3


def test_fast_points_jitter_more():
  keypoints = _clip()
  keypoints[:, 9, 0] += np.where(np.arange(32) % 2, 20.0, -20.0)
  noise = dataclasses.replace(_SILENT, jitter=0.002, speed=0.1)
  error = np.abs(_many(keypoints, noise)[..., :2] - keypoints[..., :2])
  assert error[:, 1:, 9].mean() > 5 * error[:, 1:, 10].mean()


def test_scores_fall_with_the_error_and_differ_between_clips():
  keypoints = _clip()
  detections = _many(
    keypoints, dataclasses.replace(KeypointNoise(), offset=0.0, width=0.0)
  )
  error = np.linalg.norm(detections[..., :2] - keypoints[..., :2], axis=-1)
  scores = detections[..., 2]
  constant = np.array([np.all(s[s > 0] == 1) for s in scores])
  assert 0.05 < constant.mean() < 0.16
  correlations = [
    np.corrcoef(np.log(e[s > 0] + 1e-3), s[s > 0])[0, 1]
    for e, s in zip(error[~constant], scores[~constant], strict=True)
  ]
  assert np.median(correlations) < -0.3
  means = [s[s > 0].mean() for s in scores[~constant]]
  assert np.std(means) > 0.05


def test_points_outside_the_frame_are_mostly_missing_else_at_the_border():
  keypoints = _clip()
  detections = _many(
    keypoints, KeypointNoise(swap=0.0, swap_limbs=0.0), image_size=(320, 150)
  )
  outside = keypoints[0, :, 1] >= 150
  reported = detections[:, :, outside]
  seen = reported[..., 2] > 0
  assert 0.05 < seen.mean() < 0.25
  assert np.all(reported[seen][:, 1] <= 150)


def test_unknown_points_stay_missing():
  keypoints = _clip()
  keypoints[:, 5:9] = 0
  keypoints[3] = 0
  detections = _many(keypoints, KeypointNoise(swap=0.0, swap_limbs=0.0), clips=20)
  assert np.all(detections[:, :, 5:9] == 0)
  assert np.all(detections[:, 3] == 0)
  assert np.all(
    corrupt(np.zeros_like(keypoints), np.random.default_rng(0), _SILENT) == 0
  )


@pytest.mark.parametrize("frames", [1, 2])
def test_short_clips(frames):
  assert corrupt(_clip(frames), np.random.default_rng(0), KeypointNoise()).shape == (
    frames, 17, 3,
  )  # fmt: skip


def test_jumps_are_to_somebody_else_and_last():
  keypoints = _clip()
  detections = _many(keypoints, dataclasses.replace(_SILENT, jump=0.05))
  same = np.all(detections[..., :2] == keypoints[..., :2], axis=(-2, -1))
  assert 0.03 < (~same).mean() < 0.07
  assert _runs(~same[..., None]) > 3
  middle = detections[..., :2].mean(axis=-2) - keypoints[..., :2].mean(axis=-2)
  away = np.abs(middle[~same]) / HEIGHT
  assert np.all(away[:, 0] > 0.49)
  assert np.all(away[:, 0] < 2.01)
  sizes = np.ptp(detections[~same][..., 1], axis=-1) / np.ptp(keypoints[0, :, 1])
  assert 0.1 < np.log(sizes).std() < 0.3
  # Left stays left of a person who is seen from the front, mirrored or not.
  left = detections[~same][:, 5, 0] - detections[~same][:, 6, 0]
  assert np.all(left > 0)


def test_somebody_else_is_inside_the_frame():
  noise = dataclasses.replace(_SILENT, jump=0.5)
  detections = _many(_clip(), noise, clips=50, image_size=(320, 320))
  seen = detections[..., 2] > 0
  assert np.all((detections[..., :2][seen] >= 0) & (detections[..., :2][seen] < 320))
  assert (~seen).any()


def test_power_of_the_scores():
  plain = _many(_clip(), dataclasses.replace(_SILENT, jitter=0.01), clips=5)
  high = _many(
    _clip(), dataclasses.replace(_SILENT, jitter=0.01, score_power=0.25), clips=5
  )
  np.testing.assert_allclose(high[..., 2], plain[..., 2] ** 0.25, rtol=1e-5)
