import jax
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from mhmr_jax.evaluation import baselines
from mhmr_jax.geometry import metrics

COUNT = 40  # Frames: one number in all tests, so that each function compiles once.
_pa_mpjpe = jax.jit(metrics.pa_mpjpe)


def _ones(count):
  return np.ones(count, np.float32)


def _clip(pose, betas, valid=None):
  valid = np.ones(len(pose), bool) if valid is None else valid
  return {"pose": pose.astype(np.float32), "betas": betas, "valid": valid}


def test_mean_pose_is_scipys_mean_over_valid_frames():
  rng = np.random.default_rng(0)
  pose = rng.normal(0, 0.4, (9, 24, 3))
  valid = np.array([True] * 5 + [False] * 4)
  clips = [
    _clip(pose[:2], np.full(10, 3.0)),
    _clip(np.concatenate([pose[2:5], pose[5:] + 7]), np.full(10, -2.0), None),
  ]
  clips[1]["valid"] = valid[[0, 1, 2, 5, 6, 7, 8]]
  rotations, betas = baselines.mean_pose(clips)
  for joint in range(24):
    expected = Rotation.from_rotvec(pose[:5, joint]).mean().as_matrix()
    np.testing.assert_allclose(rotations[joint], expected, atol=2e-5)
  np.testing.assert_allclose(betas, np.zeros(10), atol=1e-6)  # (2 * 3 - 3 * 2) / 5


def test_mean_pose_of_nothing_is_refused():
  with pytest.raises(ValueError, match="no frames"):
    baselines.mean_pose([_clip(np.zeros((3, 24, 3)), np.zeros(10), np.zeros(3, bool))])


def _frames(spread, seed=1):
  """Turned, scaled and moved copies of one set of joints, with noise of `spread`."""
  rng = np.random.default_rng(seed)
  joints = rng.normal(0, 0.4, (24, 3))
  noisy = joints + rng.normal(0, spread, (COUNT, 24, 3))
  R = Rotation.random(COUNT, rng).as_matrix()
  scale = rng.uniform(0.8, 1.2, (COUNT, 1, 1))
  moved = scale * np.einsum("nij,nkj->nki", R, noisy) + rng.normal(size=(COUNT, 1, 3))
  return moved.astype(np.float32)


def _pa(joints, target):
  return float(np.mean(_pa_mpjpe(np.broadcast_to(joints, target.shape), target)))


def test_best_aligned_joints_recover_what_was_only_moved():
  target = _frames(spread=0.0)
  assert _pa(baselines.best_aligned_joints(target, _ones(COUNT)), target) < 0.01


def test_best_aligned_joints_beat_every_frame_and_a_descent():
  target = _frames(spread=0.1)
  best = baselines.best_aligned_joints(target, _ones(COUNT))
  error = _pa(best, target)
  assert error < min(_pa(frame, target) for frame in target)
  # Nelder-Mead from the answer, along random directions, finds nothing better.
  directions = np.random.default_rng(2).normal(0, 0.02, (6, 24, 3))

  def along(x):
    return _pa(best + np.tensordot(x, directions, 1).astype(np.float32), target)

  found = minimize(along, np.zeros(6), method="Nelder-Mead", options={"maxiter": 80})
  assert found.fun > error - 0.1


def test_best_rooted_joints_are_geometric_medians():
  rng = np.random.default_rng(3)
  target = rng.standard_t(2, (51, 24, 3)) * 0.1  # With outliers: no mean will do.
  found = baselines.best_rooted_joints(target.astype(np.float32), _ones(51))
  for joint in (0, 7):
    distance = lambda x, j=joint: np.linalg.norm(target[:, j] - x, axis=-1).mean()
    best = minimize(distance, target[:, joint].mean(0)).fun
    assert distance(np.asarray(found[joint])) < best + 1e-4


def test_a_weight_is_a_repetition():
  target = _frames(spread=0.1)
  counts = np.random.default_rng(4).multinomial(COUNT, np.full(COUNT, 1 / COUNT))
  assert counts.min() == 0
  assert counts.max() > 2
  weights = counts.astype(np.float32)
  repeated = np.repeat(target, counts, axis=0)
  rooted = [t - t.mean(1, keepdims=True) for t in (target, repeated)]
  np.testing.assert_allclose(
    baselines.best_rooted_joints(rooted[0], weights),
    baselines.best_rooted_joints(rooted[1], _ones(COUNT)),
    atol=2e-4,  # Of the last steps, whose errors are equal, either may be the best.
  )
  best = baselines.best_aligned_joints(target, weights)
  other = baselines.best_aligned_joints(repeated, _ones(COUNT))
  assert abs(_pa(best, repeated) - _pa(other, repeated)) < 0.01


def test_best_aligned_joints_of_many_frames_are_sought_on_some(monkeypatch):
  target = _frames(spread=0.1)
  on_all = _pa(baselines.best_aligned_joints(target, _ones(COUNT)), target)
  monkeypatch.setattr(baselines, "_FEW_FRAMES", 20)
  on_some = _pa(baselines.best_aligned_joints(target, _ones(COUNT)), target)
  assert on_some == pytest.approx(on_all, abs=0.05)
  monkeypatch.setattr(baselines, "_REFINING_STEPS", 0)
  unrefined = _pa(baselines.best_aligned_joints(target, _ones(COUNT)), target)
  assert unrefined > on_some + 0.05
