"""Paths from measured places, standing feet and inertia."""

import numpy as np
import pytest

from mhmr_jax.inference import root_path
from mhmr_jax.inference.root_path import Evidence

TOE = 0.03


def make_walk(rate=30.0, seconds=3.0):
  """Walks away from the camera at 1 m/s over a floor 1.5 m below it."""
  times = np.arange(round(seconds * rate)) / rate
  path = np.stack([0 * times, np.full_like(times, -0.6), -3 - times], axis=1)
  step = np.floor(times / 0.5)[:, None] + [0, 1]
  stands = (np.floor(times / 0.5)[:, None] + [0, 1]) % 2 == 0
  toes = np.zeros((len(times), 2, 3))
  toes[..., 2] = -3 - step * 0.5
  toes[..., 1] = -1.5 + TOE
  return times, path, toes - path[:, None], stands.astype(float)


def evidence(times, measured, toes, contacts):
  return Evidence(times, measured, toes, contacts, -1.5 + TOE)


def test_a_path_that_all_agree_on_stays():
  times, path, toes, stands = make_walk()
  found = root_path.solve(evidence(times, path, toes, stands))
  np.testing.assert_allclose(found, path, atol=1e-6)


def test_noise_in_depth_falls():
  times, path, toes, stands = make_walk()
  rng = np.random.default_rng(0)
  scale = 1 + rng.normal(0, 0.03, (len(times), 1))
  error = lambda found: np.abs(found - path)[:, 2].mean()
  found = root_path.solve(evidence(times, path * scale, toes, stands))
  assert error(found) < 0.2 * error(path * scale)
  without = root_path.solve(evidence(times, path * scale, toes, 0 * stands))
  assert error(found) < error(without) < error(path * scale)


def test_standing_feet_hold_back_a_drift_in_depth():
  times, path, toes, stands = make_walk()
  drift = path * (1 + 0.1 * np.sin(times))[:, None]
  found = root_path.solve(evidence(times, drift, toes, stands))
  both = (stands[1:] * stands[:-1]) > 0
  speed = np.diff(toes + found[:, None], axis=0)[both]
  before = np.diff(toes + drift[:, None], axis=0)[both]
  assert np.abs(speed).mean() < 0.4 * np.abs(before).mean()


def test_feet_on_stairs_are_not_pulled_to_the_floor():
  times, path, toes, stands = make_walk()
  raised = path + np.array([0, 0.5, 0])
  found = root_path.solve(evidence(times, raised, toes, stands))
  np.testing.assert_allclose(found[:, 1], raised[:, 1], atol=0.03)


def test_feet_of_uneven_heights_leave_the_distance_as_it_is():
  times, path, toes, stands = make_walk()
  uneven = path + np.where(times < 1, 0.05, 0.0)[:, None] * [0, 1, 0]
  feet = (uneven[:, None] + toes)[..., 1]
  moved = {}
  for name, height in (
    ("median", np.median(feet[stands > 0])),
    ("floor", root_path.floor(times, stands, feet, -1.5)),
  ):
    given = Evidence(times, uneven, toes, stands, height)
    moved[name] = np.abs((root_path.solve(given) - uneven).mean(axis=0))
  assert moved["floor"][1] < 1e-3 < moved["median"][1]
  assert moved["floor"][2] < 0.5 * moved["median"][2]


@pytest.mark.parametrize("rate", [24.0, 60.0, 120.0])
def test_the_rate_of_the_rows_changes_nothing(rate):
  def solved(rate):
    times, path, toes, stands = make_walk(rate)
    wavy = path * (1 + 0.03 * np.sin(12 * times))[:, None]
    return times, root_path.solve(evidence(times, wavy, toes, stands))

  times, expected = solved(30.0)
  own_times, found = solved(rate)
  inner = (own_times > 0.3) & (own_times < 2.7)
  for axis in range(3):
    reference = np.interp(own_times, times, expected[:, axis])
    np.testing.assert_allclose(found[inner, axis], reference[inner], atol=0.01)


def test_the_band_s_solution_is_the_dense_one():
  rng = np.random.default_rng(3)
  count = 7
  times = np.cumsum(rng.uniform(0.02, 0.06, count))
  measured = rng.normal([0, 0, -4], 0.2, (count, 3))
  given = evidence(
    times, measured, rng.normal(0, 0.1, (count, 2, 3)), np.ones((count, 2))
  )
  found = root_path.solve(given)

  def cost(path):
    path = path.reshape(count, 3)
    ray = measured / np.linalg.norm(measured, axis=1, keepdims=True)
    span = np.append(np.diff(times), np.diff(times)[-1]) / 2
    span = span + np.append(np.diff(times)[0], np.diff(times)) / 2
    off = path - measured
    along = np.sum(off * ray, axis=1)
    across = np.sum(off**2, axis=1) - along**2
    distance = np.linalg.norm(measured, axis=1)
    total = np.sum(
      span
      * (across / root_path._ACROSS**2 + along**2 / root_path._ALONG**2)
      / distance**2
    )
    velocity = (
      np.diff(given.toes + path[:, None], axis=0) / np.diff(times)[:, None, None]
    )
    total += (
      np.sum(np.diff(times)[:, None, None] * velocity**2) / root_path._FOOT_SPEED**2
    )
    before, after = np.diff(times)[:-1, None], np.diff(times)[1:, None]
    step = np.diff(path, axis=0)
    bend = 2 * (step[1:] / after - step[:-1] / before) / (before + after)
    total += np.sum((before + after) / 2 * bend**2) / root_path._ACCELERATION**2
    height = (given.toes + path[:, None])[..., 1] - given.toe_height
    scale = root_path._ELSEWHERE
    robust = height**2 / (1 + (height / scale) ** 2)
    return total + np.sum(span[:, None] * robust) / root_path._FOOT_HEIGHT**2

  best = cost(found)
  for _ in range(50):
    assert cost(found + rng.normal(0, 3e-3, found.shape)) > best


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_rows(count):
  times, path, toes, stands = make_walk()
  rows = (values[:count] for values in (times, path, toes, stands))
  np.testing.assert_allclose(root_path.solve(evidence(*rows)), path[:count], atol=1e-6)
