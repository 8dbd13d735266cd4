"""Following people: crossings, gaps, misses, sizes."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from mhmr_jax.body.joints import COCO_FLIP
from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import tracking

_SHAPE = np.random.default_rng(0).uniform([-20, -50], [20, 50], (17, 2))


def _person(x, y, scale=1.0, seed=None):
  points = _SHAPE * scale + [x, y]
  if seed is not None:
    points = points + np.random.default_rng(seed).normal(0, 1.5, points.shape)
  return np.concatenate([points, np.full((17, 1), 0.8)], -1).astype(np.float32)


def _frames(*people):
  """Detections from each person's list of one array or None a frame, shuffled."""
  rng = np.random.default_rng(1)
  frames = []
  for row in zip(*people, strict=True):
    there = [person for person in row if person is not None]
    order = rng.permutation(len(there))
    frames.append(np.array([there[i] for i in order], np.float32).reshape(-1, 17, 3))
  return frames


def _assert_is(track, person, expected_frames=None):
  frames = [i for i, p in enumerate(person) if p is not None]
  np.testing.assert_array_equal(track.frame_index, expected_frames or frames)
  np.testing.assert_array_equal(track.keypoints, [person[i] for i in track.frame_index])


def test_two_people_cross():
  left = [_person(50 + 6 * t, 100, seed=t) for t in range(50)]
  right = [_person(350 - 6 * t, 104, 0.9, seed=100 + t) for t in range(50)]
  tracks = tracking.track(_frames(left, right))
  assert len(tracks) == 2
  _assert_is(tracks[0], left)
  _assert_is(tracks[1], right)


def test_crossing_while_one_is_hidden():
  left = [_person(50 + 6 * t, 100, seed=t) for t in range(50)]
  right = [_person(350 - 6 * t, 104, 0.9, seed=100 + t) for t in range(50)]
  right[20:30] = [None] * 10
  tracks = tracking.track(_frames(left, right))
  assert len(tracks) == 2
  _assert_is(tracks[0], left)
  _assert_is(tracks[1], right)


def test_gaps_are_bridged_by_time_not_by_frames():
  person = [_person(100 + t, 100, seed=t) for t in range(80)]
  person[20:50] = [None] * 30
  # Half a second at 60 fps; the person walks on meanwhile.
  tracks = tracking.track(_frames(person), fps=60.0)
  assert len(tracks) == 1
  _assert_is(tracks[0], person)


def test_person_is_found_again_after_ten_seconds_where_they_were():
  person = [_person(100, 100, seed=t) for t in range(400)]
  person[20:310] = [None] * 290
  elsewhere = [p if p is None or t < 50 else _person(300, 100, seed=t)
               for t, p in enumerate(person)]  # fmt: skip
  assert len(tracking.track(_frames(person))) == 1
  assert len(tracking.track(_frames(elsewhere))) == 2
  person[20:330] = [None] * 310
  assert len(tracking.track(_frames(person))) == 2


def test_somebody_lost_again_and_again_keeps_their_number():
  person = [_person(100, 100, seed=t) for t in range(300)]
  for start in range(20, 280, 50):
    person[start : start + 30] = [None] * 30
  ghost = [_person(130, 100, seed=t) if t == 52 else None for t in range(300)]
  tracks = tracking.track(_frames(person, ghost))
  _assert_is(tracks[0], person)


def test_who_walks_behind_somebody_is_found_on_the_other_side():
  left = [_person(50 + 6 * t, 100, seed=t) for t in range(70)]
  stands = [_person(260, 104, 1.1, seed=100 + t) for t in range(70)]
  left[22:46] = [None] * 24
  tracks = tracking.track(_frames(left, stands))
  assert len(tracks) == 2
  _assert_is(tracks[0], stands)
  _assert_is(tracks[1], left)


def test_who_leaves_the_picture_and_returns_keeps_their_number():
  """One stays; the other leaves on the right, cut off by the edge, for five seconds."""
  stays = [_person(200, 100, 1.2, seed=t) for t in range(300)]
  leaves = []
  for t in range(300):
    x = 400 + 5 * t if t < 40 else 600 - 5 * (t - 220)
    person = _person(x, 100, seed=500 + t)
    person[person[:, 0] > 590] = 0
    away = 40 <= t < 220 or (person[:, 2] > 0).sum() < 5
    leaves.append(None if away else person)
  tracks = tracking.track(_frames(stays, leaves))
  assert len(tracks) == 2
  _assert_is(tracks[0], stays)
  _assert_is(tracks[1], leaves)


