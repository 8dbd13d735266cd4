import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies
from scipy.spatial.transform import Rotation

from mhmr_jax.geometry import metrics
from tests.geometry import properties

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


@properties.check
@hypothesis.given(
  axis_angle=properties.floats((3,), -3, 3),
  scale=strategies.floats(0.2, 5),
  shift=properties.floats((3,), -5, 5),
)
def test_pa_mpjpe_is_invariant_to_similarities(target, axis_angle, scale, shift):
  noise = np.random.default_rng(2).normal(0, 0.1, target.shape)
  rotation = Rotation.from_rotvec(axis_angle).as_matrix()

  def moved(points):
    return (scale * points @ rotation.T + shift).astype(np.float32)

  np.testing.assert_allclose(pa_mpjpe(moved(target), target), 0, atol=TOLERANCE_MM)
  joints = (target + noise).astype(np.float32)
  np.testing.assert_allclose(
    pa_mpjpe(moved(joints), target), pa_mpjpe(joints, target), atol=TOLERANCE_MM
  )


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


def _reference_errors(joints, target, weights):
  """Umeyama 1991 in float64: the error, mm, of every joint."""
  joints, target = joints.astype(np.float64), target.astype(np.float64)
  joints = np.where(weights[..., None] > 0, joints, 0)
  target = np.where(weights[..., None] > 0, target, 0)
  share = (weights / weights.sum(1, keepdims=True))[..., None]
  mean = (share * joints).sum(1, keepdims=True)
  centred = joints - mean
  goal = target - (share * target).sum(1, keepdims=True)
  U, D, Vt = np.linalg.svd(np.einsum("nki,nkj->nij", share * goal, centred))
  sign = np.ones((len(U), 3))
  sign[:, 2] = np.sign(np.linalg.det(U) * np.linalg.det(Vt))
  R = np.einsum("nij,nj,njk->nik", U, sign, Vt)
  variance = (share * centred**2).sum((1, 2))
  coincide = variance < 1e-12 * (mean**2).sum((1, 2))
  scale = np.where(coincide, 0, (D * sign).sum(1) / np.where(coincide, 1, variance))
  moved = scale[:, None, None] * np.einsum("nij,nkj->nki", R, centred)
  return 1000 * np.linalg.norm(moved - goal, axis=-1)


def _cases(rng, count):
  """People far from and near the camera, and what breaks alignments."""
  target = rng.normal(0, 0.4, (count, 14, 3))
  turned = np.einsum("nij,nkj->nki", Rotation.random(count, rng).as_matrix(), target)
  noisy = rng.uniform(0.5, 2, (count, 1, 1)) * turned + rng.normal(0, 0.1, target.shape)
  line = rng.normal(size=(count, 14, 1)) * rng.normal(0, 0.5, (count, 1, 3))
  point = np.repeat(noisy[:, :1], 14, axis=1)
  kinds = [
    (noisy, target),
    (rng.normal(size=target.shape), target),
    (noisy * [-1, 1, 1], target),
    (target * [-1, 1, 1], target),
    (noisy * [1, 1, 0], target * [1, 0, 1]),
    (line, target),
    (target, line),
    (line, line[:, ::-1] * [-1, 1, 2]),
    (point, target),
    (target, point),
  ]
  away = rng.choice([0, 5, 40], (2, len(kinds) * count, 1, 1)) * rng.normal(size=3)
  pairs = [np.concatenate(column) for column in zip(*kinds, strict=True)]
  return [(p + a).astype(np.float32) for p, a in zip(pairs, away, strict=True)]


@pytest.mark.parametrize("missing", [False, True])
def test_pa_mpjpe_of_ten_thousand_cases_equals_numpy(missing):
  rng = np.random.default_rng(4)
  joints, target = _cases(rng, 1000)
  weights = np.ones(joints.shape[:2], np.float32)
  if missing:
    gone = rng.integers(0, 14, len(weights))
    weights[np.arange(len(weights)), gone] = 0
    joints[np.arange(len(weights)), gone] = np.nan
    target[np.arange(len(weights)), gone] *= 7
    actual = pa_mpjpe(joints, target, weights)
  else:
    actual = pa_mpjpe(joints, target)
  expected = _reference_errors(joints, target, weights)
  expected = (weights * expected).sum(1) / weights.sum(1)
  assert len(expected) == 10_000
  np.testing.assert_allclose(actual, expected, atol=TOLERANCE_MM, rtol=0)


def test_errors_of_as_many_frames_as_3dpw_has_equal_numpy():
  rng = np.random.default_rng(5)
  target = rng.normal(0, 0.4, (35_000, 14, 3)).astype(np.float32)
  joints = (target + rng.normal(0, 0.1, target.shape)).astype(np.float32)
  expected = _reference_errors(joints, target, np.ones(joints.shape[:2]))
  actual = jax.jit(metrics.aligned_joint_errors)(joints, target)
  np.testing.assert_allclose(actual, expected, atol=TOLERANCE_MM, rtol=0)
  np.testing.assert_allclose(
    pa_mpjpe(joints, target), expected.mean(1), atol=TOLERANCE_MM, rtol=0
  )
  a, b = joints.astype(np.float64), target.astype(np.float64)
  expected = 1000 * np.linalg.norm(a - a[:, :1] - b + b[:, :1], axis=-1).mean(1)
  np.testing.assert_allclose(mpjpe(joints, target), expected, atol=TOLERANCE_MM, rtol=0)


def test_frames_without_any_joint_are_nan(target):
  weights = np.ones(target.shape[:2], np.float32)
  weights[3] = 0
  found = np.isnan(pa_mpjpe(target, target, weights))
  np.testing.assert_array_equal(np.flatnonzero(found), [3])


def test_pck_and_its_area_equal_a_count():
  rng = np.random.default_rng(6)
  errors = rng.uniform(0, 220, (50, 14)).astype(np.float32)
  errors[0, :3] = [0, 150, 5]
  np.testing.assert_allclose(
    jax.jit(metrics.pck)(errors), 100 * (errors < 150).mean(1), rtol=1e-6
  )
  counts = [(errors < threshold).mean(1) for threshold in range(0, 151, 5)]
  np.testing.assert_allclose(
    jax.jit(metrics.pck_area)(errors), 100 * np.mean(counts, axis=0), rtol=1e-5
  )


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
