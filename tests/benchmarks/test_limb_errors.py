"""The errors of limb joints, on motions made up so that the errors are known."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from tests.benchmarks import limb_errors

_FRAMES = 20
_EVERY = np.arange(_FRAMES)


@pytest.fixture
def truth():
  """A random walk of every joint, metres."""
  rng = np.random.default_rng(0)
  start = rng.normal(0, 0.5, (1, 12, 3))
  return start + np.cumsum(rng.normal(0, 0.02, (_FRAMES, 12, 3)), axis=0)


def test_a_moved_turned_and_scaled_truth_has_no_error(truth):
  turn = Rotation.from_rotvec([0.3, -1.0, 0.5]).as_matrix()
  errors = limb_errors.measure(70 * truth @ turn.T + 3, truth, _EVERY, 30.0)
  assert max(errors) < 0.01


def test_only_pa_mpjpe_forgives_what_differs_from_frame_to_frame(truth):
  turns = Rotation.from_rotvec(np.outer(_EVERY, [0.0, 0.2, 0.0])).as_matrix()
  turned = np.einsum("tij,tnj->tni", turns, truth)
  errors = limb_errors.measure(turned, truth, _EVERY, 30.0)
  assert errors.pa_mpjpe < 0.01
  assert errors.acceleration > 1


def test_where_the_body_is_does_not_count(truth):
  away = np.random.default_rng(1).normal(0, 1, (_FRAMES, 1, 3))
  assert max(limb_errors.measure(truth + away, truth, _EVERY, 30.0)) < 0.01


@pytest.mark.parametrize(("fps", "factor"), [(30.0, 1), (60.0, 4)])
def test_acceleration_of_a_constant_is_the_truth_s_own(truth, fps, factor):
  hips = [limb_errors.LIMB_JOINTS.index(f"{side}_hip") for side in ("left", "right")]
  rooted = truth - truth[:, hips].mean(axis=1, keepdims=True)
  # The best similarity may shrink the constant or not: it does not move either way.
  second = rooted[2:] - 2 * rooted[1:-1] + rooted[:-2]
  own = 1000 * np.linalg.norm(second, axis=-1).mean()
  constant = np.repeat(truth[:1], _FRAMES, axis=0)
  errors = limb_errors.measure(constant, truth, _EVERY, fps)
  assert errors.acceleration == pytest.approx(factor * own, rel=1e-3)


@pytest.mark.parametrize("fps", [30.0, 60.0])
def test_noise_of_the_truth_is_told_from_its_motion(fps):
  rng = np.random.default_rng(2)
  limbs = limb_errors.LIMB_JOINTS
  chain = ("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")
  seconds = np.arange(300) / fps
  motion = np.zeros((300, 12, 3))
  for side, x in (("left", 0.1), ("right", -0.1)):
    for first, *others in chain:
      place = np.full((300, 3), [x, 0.5 * (first == "shoulder"), 0.0])
      motion[:, limbs.index(f"{side}_{first}")] = place
      for name in others:
        turns = np.sin(np.outer(seconds, rng.uniform(3, 6, 3)))
        bone = Rotation.from_rotvec(turns).apply([0, -0.3, 0])
        place = place + bone
        motion[:, limbs.index(f"{side}_{name}")] = place
  noise = ndimage.gaussian_filter1d(rng.normal(0, 0.004, motion.shape), 1.0, axis=0)
  errors = limb_errors.measure(motion, motion + noise, np.arange(300), fps)
  estimate = limb_errors.acceleration_noise(motion + noise, fps)
  assert estimate == pytest.approx(errors.acceleration, rel=0.1)
  assert limb_errors.acceleration_noise(motion, fps) < 1e-6


def test_no_acceleration_is_taken_across_a_gap(truth):
  rows = np.r_[0:8, 12:_FRAMES]
  jump = truth[rows] + np.where(rows >= 12, 0, 0.3)[:, None, None] * np.eye(12, 3)
  smooth = limb_errors.measure(truth[rows], truth[rows], rows, 30.0)
  jumped = limb_errors.measure(jump, truth[rows], rows, 30.0)
  joined = limb_errors.measure(jump, truth[rows], np.arange(len(rows)), 30.0)
  assert smooth.acceleration < 0.01
  assert jumped.acceleration < 0.5 * joined.acceleration


def test_best_constant_is_the_pose_that_the_motion_returns_to(truth):
  motion = truth.copy()
  motion[_FRAMES // 3 :] = truth[7] + 0.3 * (truth[_FRAMES // 3 :] - truth[7])
  motion[7] = truth[7]
  best = limb_errors.best_constant(motion)
  here, there = (
    limb_errors.measure(np.repeat(pose[None], _FRAMES, 0), motion, _EVERY, 30.0)
    for pose in (best, motion[0])
  )
  assert here.pa_mpjpe < there.pa_mpjpe
  assert any((best == pose).all() for pose in motion)
