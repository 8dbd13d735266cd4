"""The fit to keypoints: known bodies are found again, and windows show no seam."""

import functools

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.body import posed_keypoints, smpl
from mhmr_jax.geometry import metrics, pinhole
from mhmr_jax.inference import fitted_sequences, keypoint_fit, reprojection
from mhmr_jax.inference.keypoint_fit import Person
from mhmr_jax.inference.sequences import SequencePrediction
from mhmr_jax.motion import pose_prior, procedural

_INTRINSICS = pinhole.centred_intrinsics(640, 480)
_HALF = 160.0  # Pixels.
_DISTANCE = 5.0  # Metres.
_FRAMES = 16
_FEWER = 100  # Half of the default's steps, where the fit need not have ended.


@pytest.fixture(scope="module")
def body():
  return keypoint_fit.load_body(smpl.load())


def _noisy(rotations, degrees, rng):
  turns = rng.normal(0, np.radians(degrees), (*rotations.shape[:2], 3))
  noise = Rotation.from_rotvec(turns.reshape(-1, 3)).as_matrix()
  return (rotations @ noise.reshape(rotations.shape)).astype(np.float32)


@functools.cache
def _posed():
  return jax.jit(posed_keypoints.keypoints_and_joints)


def _joints(body, rotations, betas):
  """The joints relative to the pelvis, m."""
  shape = np.broadcast_to(betas, (len(rotations), 10)).astype(np.float32)
  _, joints = _posed()(body.model, body.moments, rotations, shape)
  joints = np.asarray(joints)
  return joints - joints[:, :1]


def _project(body, rotations, betas, pelvis):
  shape = np.broadcast_to(betas, (len(rotations), 10)).astype(np.float32)
  keypoints, joints = _posed()(body.model, body.moments, rotations, shape)
  points = np.asarray(keypoints) - np.asarray(joints)[:, :1] + pelvis[:, None]
  return pinhole.project(points, _INTRINSICS)


def _walk(body, frames=_FRAMES, seed=2, degrees=12.0):
  """A moving person, the network's result for them with noise, and exact keypoints.

  Returns:
    The person, the true rotations and the true positions of the pelvis.
  """
  rng = np.random.default_rng(seed)
  motion = procedural.generate(seed, frames, 30.0)
  rotations = Rotation.from_rotvec(motion.pose.reshape(-1, 3)).as_matrix()
  rotations = rotations.reshape(frames, 24, 3, 3)
  to_camera = np.diag([1.0, -1.0, -1.0])
  rotations[:, 0] = to_camera @ rotations[:, 0]
  rotations = rotations.astype(np.float32)
  pelvis = np.array([0.2, -0.1, _DISTANCE]) + 0.01 * np.arange(frames)[:, None]
  betas = np.zeros(10, np.float32)
  image = _project(body, rotations, betas, pelvis)
  centre = pinhole.project(pelvis, _INTRINSICS)
  focal = _INTRINSICS[0, 0]
  scale = focal / _DISTANCE / _HALF * np.exp(rng.normal(0, 0.03, frames))
  shift = rng.normal(0, 0.03, (frames, 2))
  box = np.concatenate([centre - _HALF, centre + _HALF], axis=1)
  person = Person(
    rotations=_noisy(rotations, degrees, rng),
    betas=np.zeros((frames, 10), np.float32),
    camera=np.concatenate([scale[:, None], shift], 1).astype(np.float32),
    box=box.astype(np.float32),
    keypoints=np.concatenate([image, np.ones((frames, 17, 1))], 2).astype(np.float32),
    intrinsics=_INTRINSICS,
    segment=np.zeros(frames, int),
  )
  return person, rotations, pelvis


def test_intrinsics_that_are_all_the_same_are_one(body):
  person, _, _ = _walk(body)
  each = person._replace(intrinsics=np.tile(_INTRINSICS, (_FRAMES, 1, 1)))
  zoomed = each._replace(intrinsics=each.intrinsics.copy())
  zoomed.intrinsics[3] = np.diag([2.0, 2, 1]) @ _INTRINSICS
  keypoints = person.keypoints.copy()
  keypoints[3, :, :2] *= 2
  zoomed = zoomed._replace(keypoints=keypoints, box=person.box.copy())
  zoomed.box[3] *= 2
  one, same, other = (keypoint_fit._frames(p) for p in (person, each, zoomed))
  for field in one._fields:
    np.testing.assert_array_equal(getattr(one, field), getattr(same, field))
    np.testing.assert_allclose(
      getattr(other, field), getattr(one, field), rtol=1e-5, atol=1e-6
    )