def test_two_who_could_be_meant_are_not_rejoined():
  person = [_person(100, 100, seed=t) if t < 20 else None for t in range(80)]
  others = [
    [_person(x, 100, seed=t) if t > 50 else None for t in range(80)] for x in (60, 140)
  ]
  assert len(tracking.track(_frames(person, *others))) == 3


def test_left_right_swap_and_missing_limb_do_not_break_a_track():
  person = [_person(100 + 2 * t, 100, seed=t) for t in range(30)]
  for t in range(10, 14):
    person[t] = person[t][list(COCO_FLIP)]
  for t in range(18, 24):
    person[t][7:] = 0
  tracks = tracking.track(_frames(person))
  assert len(tracks) == 1
  _assert_is(tracks[0], person)


def test_largest_over_the_clip_comes_first():
  briefly_huge = [_person(400, 200, 3.0, seed=t) if t < 5 else None for t in range(60)]
  large = [_person(100, 200, 1.5, seed=t) for t in range(60)]
  small = [_person(250, 200, 1.0, seed=t) for t in range(60)]
  tracks = tracking.track(_frames(small, briefly_huge, large))
  _assert_is(tracks[0], large)
  assert [len(t.frame_index) for t in tracks] == [60, 60, 5]
  assert tracking.largest(tracks) is tracks[0]


def test_detections_of_few_points_are_nobody():
  person = _person(100, 100)
  person[2:, 2] = 0
  person[5:, 2] = 0.05
  assert tracking.track([person[None]] * 5) == []
  assert tracking.track([]) == []
  with pytest.raises(InputError, match="No person was found"):
    tracking.largest([])


def test_every_detection_is_in_one_track():
  rng = np.random.default_rng(3)
  frames = [
    np.stack([_person(*rng.uniform(0, 500, 2)) for _ in range(rng.integers(1, 5))])
    for _ in range(40)
  ]
  tracks = tracking.track(frames)
  assert sum(len(t.frame_index) for t in tracks) == sum(map(len, frames))
  for one in tracks:
    assert np.all(np.diff(one.frame_index) > 0)


def test_people_of_a_stream_are_numbered_as_they_come():
  stream = tracking.StreamTracker()
  left = [_person(50 + 2 * t, 100, seed=t) for t in range(40)]
  right = [_person(350 - 2 * t, 104, 0.9, seed=99 + t) for t in range(40)]
  right[:10] = [None] * 10
  for frame, found in enumerate(_frames(left, right)):
    people = stream.add(frame / 30, found)
    assert sorted(people) == ([1] if frame < 10 else [1, 2])
    np.testing.assert_array_equal(people[1], left[frame])
    if frame >= 10:
      np.testing.assert_array_equal(people[2], right[frame])


def test_who_returns_to_a_stream_has_their_number_if_nobody_else_is_meant():
  def numbers(*found):
    return sorted(stream.add(next(seconds), np.array(found).reshape(-1, 17, 3)))

  one, other = _person(100, 100), _person(130, 100)
  stream, seconds = tracking.StreamTracker(), iter([0.0, 1.0, 3.0, 3.1, 14.0])
  assert numbers(one) == [1]
  assert numbers() == []
  assert numbers(one) == [1]
  assert numbers(one, _person(600, 100)) == [1, 2]
  assert numbers(one) == [3]  # After more than ten seconds.
  stream, seconds = tracking.StreamTracker(), iter([0.0, 2.0, 4.0])
  assert numbers(one, other) == [1, 2]
  assert numbers() == []
  assert numbers(_person(115, 100)) == [3]


def test_a_point_far_off_its_person_is_missing_in_a_stream():
  person = _person(100, 100)
  person[3, :2] = 9000
  (found,) = tracking.StreamTracker().add(0.0, person[None]).values()
  assert np.flatnonzero(found[:, 2] == 0).tolist() == [3]


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 1), (2, 2), (3, 5), (6, 4)])
def test_the_pairs_are_those_of_the_hungarian_method(shape):
  rng = np.random.default_rng(shape[0])
  for _ in range(20):
    # Zeros, and many of one high cost, as pairs have that cannot be.
    cost = np.where(rng.random(shape) < 0.3, 1e3, rng.random(shape))
    cost.flat[0] = 0
    found, known = tracking._cheapest_pairs(cost), linear_sum_assignment(cost)
    assert cost[tuple(found)].sum() == pytest.approx(cost[tuple(known)].sum())
    assert len(set(found[0])) == len(set(found[1])) == min(shape)
