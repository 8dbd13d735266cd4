import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.body.joints import SMPL_FLIP, SMPL_JOINTS
from mhmr_jax.motion import actions, anatomy, pieces, poses, procedural, stances

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


def test_what_touches_the_ground_does_not_slide_under_a_walker():
  slides, speeds = [], []
  for seed in range(20):
    walk = actions.gait(np.random.default_rng(seed), 60, 1 / 30)
    local = anatomy.local_rotations(walk.angles)
    points, world = anatomy.forward_kinematics(local)
    path = pieces.pelvis_path(points, world, walk.lift, 1 / 30)
    toes = points[:, [10, 11]] + path[:, None]
    low = (toes[1:, :, 1] < 0.035) & (toes[:-1, :, 1] < 0.035)
    step = np.linalg.norm(np.diff(toes[..., ::2], axis=0), axis=-1) * 30
    slides.append(step[low].mean())
    speeds.append(np.linalg.norm(np.diff(path[:, ::2], axis=0), axis=-1).mean() * 30)
  assert np.median(slides) < 0.25 * np.median(speeds)  # m/s
  assert 0.8 < np.median(speeds) < 2


def test_planted_feet_stay():
  squat = actions.planted("squat")(np.random.default_rng(1), 60, 1 / 30)
  points, world = anatomy.forward_kinematics(anatomy.local_rotations(squat.angles))
  path = pieces.pelvis_path(points, world, squat.lift, 1 / 30)
  ankles = points[:, [7, 8]] + path[:, None]
  assert np.ptp(path[:, 1]) > 0.1
  assert np.ptp(ankles, axis=0).max() < 0.05


def test_jumps_leave_the_ground():
  heights = []
  for seed in range(10):
    jump = actions.jump(np.random.default_rng(seed), 90, 1 / 30)
    assert jump.lift.min() == 0
    heights.append(jump.lift.max())
  assert 0.15 < np.mean(heights) < 0.5


def test_a_mirrored_key_pose_is_the_mirror_image():
  for seed, name in enumerate(stances.STANCES):
    pose = stances.sample(np.random.default_rng(seed), name)
    angles = poses.solve([pose, stances.mirrored(pose)])
    points, _ = anatomy.forward_kinematics(anatomy.local_rotations(angles))
    flip = list(SMPL_FLIP)
    np.testing.assert_allclose(points[1], points[0][flip] * (-1, 1, 1), atol=0.01)


def test_every_action_makes_what_it_is_asked_for():
  for name, (action, _) in actions.ACTIONS.items():
    for frames in (1, 40):
      made = action(np.random.default_rng(3), frames, 1 / 30)
      assert made.angles.shape == (frames, anatomy.NUM_ANGLES), name
      assert made.lift.shape == (frames,), name
      assert np.isfinite(made.angles).all(), name


def test_inverse_kinematics_reaches_what_is_in_reach():
  rng = np.random.default_rng(0)
  for limb in (anatomy.leg(), anatomy.arm()):
    length = np.linalg.norm(limb.upper) + np.linalg.norm(limb.lower)
    target = rng.normal(size=(200, 3))
    target *= rng.uniform(0.35, 0.95, (200, 1)) * length
    target /= np.linalg.norm(target, axis=-1, keepdims=True) / 1.0
    target *= rng.uniform(0.35, 0.95, (200, 1)) * length
    pole = rng.normal(size=(200, 3))
    upper, bend = anatomy.reach(limb, target, pole)
    lower = anatomy.rotation(bend[:, None] * limb.hinge) @ limb.lower
    end = np.einsum("nij,nj->ni", upper, limb.upper + lower)
    np.testing.assert_allclose(end, target, atol=1e-6)
    # The middle joint is on the pole's side.
    assert (
      np.einsum("nj,nj->n", upper @ limb.upper, pole)
      >= np.einsum("nj,nj->n", _along(upper @ limb.upper, target), pole) - 1e-9
    ).all()


def _along(vector, direction):
  unit = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
  return np.sum(vector * unit, axis=-1, keepdims=True) * unit
