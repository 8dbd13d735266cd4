"""When feet stand."""

import numpy as np

from mhmr_jax.inference import contacts

RAY = np.array([0.0, 0.0, -1.0])
FRAMES = 60


def make_toes(rate=30.0):
  """The left foot stands for a second and then swings; the right one swings first."""
  times = np.arange(int(2 * rate)) / rate
  swing = np.clip(times - 1, 0, None)
  toes = np.zeros((len(times), 2, 3))
  toes[:, 0] = np.stack([1.5 * swing, 0.2 * np.sin(np.pi * swing), 0 * swing], axis=1)
  swing = np.clip(times, None, 1)
  toes[:, 1] = np.stack([1.5 * swing, 0.2 * np.sin(np.pi * swing), 0 * swing], axis=1)
  return toes, times


def probability(toes, times, standing=None):
  standing = np.zeros((len(times), 2)) if standing is None else standing
  return contacts.probability(standing, toes, np.tile(RAY, (len(times), 1)), times)


def test_without_a_network_motion_tells():
  for rate in (24.0, 30.0, 120.0):
    toes, times = make_toes(rate)
    found = probability(toes, times) > 0.5
    inside = (np.abs(times - 1) > 0.1) & (times < 1.9)
    np.testing.assert_array_equal(found[inside, 0], times[inside] < 1)
    np.testing.assert_array_equal(found[inside, 1], times[inside] > 1)


def test_the_network_can_only_lower_it():
  toes, times = make_toes()
  alone = probability(toes, times)
  standing = np.tile([0.9, 0.05], (FRAMES, 1))
  both = probability(toes, times, standing)
  assert np.all(both <= alone)
  assert not np.any(both[:, 1] > 0.5)
  assert np.any(both[:, 0] > 0.5)


def test_motion_in_depth_is_not_seen():
  toes, times = make_toes()
  moved = toes + np.outer(2 * np.sin(5 * times), RAY)[:, None]
  np.testing.assert_allclose(probability(moved, times), probability(toes, times))


def test_a_foot_that_hovers_high_does_not_stand():
  toes, times = make_toes()
  toes[:, 0] = [0, 0.5, 0]
  toes[:, 1] = 0
  found = probability(toes, times) > 0.5
  assert not found[:, 0].any()
  assert found[:, 1].all()


def test_short_contacts_are_none_and_gaps_end_them():
  times = np.arange(30) / 30
  toes = np.zeros((30, 2, 3))
  standing = np.zeros((30, 2))
  standing[5:7, 0] = 0.9
  standing[10:20, 1] = 0.9
  found = probability(toes, times, standing)
  assert contacts.intervals(found[:, 0], times) == []
  assert contacts.intervals(found[:, 1], times) == [(10, 20)]
  late = times + 2 * (np.arange(30) >= 15)
  found = probability(toes, late, standing)
  assert contacts.intervals(found[:, 1], late) == [(10, 15), (15, 20)]


def test_a_single_row_has_no_contact():
  found = probability(np.zeros((1, 2, 3)), np.zeros(1), np.ones((1, 2)))
  assert found.tolist() == [[0, 0]]
