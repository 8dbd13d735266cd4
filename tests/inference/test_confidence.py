"""How far a motion can be trusted."""

import jax
import numpy as np
import pytest

from mhmr_jax.body import posed_keypoints, smpl
from mhmr_jax.geometry import pinhole
from mhmr_jax.inference import confidence
from tests import motions

TIMES = np.arange(6) / 10


@pytest.fixture
def points():
  rng = np.random.default_rng(0)
  keypoints = rng.uniform([100, 100], [200, 400], (6, 17, 2))
  found = np.concatenate([keypoints, np.full((6, 17, 1), 0.8)], axis=2)
  return found, keypoints


def measure(found, keypoints, detected=None, times=TIMES):
  detected = np.ones(len(times), bool) if detected is None else np.asarray(detected)
  return confidence.measure(found, keypoints, detected, times)


def test_a_body_on_its_keypoints_has_their_score(points):
  np.testing.assert_allclose(measure(*points), 0.8, rtol=1e-6)


def test_a_tenth_of_the_body_s_size_halves_it(points):
  found, keypoints = points
  size = np.linalg.norm(np.ptp(keypoints, axis=1), axis=-1)
  found[..., 0] += 0.1 * size[:, None]
  np.testing.assert_allclose(measure(found, keypoints), 0.4, rtol=1e-6)


def test_size_in_the_image_and_place_change_nothing(points):
  found, keypoints = points
  found[..., 1] += 12
  moved = found * [3, 3, 1] + [50, -20, 0]
  np.testing.assert_allclose(
    measure(moved, keypoints * 3 + [50, -20]), measure(found, keypoints), rtol=1e-6
  )


def test_it_falls_with_the_distance_and_rises_with_the_score(points):
  found, keypoints = points
  before = measure(found, keypoints)
  for push in (5, 20, 80):
    found[:, 3, 0] += push
    after = measure(found, keypoints)
    assert np.all(after < before)
    before = after
  found[..., 2] *= 1.1
  assert np.all(measure(found, keypoints) > before)


def test_missing_points_lower_it_and_their_place_has_no_meaning(points):
  found, keypoints = points
  found[:, :4] = 0
  np.testing.assert_allclose(measure(found, keypoints), 0.8 * 13 / 17, rtol=1e-6)


def test_rows_without_keypoints_fade_with_time(points):
  found, keypoints = points
  found[2:] = 0
  values = measure(found, keypoints, [True, True, False, False, False, False])
  np.testing.assert_allclose(values[:2], 0.8, rtol=1e-6)
  expected = 0.8 * np.exp(-np.arange(1, 5) * 0.1 / 0.3)
  np.testing.assert_allclose(values[2:], expected, rtol=1e-5)


def test_between_two_detections_the_nearer_one_tells(points):
  found, keypoints = points
  detected = [True, False, False, False, False, True]
  values = measure(found, keypoints, detected)
  np.testing.assert_allclose(values, values[::-1], rtol=1e-5)
  assert values[2] < values[1] < values[0]


def test_nobody_found_is_no_confidence(points):
  assert not measure(*points, np.zeros(6, bool)).any()


def test_the_body_s_keypoints_are_its_regressor_s():
  body = smpl.load()
  motion = motions.walking(body, frames=3)
  given = motion.pose, motion.betas, motion.transl_camera
  moments = posed_keypoints.moments(body)
  found = confidence.body_keypoints(body, moments, *given, motion.intrinsics)
  vertices, _ = jax.jit(smpl.forward)(body, *given)
  points = np.einsum("kv,nvc->nkc", body.keypoint_regressor, vertices)
  expected = pinhole.project(points, motion.intrinsics)
  np.testing.assert_allclose(found, expected, atol=0.05)
  each = np.tile(motion.intrinsics, (3, 1, 1))
  each[1, :2] *= 2
  zoomed = confidence.body_keypoints(body, moments, *given, each)
  np.testing.assert_allclose(zoomed[1], 2 * found[1], rtol=1e-4)
  np.testing.assert_allclose(zoomed[2], found[2])