@pytest.fixture(scope="module")
def walk(body):
  return _walk(body)


@pytest.fixture(scope="module")
def fitted(body, walk):
  (one,) = keypoint_fit.fit(body, [walk[0]], 30.0)
  return one


def _pixels_off(body, person, fitted):
  image = _project(body, fitted.rotations, fitted.betas, fitted.pelvis_camera)
  return np.linalg.norm(image - person.keypoints[..., :2], axis=-1)


def test_exact_keypoints_lead_from_a_noisy_start_to_the_body(body, walk, fitted):
  person, rotations, pelvis = walk
  target = _joints(body, rotations, np.zeros(10))
  error = jax.jit(metrics.pa_mpjpe)
  before = np.mean(error(_joints(body, person.rotations, np.zeros(10)), target))
  after = np.mean(error(_joints(body, fitted.rotations, fitted.betas), target))
  assert after < 0.6 * before
  assert _pixels_off(body, person, fitted).mean() < 0.02 * _HALF
  assert np.abs(fitted.pelvis_camera - pelvis)[:, :2].mean() < 0.05
  assert np.abs(fitted.pelvis_camera[:, 2] / pelvis[:, 2] - 1).mean() < 0.1
  identity = fitted.rotations @ np.swapaxes(fitted.rotations, -1, -2)
  np.testing.assert_allclose(
    identity, np.broadcast_to(np.eye(3), identity.shape), atol=1e-5
  )


def test_without_points_only_the_smoothing_changes_the_networks_result(body, walk):
  person = walk[0]
  missing = person._replace(keypoints=np.zeros_like(person.keypoints))
  weights = reprojection.Weights(joints_acceleration=0.0, pelvis_acceleration=0.0)
  (kept,) = keypoint_fit.fit(body, [missing], 30.0, weights=weights, steps=_FEWER)
  np.testing.assert_allclose(kept.rotations, person.rotations, atol=1e-3)
  np.testing.assert_allclose(kept.betas, 0, atol=1e-3)
  depth = _INTRINSICS[0, 0] / (_HALF * person.camera[:, 0])
  np.testing.assert_allclose(kept.pelvis_camera[:, 2], depth, rtol=1e-3)
  (smooth,) = keypoint_fit.fit(body, [missing], 30.0, steps=_FEWER)
  assert _shaking(body, smooth) < 0.7 * _shaking(body, kept)


def _shaking(body, fitted):
  joints = _joints(body, fitted.rotations, fitted.betas)
  return np.linalg.norm(np.diff(joints, 2, axis=0), axis=-1).mean()


def test_frames_without_points_follow_their_neighbours(body, walk):
  person, rotations, _ = walk
  keypoints = person.keypoints.copy()
  keypoints[5:9] = 0
  hidden = person._replace(keypoints=keypoints)
  (one,) = keypoint_fit.fit(body, [hidden], 30.0, steps=_FEWER)
  target = _joints(body, rotations, np.zeros(10))
  before = _joints(body, person.rotations, np.zeros(10)) - target
  after = _joints(body, one.rotations, one.betas) - target
  assert np.abs(after[5:9]).mean() < np.abs(before[5:9]).mean()


def test_people_do_not_change_each_other(body, walk, fitted):
  other = _walk(body, frames=11, seed=5)[0]
  together = keypoint_fit.fit(body, [walk[0], other], 30.0)
  (alone,) = keypoint_fit.fit(body, [other], 30.0)
  for one, expected in zip(together, (fitted, alone), strict=True):
    assert len(one.rotations) == len(expected.rotations)
    np.testing.assert_allclose(one.rotations, expected.rotations, atol=2e-3)
    np.testing.assert_allclose(one.pelvis_camera, expected.pelvis_camera, atol=5e-3)
    np.testing.assert_allclose(one.betas, expected.betas, atol=2e-3)


