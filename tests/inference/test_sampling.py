"""Moments at which networks read a person, for any frame rate."""

import numpy as np
import pytest

from mhmr_jax.geometry.windows import MIN_SCORE
from mhmr_jax.inference import sampling
from mhmr_jax.keypoints.tracking import Track

_RATES = [10, 23.976, 24, 25, 30, 48, 50, 59.94, 60, 100, 120, 240]


def _track(frame_index, times, score=0.9):
  """Points that move evenly, each at a speed of its own."""
  frame_index = np.asarray(frame_index)
  speed = np.arange(34).reshape(17, 2) - 12.0
  points = 200 + speed * times[frame_index, None, None]
  scores = np.full((len(frame_index), 17, 1), score)
  return Track(frame_index, np.append(points, scores, axis=-1).astype(np.float32))


def _expected(moments):
  speed = np.arange(34).reshape(17, 2) - 12.0
  return 200 + speed * moments[:, None, None]


@pytest.mark.parametrize("fps", _RATES)
def test_samples_are_a_thirtieth_of_a_second_apart_and_on_the_motion(fps):
  times = np.arange(round(4 * fps)) / fps
  track = _track(np.arange(5, len(times)), times)
  found = sampling.samples(track, times, 5, len(times) - 1)
  step = sampling.step(times)
  assert step == pytest.approx(1 / 30, rel=0.02)
  np.testing.assert_allclose(found.times, times[5] + np.arange(len(found.times)) * step)
  assert times[-1] - step < found.times[-1] <= times[-1] + 1e-9
  np.testing.assert_allclose(
    found.keypoints[..., :2], _expected(found.times), atol=0.05
  )
  np.testing.assert_array_equal(found.keypoints[..., 2], np.float32(0.9))
  nearest = np.abs(times - found.times[:, None]).min(axis=1)
  distance = np.abs(times[found.frames] - found.times)
  np.testing.assert_allclose(distance, nearest, atol=1e-6)


@pytest.mark.parametrize(
  ("fps", "stride"), [(29.97, 1), (30, 1), (59.94, 2), (60, 2), (120, 4), (240, 8)]
)
def test_rates_near_a_multiple_of_the_training_s_are_read_at_their_frames(fps, stride):
  times = np.arange(1000) / fps
  track = _track(np.arange(7, 1000), times)
  scores = np.random.default_rng(0).uniform(0.2, 1, track.keypoints.shape[:2])
  track.keypoints[..., 2] = scores
  found = sampling.samples(track, times, 7, 999)
  np.testing.assert_array_equal(found.frames, np.arange(7, 1000, stride))
  np.testing.assert_array_equal(found.keypoints[..., 2], scores[::stride].astype("f4"))
  starts = np.arange(0, len(found.frames), 64)
  seconds = sampling.flow_seconds(found.frames, times, starts)
  np.testing.assert_allclose(seconds[1:], stride / fps, rtol=1e-9)


def test_uneven_times_are_read_evenly():
  rng = np.random.default_rng(0)
  times = np.cumsum(np.append(0, rng.uniform(0.01, 0.09, 200)))
  found = sampling.samples(_track(np.arange(201), times), times, 0, 200)
  np.testing.assert_allclose(np.diff(found.times), 1 / 30)
  np.testing.assert_allclose(
    found.keypoints[..., :2], _expected(found.times), atol=0.05
  )
  assert (np.diff(found.frames) >= 0).all()


def test_frames_without_a_detection_are_filled_with_a_lower_score():
  times = np.arange(20) / 30
  track = _track([0, 1, 2, 3, 8, 9, 10], times)
  track.keypoints[3, 5, 2] = 1.5 * MIN_SCORE
  track.keypoints[4, 6] = 0  # A point that is missing at an end of the gap.
  found = sampling.samples(track, times, 0, 10)
  points, score = found.keypoints[..., :2], found.keypoints[..., 2]
  known = np.array([k for k in range(17) if k != 6])
  np.testing.assert_allclose(
    points[:, known], _expected(found.times)[:, known], atol=0.05
  )
  others = [k for k in known if k != 5]
  np.testing.assert_allclose(score[4:8][:, others], 0.45)
  assert (score[4:8, 5] > MIN_SCORE).all()
  np.testing.assert_array_equal(found.keypoints[4:8, 6], 0)
  np.testing.assert_array_equal(score[[0, 1, 2, 9, 10]][:, others], np.float32(0.9))


def test_a_point_that_one_of_two_neighbouring_frames_lacks_is_the_nearer_one_s():
  times = np.arange(3) / 24
  track = _track([0, 1, 2], times)
  track.keypoints[1, 4] = 0
  found = sampling.samples(track, times, 0, 2)
  # Moments at 0.8 and 1.6 frames.
  np.testing.assert_array_equal(found.keypoints[1, 4], 0)
  np.testing.assert_allclose(found.keypoints[2, 4], track.keypoints[2, 4], atol=0.2)


def test_the_score_is_the_lower_one():
  times = np.arange(3) / 24
  track = _track([0, 1, 2], times)
  track.keypoints[1, :, 2] = 0.3
  found = sampling.samples(track, times, 0, 2)
  np.testing.assert_allclose(found.keypoints[:, 0, 2], [0.9, 0.3, 0.3])


def test_segments_break_after_a_second():
  frames = np.r_[3:10, 35:40, 100, 200:205]
  even = np.arange(300)
  assert sampling.segments(frames, even / 30) == [(3, 39), (100, 100), (200, 204)]
  assert sampling.segments(frames, even / 26) == [(3, 39), (100, 100), (200, 204)]
  expected = [(3, 9), (35, 39), (100, 100), (200, 204)]
  assert sampling.segments(frames, even / 24) == expected
  assert sampling.segments(np.array([7]), even / 30) == [(7, 7)]


def test_segments_break_where_the_video_itself_pauses():
  times = np.append(np.arange(10) / 30, 5 + np.arange(10) / 30)
  assert sampling.segments(np.arange(20), times) == [(0, 9), (10, 19)]


def test_rows_are_all_frames_of_the_segments():
  times = np.arange(100) / 30
  track = _track([2, 3, 6, 50, 51], times)
  rows = sampling.rows(track, times)
  assert rows.frame_index.tolist() == [2, 3, 4, 5, 6, 50, 51]
  assert rows.segment.tolist() == [0] * 5 + [1] * 2
  assert rows.detected.tolist() == [True, True, False, False, True, True, True]
  np.testing.assert_array_equal(rows.times, times[rows.frame_index])


def test_flow_of_a_repeated_picture_is_held_but_for_a_chunk_s_first():
  times = np.arange(9) / 24
  frames = np.array([0, 1, 2, 2, 3, 4, 5, 6, 6, 7])
  seconds = sampling.flow_seconds(frames, times, np.array([0, 4, 8]))
  one = 1 / 24
  np.testing.assert_allclose(
    seconds, [1 / 30, one, one, 0, one, one, one, one, one, one]
  )
  # A picture that is passed over makes the interval longer.
  seconds = sampling.flow_seconds(np.array([0, 2, 3]), times, np.array([0]))
  np.testing.assert_allclose(seconds, [1 / 30, 2 * one, one])


def test_a_single_frame():
  found = sampling.samples(_track([0], np.zeros(1)), np.zeros(1), 0, 0)
  assert found.frames.tolist() == [0]
  assert sampling.step(np.zeros(1)) == pytest.approx(1 / 30)
