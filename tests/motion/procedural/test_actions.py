import numpy as np

from mhmr_jax.motion.procedural import actions, anatomy, pieces


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


def test_every_action_makes_what_it_is_asked_for():
  for name, (action, _) in actions.ACTIONS.items():
    for frames in (1, 40):
      piece = action(np.random.default_rng(3), frames, 1 / 30)
      assert piece.angles.shape == (frames, anatomy.NUM_ANGLES), name
      assert piece.lift.shape == (frames,), name
      assert np.isfinite(piece.angles).all(), name
