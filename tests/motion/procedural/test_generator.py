import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.body.joints import SMPL_JOINTS
from mhmr_jax.motion import procedural
from mhmr_jax.motion.procedural import anatomy

_SEEDS = range(60)


@pytest.fixture(scope="module")
def clips():
  return [procedural.generate(seed, 64) for seed in _SEEDS]


def _points(motion):
  local = Rotation.from_rotvec(motion.pose.reshape(-1, 3).astype(np.float64))
  local = local.as_matrix().reshape(len(motion), 24, 3, 3)
  return anatomy.forward_kinematics(local)[0]


def test_a_clip_depends_on_its_seed_alone(clips):
  for seed in (0, 7):
    again = procedural.generate(seed, 64)
    np.testing.assert_array_equal(again.pose, clips[seed].pose)
    np.testing.assert_array_equal(again.transl, clips[seed].transl)
  assert not np.array_equal(clips[0].pose, clips[1].pose)


@pytest.mark.parametrize(
  ("frames", "fps"), [(1, 30.0), (2, 30.0), (17, 25.0), (300, 60.0)]
)
def test_any_length_and_rate(frames, fps):
  for seed in range(5):
    motion = procedural.generate(seed, frames, fps)
    assert motion.pose.shape == (frames, 24, 3)
    assert motion.transl.shape == (frames, 3)
    assert motion.pose.dtype == motion.transl.dtype == np.float32
    assert motion.fps == fps
    assert np.isfinite(motion.pose).all()
    assert np.isfinite(motion.transl).all()


def test_motion_is_smooth(clips):
  for motion in clips:
    turn = Rotation.from_rotvec(motion.pose[:-1].reshape(-1, 3)).inv()
    turn = turn * Rotation.from_rotvec(motion.pose[1:].reshape(-1, 3))
    # A punch turns the elbow by some 30 degrees a frame; a jump of the rotation
    # vector would be a half-turn.
    assert np.degrees(turn.magnitude().max()) < 75
    assert np.linalg.norm(np.diff(motion.transl, axis=0), axis=-1).max() < 0.35


def test_hinges_bend_the_right_way(clips):
  knees = [SMPL_JOINTS.index(f"{side}_knee") for side in ("left", "right")]
  elbows = [SMPL_JOINTS.index(f"{side}_elbow") for side in ("left", "right")]
  pose = np.concatenate([motion.pose for motion in clips])
  assert (pose[:, knees, 0] > -0.3).all()  # x: the heel to the seat.
  assert (pose[:, knees, 0] > 0).mean() > 0.98
  assert np.abs(pose[:, knees, 1:]).max() < 0.3
  points = np.concatenate([_points(motion) for motion in clips])
  rest = anatomy.forward_kinematics(np.broadcast_to(np.eye(3), (24, 3, 3)))[0]
  for elbow in elbows:
    start, end = elbow - 2, elbow + 2
    straight = np.linalg.norm(rest[end] - rest[start])
    reach = np.linalg.norm(points[:, end] - points[:, start], axis=-1)
    assert (reach < straight + 1e-3).all()
    assert (reach > 0.1 * straight).all()


def test_the_body_stands_on_the_ground(clips):
  low = []
  for motion in clips:
    points = _points(motion) + motion.transl[:, None]
    low.append(points[..., 1].min(axis=1))
  low = np.concatenate(low)
  assert low.min() > -0.12  # Joints lie within the body: above the ground,
  assert np.median(low) < 0.08  # and mostly not far above.
