"""Smoothing and resampling of keypoints: what it keeps, and what it takes away."""

import numpy as np
import pytest

from mhmr_jax.keypoints import smooth_paths

_RNG = np.random.default_rng(0)
_FACTORS = _RNG.normal(0, 1, (3, 17, 2)) * [[[300]], [[100]], [[60]]]


def quadratic(times):
  return np.einsum("nd,dpc->npc", times[:, None] ** np.arange(3), _FACTORS)


def wave(times):
  """Points that swing at up to 3 Hz, by 40 px."""
  rate = 2 * np.pi * np.linspace(0.5, 3, 34).reshape(17, 2)
  return 500 + 40 * np.sin(rate * times[:, None, None])


def keypoints(places, score=0.8):
  scores = np.full((*places.shape[:2], 1), score)
  return np.append(places, scores, axis=-1)


def uneven(rng, seconds=2.0):
  return np.sort(rng.uniform(0, seconds, round(30 * seconds)))


@pytest.mark.parametrize("seed", range(3))
def test_quadratics_stay_as_they_are(seed):
  rng = np.random.default_rng(seed)
  times = uneven(rng)
  moments = rng.uniform(times[0], times[-1], 50)
  gap = np.diff(times)[np.searchsorted(times, moments) - 1]
  moments = moments[gap < smooth_paths.HALF_WINDOW / 2]
  found = smooth_paths.positions(times, keypoints(quadratic(times)), moments)
  np.testing.assert_allclose(found, quadratic(moments), atol=0.3)


@pytest.mark.parametrize(
  ("fps", "most"), [(24, 0.8), (30, 0.75), (60, 0.55), (120, 0.4)]
)
def test_jitter_is_lowered_the_more_frames_there_are(fps, most):
  times = np.arange(10 * fps) / fps
  noise = np.random.default_rng(1).normal(0, 2, (len(times), 17, 2))
  found = smooth_paths.positions(times, keypoints(500 + noise), times)
  assert np.sqrt(np.square(found - 500).mean()) < most * 2


@pytest.mark.parametrize("fps", [23.976, 25, 50, 59.94, 120])
def test_the_path_does_not_depend_on_the_rate(fps):
  moments = np.arange(0.2, 3, 1 / 30)
  at = lambda times: smooth_paths.positions(times, keypoints(wave(times)), moments)
  expected = at(np.arange(100) / 30)
  np.testing.assert_allclose(at(np.arange(4 * fps) / fps), expected, atol=2.5)
  np.testing.assert_allclose(expected, wave(moments), atol=2.5)


def test_single_misplaced_points_hardly_count():
  times = np.arange(90) / 30
  given = keypoints(wave(times) + np.random.default_rng(0).normal(0, 1, (90, 17, 2)))
  wrong = given.copy()
  wrong[[10, 30, 60], 9, :2] += [120, -90]
  away = smooth_paths.positions(times, wrong, times)[:, 9] - wave(times)[:, 9]
  clean = smooth_paths.positions(times, given, times)[:, 9] - wave(times)[:, 9]
  assert np.linalg.norm(away, axis=-1).max() < 10
  assert np.linalg.norm(away - clean, axis=-1)[[8, 12, 58, 62]].max() < 0.5


def test_the_path_is_equivariant_and_has_no_direction_in_time():
  rng = np.random.default_rng(3)
  times = uneven(rng)
  given = keypoints(wave(times) + rng.normal(0, 2, (len(times), 17, 2)))
  moments = np.sort(rng.uniform(times[0], times[-1], 40))
  found = smooth_paths.positions(times, given, moments)
  moved = given * [2, 2, 1] + [1000, -50, 0]
  np.testing.assert_allclose(
    smooth_paths.positions(times + 7, moved, moments + 7), 2 * found + [1000, -50],
    atol=1e-3,
  )  # fmt: skip
  back = smooth_paths.positions(-times[::-1], given[::-1], -moments[::-1])
  np.testing.assert_allclose(back[::-1], found, atol=1e-6)


def test_a_long_gap_is_crossed_on_a_line():
  times = np.r_[0:0.5:16j, 1.0:1.5:16j]
  moments = np.linspace(0.5, 1.0, 11)
  found = smooth_paths.positions(times, keypoints(wave(times)), moments)
  share = np.linspace(0, 1, 11)[:, None, None]
  np.testing.assert_allclose(
    found, (1 - share) * found[:1] + share * found[-1:], atol=1e-6
  )
  np.testing.assert_allclose(found[[0, -1]], wave(moments[[0, -1]]), atol=2.5)


def test_points_come_from_their_own_detections_and_are_not_extrapolated():
  times = np.arange(40) / 30
  given = keypoints(quadratic(times))
  given[20:, 9] = 0
  given[:, 10] = 0
  given[5, 11] = 0
  moments = times + 1 / 90
  found = smooth_paths.positions(times, given, moments[:-1])
  np.testing.assert_allclose(found[4:6, 11], quadratic(moments[4:6])[:, 11], atol=0.1)
  np.testing.assert_allclose(found[18, 9], quadratic(moments[18:19])[0, 9], atol=0.1)
  np.testing.assert_allclose(
    found[19:21, 9], quadratic(times[[19, 19]])[:, 9], atol=0.05
  )
  np.testing.assert_array_equal(found[30:, 9], 0)
  np.testing.assert_array_equal(found[:, 10], 0)


def test_one_or_two_detections():
  given = keypoints(quadratic(np.array([0.0, 0.1])))
  one = smooth_paths.positions(np.zeros(1), given[:1], np.zeros(1))
  np.testing.assert_allclose(one[0], given[0, :, :2], atol=1e-6)
  both = smooth_paths.positions(np.array([0, 0.1]), given, np.array([0, 0.025, 0.1]))
  line = given[0, :, :2] + 0.25 * (given[1] - given[0])[:, :2]
  expected = np.stack([given[0, :, :2], line, given[1, :, :2]])
  np.testing.assert_allclose(both, expected, atol=0.3)


def test_long_tracks_are_worked_on_in_parts(monkeypatch):
  times = np.arange(100) / 30
  given = keypoints(wave(times))
  whole = smooth_paths.positions(times, given, times[:-1] + 0.01)
  monkeypatch.setattr(smooth_paths, "_MOMENTS", 7)
  parts = smooth_paths.positions(times, given, times[:-1] + 0.01)
  np.testing.assert_allclose(parts, whole, atol=1e-9)
