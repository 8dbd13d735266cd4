import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax import metrics

TOLERANCE_MM = 0.01

pa_mpjpe = jax.jit(metrics.pa_mpjpe)
mpjpe = jax.jit(metrics.mpjpe, static_argnums=2)
pve = jax.jit(metrics.pve)
acceleration_error = jax.jit(metrics.acceleration_error)


def _reference_pa_mpjpe(joints, target):
  """Kabsch-Umeyama in float64, one frame, by SciPy."""
  joints, target = joints.astype(np.float64), target.astype(np.float64)
  centred, goal = joints - joints.mean(0), target - target.mean(0)
  rotation = Rotation.align_vectors(goal, centred)[0]
  moved = rotation.apply(centred)
  scale = (moved * goal).sum() / (moved**2).sum()
  return 1000 * np.linalg.norm(scale * moved - goal, axis=-1).mean()


@pytest.fixture(scope="module")
def target():
  return np.random.default_rng(0).normal(0, 0.5, (20, 24, 3)).astype(np.float32)


@pytest.mark.parametrize("noise", [0.01, 0.1, 1.0])
def test_pa_mpjpe_equals_scipy(target, noise):
  rng = np.random.default_rng(1)
  rotation = Rotation.random(20, rng=rng).as_matrix()
  joints = 1.3 * np.einsum("tij,tnj->tni", rotation, target) + 4.0
  joints = (joints + rng.normal(0, noise, joints.shape)).astype(np.float32)
  expected = [_reference_pa_mpjpe(*pair) for pair in zip(joints, target, strict=True)]
  actual = pa_mpjpe(joints, target)
  np.testing.assert_allclose(actual, expected, atol=TOLERANCE_MM)


def test_pa_mpjpe_does_not_mirror(target):
  mirrored = target * np.array([-1, 1, 1], np.float32)
  expected = [_reference_pa_mpjpe(*pair) for pair in zip(mirrored, target, strict=True)]
  assert min(expected) > 100
  np.testing.assert_allclose(pa_mpjpe(mirrored, target), expected, atol=TOLERANCE_MM)


def test_pa_mpjpe_of_a_similarity_is_zero(target):
  rotation = Rotation.random(20, rng=np.random.default_rng(2)).as_matrix()
  joints = 0.3 * np.einsum("tij,tnj->tni", rotation, target) - 2.0
  error = pa_mpjpe(joints.astype(np.float32), target)
  np.testing.assert_allclose(error, 0, atol=TOLERANCE_MM)


def test_pa_mpjpe_of_collinear_and_of_equal_points(target):
  line = np.linspace(-1, 1, 24, dtype=np.float32)[:, None] * np.float32([1, 2, -1])
  # The line turns onto the target's first principal axis, or its reverse.
  goal = target[0].astype(np.float64) - target[0].mean(0)
  direction = goal.T @ line[:, 0]
  direction /= np.linalg.norm(direction)
  along = line[:, 0] * (goal @ direction @ line[:, 0]) / (line[:, 0] @ line[:, 0])
  expected = 1000 * np.linalg.norm(along[:, None] * direction - goal, axis=-1).mean()
  np.testing.assert_allclose(pa_mpjpe(line, target[0]), expected, atol=TOLERANCE_MM)
  # A line onto itself turned, and points onto a line's shape.
  np.testing.assert_allclose(pa_mpjpe(line, line[:, ::-1]), 0, atol=0.02)
  # Equal points go to the target's mean.
  equal = np.full((24, 3), 0.7, np.float32)
  spread = 1000 * np.linalg.norm(goal, axis=-1).mean()
  np.testing.assert_allclose(pa_mpjpe(equal, target[0]), spread, atol=TOLERANCE_MM)
  np.testing.assert_allclose(pa_mpjpe(target[0], equal), 0, atol=TOLERANCE_MM)


def test_mpjpe_and_pve_align_roots_only(target):
  joints = target + np.float32([0.5, -1, 3])
  np.testing.assert_allclose(mpjpe(joints, target), 0, atol=TOLERANCE_MM)
  joints[:, 5, 0] += 0.24
  np.testing.assert_allclose(mpjpe(joints, target), 10, atol=TOLERANCE_MM)
  # With the moved joint for a root all the others are off.
  np.testing.assert_allclose(mpjpe(joints, target, 5), 230, atol=TOLERANCE_MM)
  error = pve(joints, target, joints[:, 0], target[:, 0])
  np.testing.assert_allclose(error, 10, atol=TOLERANCE_MM)


def _reference_acceleration(joints, target, valid, fps, frame_index):
  """Frame by frame, in float64: {frame: error}."""
  errors = {}
  for t in range(1, len(joints) - 1):
    frames = [t - 1, t, t + 1]
    gap = frame_index[t + 1] - frame_index[t - 1] != 2
    if gap or not valid[frames].all():
      continue
    second = [
      (x[t + 1] - 2 * x[t] + x[t - 1]).astype(np.float64) * fps**2
      for x in (joints, target)
    ]
    errors[t] = 1000 * np.linalg.norm(second[0] - second[1], axis=-1).mean()
  return errors


def test_acceleration_error_never_crosses_a_gap(target):
  rng = np.random.default_rng(3)
  joints = (target + rng.normal(0, 0.01, target.shape)).astype(np.float32)
  valid = np.ones(20, bool)
  valid[7] = False
  frame_index = np.arange(20)
  frame_index[13:] += 4
  joints[7] = np.nan
  expected = _reference_acceleration(joints, target, valid, 25.0, frame_index)
  error, defined = acceleration_error(joints, target, valid, 25.0, frame_index)
  assert np.flatnonzero(defined).tolist() == sorted(expected)
  assert not set(expected) & {0, 6, 7, 8, 12, 13, 19}
  np.testing.assert_allclose(error[defined], list(expected.values()), rtol=1e-4)
  np.testing.assert_array_equal(error[~defined], 0)


def test_acceleration_error_of_a_parabola_is_its_own():
  # 2 m/s² against rest, at 30 fps, in two clips at once of which one is slowed.
  seconds = np.arange(6) / 30
  joints = np.zeros((2, 6, 24, 3), np.float32)
  joints[..., 1] = (seconds**2)[None, :, None]
  error, defined = acceleration_error(
    joints, np.zeros_like(joints), np.ones((2, 6), bool), np.float32([30, 15])
  )
  assert defined.sum() == 8
  np.testing.assert_allclose(error[0, 1:-1], 2000, rtol=1e-3)
  np.testing.assert_allclose(error[1, 1:-1], 500, rtol=1e-3)


def test_clip_shorter_than_three_frames_has_no_acceleration(target):
  for frames in (1, 2):
    error, defined = acceleration_error(
      target[:frames], target[:frames], np.ones(frames, bool), 30.0
    )
    assert error.shape == defined.shape == (frames,)
    assert not defined.any()
