"""Smoothing of a network's outputs along a video."""

import numpy as np
from scipy.spatial.transform import Rotation

from mhmr_jax.inference import smoothing
from mhmr_jax.inference.streaming import CropOutputs

FRAMES = 40


def make_outputs(angles, box=None, segment=None):
  """Outputs whose joints all turn about z by these angles, in radians."""
  rotations = Rotation.from_rotvec(np.outer(angles, [0, 0, 1])).as_matrix()
  count = len(angles)
  if box is None:
    box = np.tile([100, 100, 300, 300], (count, 1))
  return CropOutputs(
    times=np.arange(count) / 30,
    segment=np.zeros(count, int) if segment is None else segment,
    rotations=np.repeat(rotations[:, None], 24, axis=1).astype(np.float32),
    betas=np.zeros((count, 10), np.float32),
    camera=np.tile(np.float32([0.9, 0.1, -0.2]), (count, 1)),
    box=np.asarray(box, np.float32),
    gravity=np.tile(np.float32([0, 0.8, 0.6]), (count, 1)),
    standing=np.tile(np.float32([0.9, 0.2]), (count, 1)),
  )


def angles_of(outputs):
  return Rotation.from_matrix(outputs.rotations[:, 5]).as_rotvec()[:, 2]


def test_what_does_not_move_stays():
  outputs = make_outputs(np.full(FRAMES, 0.3))
  # Its rotations take the place of those that it is given.
  smoothed = smoothing.smooth(make_outputs(np.full(FRAMES, 0.3)))
  np.testing.assert_allclose(smoothed.rotations, outputs.rotations, atol=1e-6)
  np.testing.assert_allclose(smoothed.camera, outputs.camera, rtol=1e-5)
  np.testing.assert_allclose(smoothed.gravity, outputs.gravity, rtol=1e-5)
  np.testing.assert_allclose(smoothed.standing, outputs.standing, rtol=1e-5)


def test_flicker_falls_and_a_slow_turn_stays():
  rng = np.random.default_rng(0)
  slow = 0.5 * np.sin(np.arange(FRAMES) * 2 * np.pi / FRAMES)
  smoothed = smoothing.smooth(make_outputs(slow + rng.normal(0, 0.05, FRAMES)))
  error = (angles_of(smoothed) - slow)[5:-5]
  assert np.std(error) < 0.03
  clean = smoothing.smooth(make_outputs(slow))
  np.testing.assert_allclose(angles_of(clean)[5:-5], slow[5:-5], atol=0.02)


def test_rotations_stay_rotations():
  rng = np.random.default_rng(1)
  smoothed = smoothing.smooth(make_outputs(rng.uniform(-3, 3, FRAMES))).rotations
  product = smoothed @ np.swapaxes(smoothed, -1, -2)
  np.testing.assert_allclose(
    product, np.broadcast_to(np.eye(3), product.shape), atol=1e-5
  )
  np.testing.assert_allclose(np.linalg.det(smoothed), 1, atol=1e-5)


def test_gravity_stays_a_direction_and_standing_a_probability():
  rng = np.random.default_rng(2)
  down = np.array([0, 0.8, 0.6]) + rng.normal(0, 0.1, (FRAMES, 3))
  down /= np.linalg.norm(down, axis=1, keepdims=True)
  standing = rng.integers(0, 2, (FRAMES, 2)).astype(np.float32)
  outputs = make_outputs(np.zeros(FRAMES))
  noisy = outputs._replace(gravity=down.astype(np.float32), standing=standing)
  smoothed = smoothing.smooth(noisy)
  np.testing.assert_allclose(np.linalg.norm(smoothed.gravity, axis=1), 1, atol=1e-6)
  error = lambda found: np.linalg.norm(found - [0, 0.8, 0.6], axis=1).mean()
  assert error(smoothed.gravity) < 0.7 * error(down)
  assert smoothed.standing.min() >= 0
  assert smoothed.standing.max() <= 1
  assert np.std(smoothed.standing) < 0.7 * np.std(standing)


def test_nothing_is_carried_from_one_segment_to_the_next():
  segment = np.repeat([0, 1], FRAMES // 2)
  smoothed = smoothing.smooth(make_outputs(segment * 1.0, segment=segment))
  np.testing.assert_allclose(angles_of(smoothed), segment, atol=1e-6)


def test_a_crop_that_jumps_does_not_move_the_person():
  box = np.tile([100.0, 100, 300, 300], (FRAMES, 1))
  box[FRAMES // 2 :] += [40, 10, 80, 50]
  outputs = make_outputs(np.zeros(FRAMES), box=box)
  half = (box[:, 2] - box[:, 0]) / 2
  centre = (box[:, :2] + box[:, 2:]) / 2
  # A person who stands still in the image: 150 px a metre, the pelvis at (210, 190).
  shift = (np.array([210.0, 190.0]) - centre) / 150
  camera = np.concatenate([(150 / half)[:, None], shift], axis=1)
  outputs = outputs._replace(camera=camera.astype(np.float32))
  smoothed = smoothing.smooth(outputs)
  np.testing.assert_allclose(smoothed.camera, camera, rtol=1e-4)
