"""Where the drawn cameras stand, and how they are turned."""

import functools

import jax
import numpy as np
import pytest

from mhmr_jax.runtime.draws import Draws
from mhmr_jax.synth.keypoint_examples import viewpoints
from mhmr_jax.synth.keypoint_examples.viewpoints import Viewpoints

COUNT = 4000


def _drawn(settings):
  def one(key):
    return viewpoints.draw(Draws(key, 10, 20), settings)

  keys = jax.random.split(jax.random.key(0), COUNT)
  return jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(keys))


@functools.cache
def _broad():
  return _drawn(Viewpoints())


@functools.cache
def _level():
  return _drawn(Viewpoints(pitch="level", rolled=0.0, nearest=3.0, farthest=4.0))


def _down(view):
  """The world's down, whose y is up, as the cameras see it."""
  return view.rotation @ np.array([0.0, -1.0, 0.0])


def _pitch(view):
  """How far the cameras look down, degrees: gravity then points away from them."""
  return np.degrees(np.arcsin(_down(view)[:, 2]))


def _roll(view):
  down = _down(view)
  return np.degrees(np.arctan2(down[:, 0], down[:, 1]))


@pytest.mark.parametrize("drawn", [_broad, _level])
def test_rotations_are_rotations_and_nobody_is_upside_down(drawn):
  rotation = drawn().rotation
  identity = rotation @ np.swapaxes(rotation, -1, -2)
  expected = np.broadcast_to(np.eye(3), identity.shape)
  np.testing.assert_allclose(identity, expected, atol=1e-5)
  np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-5)
  assert np.all(_down(drawn())[:, 1] > 0)


def test_a_level_camera_sees_gravity_point_down_the_image():
  view = _level()
  level = (np.abs(_pitch(view)) < 1) & (np.abs(_roll(view)) < 1)
  assert level.sum() > 20
  np.testing.assert_allclose(_down(view)[level], [[0, 1, 0]] * level.sum(), atol=0.03)


def test_cameras_are_on_all_sides():
  for view in (_broad(), _level()):
    # Where they look, on the ground.
    forward = view.rotation[:, 2]
    yaw = np.arctan2(forward[:, 0], forward[:, 2])
    counts, _ = np.histogram(yaw, bins=8, range=(-np.pi, np.pi))
    assert np.abs(counts - COUNT / 8).max() < 5 * np.sqrt(COUNT / 8)


def test_cameras_look_from_below_and_from_high_above():
  broad, level = _pitch(_broad()), _pitch(_level())
  assert np.mean((broad > -30) & (broad < 50.1)) > 0.998
  assert np.mean(broad > 30) == pytest.approx(0.2 * 20 / 35, abs=0.03)
  assert np.mean(broad < -15) == pytest.approx(0.25 * 0.2 + 0.55 * 0.0122, abs=0.02)
  assert np.median(level) == pytest.approx(3, abs=1.5)
  assert np.mean(np.abs(level - 2) < 14) > 0.8 * 0.95
  assert level.min() > -35
  assert level.max() < 45


def test_a_third_of_the_cameras_is_rolled():
  broad, level = np.abs(_roll(_broad())), np.abs(_roll(_level()))
  assert broad.max() < 36
  assert np.mean(broad > 15) == pytest.approx(0.3 * 20 / 35, abs=0.03)
  assert np.mean(level > 15) < 0.01
  assert level.std() == pytest.approx(5 * np.sqrt(1 - 2 / np.pi), rel=0.1)


def test_distances_places_and_focal_lengths_are_in_their_ranges():
  view = _broad()
  assert 2 <= view.distance.min() < 2.1
  assert 9.8 < view.distance.max() <= 10.001
  # Uniform in the logarithm.
  assert np.median(view.distance) == pytest.approx(np.sqrt(20), rel=0.05)
  near = _level().distance
  assert 3 <= near.min() < near.max() <= 4.001
  reach = np.abs(view.aside).max(axis=0)
  np.testing.assert_allclose(reach, [0.4, 0.25], rtol=0.01)
  known = view.focal == 1
  assert known.mean() == pytest.approx(0.5, abs=0.04)
  assert np.log(view.focal[~known]).std() == pytest.approx(0.25, rel=0.1)
  assert np.mean(view.followed == 0) == pytest.approx(0.5, abs=0.04)
  assert 0 <= view.followed.min() < view.followed.max() <= 1