def test_hostile_points_leave_everything_finite(body, walk):
  person = walk[0]
  keypoints = person.keypoints.copy()
  keypoints[0, :, :2] = 1e30
  keypoints[1, :, :2] = -1e9
  keypoints[2:4] = 0
  camera = person.camera.copy()
  camera[4] = [-3, 1e4, 0]
  camera[5, 0] = 1e4  # The camera is then within the body.
  box = person.box.copy()
  box[6] = 0
  rotations = person.rotations.copy()
  rotations[7] = np.eye(3)
  rotations[8] = np.diag([1.0, -1.0, -1.0])
  person = person._replace(
    keypoints=keypoints, camera=camera, box=box, rotations=rotations
  )
  (one,) = keypoint_fit.fit(body, [person], 30.0)
  for array in one:
    assert np.isfinite(array).all()
  assert (one.pelvis_camera[:, 2] > 0).all()


def test_a_joint_that_is_not_trusted_follows_the_points_further(body, walk):
  person = walk[0]
  trust = np.ones((_FRAMES, 24), np.float32)
  weights = reprojection.Weights(rotations=30.0, prior=0.0)
  sure, unsure = (
    keypoint_fit.fit(
      body, [person._replace(trust=each)], 30.0, weights=weights, steps=_FEWER
    )[0]
    for each in (trust, 0 * trust)
  )
  assert (
    _pixels_off(body, person, unsure).mean()
    < 0.5 * _pixels_off(body, person, sure).mean()
  )


@pytest.mark.slow
def test_a_long_sequence_is_fitted_as_in_one_window_without_a_seam(body):
  person, _, _ = _walk(body, frames=60, degrees=8.0)
  whole, parts = (
    keypoint_fit.fit(body, [person], 30.0, window=window, steps=_FEWER)[0]
    for window in (64, 40)
  )
  np.testing.assert_allclose(parts.betas, whole.betas, atol=1e-3)
  far = np.r_[0:16, 48:60]  # From the overlap, which is 24 to 39.
  distance = np.linalg.norm(
    _joints(body, parts.rotations, parts.betas)
    - _joints(body, whole.rotations, whole.betas),
    axis=-1,
  ).max(axis=1)
  assert distance[far].max() < 0.005
  shaking = np.linalg.norm(
    np.diff(_joints(body, parts.rotations, parts.betas), 2, axis=0), axis=-1
  ).max(axis=1)
  assert shaking[21:41].max() < 1.5 * shaking[:16].max()


def test_segments_are_not_linked(body, walk, fitted):
  person = walk[0]
  turned = person.segment.copy()
  turned[8:] = 1
  (apart,) = keypoint_fit.fit(body, [person._replace(segment=turned)], 30.0)
  assert np.abs(fitted.rotations - apart.rotations)[7:9].max() > 1e-3


def test_predictions_for_clips_are_fitted_in_the_crops_units(body, walk, fitted):
  person = walk[0]
  size = 64
  keypoints = person.keypoints.copy()
  keypoints[..., :2] -= person.box[:, None, :2]
  keypoints[..., :2] *= size / (2 * _HALF)
  prediction = SequencePrediction(
    person.rotations, person.betas, person.camera, person.box, keypoints
  )
  (one,) = fitted_sequences.fit(
    body, [{"fps": 30.0, "intrinsics": _INTRINSICS}], [prediction], size
  )
  np.testing.assert_allclose(one.rotations, fitted.rotations, atol=5e-3)
  assert one.betas.shape == (_FRAMES, 10)
  np.testing.assert_array_equal(one.camera, person.camera)
  (unknown,) = fitted_sequences.fit(body, [{}], [prediction], size)
  assert np.abs(unknown.rotations - fitted.rotations).mean() < 0.1


def test_the_shipped_prior_prefers_a_pose_to_its_limbs_turned_round(body):
  rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (2, 24, 3, 3)).copy()
  rotations[1, [4, 5]] = Rotation.from_rotvec([-1.5, 0, 0]).as_matrix()  # Knees.
  density = jax.jit(pose_prior.negative_log_density)
  upright, bent = np.asarray(density(body.prior, rotations))
  assert upright < bent
