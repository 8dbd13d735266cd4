"""People in a world with y up and the floor at 0, as a tilted camera sees them."""

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.body import smpl
from mhmr_jax.body.joints import SMPL_FLIP, flip_pose
from mhmr_jax.inference import world
from mhmr_jax.inference.seen_motion import TOES
from tests.inference import seen

_joints = jax.jit(smpl.joints)


@pytest.fixture(scope="module")
def body():
  return smpl.load()


def ball(body):
  rest = np.asarray(body.joint_template)[10, 1]
  return rest - np.asarray(body.v_template)[:, 1].min()


def at_depth(one, factor):
  """The person at another distance along the same rays, as large as before."""
  pelvis = one.joints_camera[:, :1]
  shift = pelvis * (np.broadcast_to(factor, len(pelvis))[:, None, None] - 1)
  return one._replace(
    joints_camera=(one.joints_camera + shift).astype(np.float32),
    transl_camera=(one.transl_camera + shift[:, 0]).astype(np.float32),
  )


def mean_slide(joints, standing):
  both = (standing[1:] > 0.5) & (standing[:-1] > 0.5)
  moved = np.linalg.norm(np.diff(joints[:, TOES], axis=0)[..., [0, 2]], axis=-1)
  return moved[both].mean()


def placed(scene):
  """The true joints from the floor beneath the camera, which is the world's origin."""
  return scene.joints_world - [scene.centre[0], 0, scene.centre[2]]


@pytest.mark.parametrize("seed", [0, 4, 7, 11])
def test_the_world_is_found(body, seed):
  scene = seen.scene(body, seed, turn=seen.camera(20, 8))
  (found,) = world.place([scene.seen], body)
  down = scene.turn @ [0, -1, 0]
  assert np.degrees(np.arccos(found.gravity_camera[0] @ down)) < 3
  true = placed(scene)
  error = np.linalg.norm(found.joints_world - true, axis=-1)
  assert error[:, 0].mean() < 0.08
  own = lambda joints: joints - joints[:, :1]
  assert np.linalg.norm(own(found.joints_world) - own(true), axis=-1).mean() < 0.03
  stands = found.contacts > 0.5
  assert (stands == (scene.seen.standing > 0.5)).mean() > 0.9
  assert np.median(found.joints_world[:, TOES, 1][stands]) == pytest.approx(
    ball(body), abs=0.01
  )


def test_fields_agree_with_each_other(body):
  scene = seen.scene(body, 4, turn=seen.camera(10))
  (found,) = world.place([scene.seen], body)
  joints = _joints(body, found.pose_world, scene.seen.betas, found.transl_world)
  np.testing.assert_allclose(joints, found.joints_world, atol=1e-4)
  assert all(field.dtype == np.float32 for field in found)
  assert found.contacts.min() >= 0
  assert found.contacts.max() <= 1


def test_noise_in_depth_neither_slides_feet_nor_shakes_the_path(body):
  scene = seen.scene(body, 4, turn=seen.camera(15))
  rng = np.random.default_rng(0)
  noisy = at_depth(scene.seen, 1 + rng.normal(0, 0.03, len(scene.seen.times)))
  (clean,), (found,) = (world.place([one], body) for one in (scene.seen, noisy))
  standing = scene.seen.standing
  assert mean_slide(noisy.joints_camera, standing) > 0.02
  assert mean_slide(found.joints_world, standing) < 1e-3
  shake = lambda joints: np.abs(np.diff(joints[:, 0], n=2, axis=0)).mean()
  assert shake(found.joints_world) < 0.05 * shake(noisy.joints_camera)
  assert np.linalg.norm(
    (found.joints_world - clean.joints_world)[:, 0], axis=1
  ).mean() < (0.08)


def test_a_rolled_camera_sees_the_same_world(body):
  scene = seen.scene(body, 0, turn=seen.camera(15))
  roll = Rotation.from_euler("z", 35, degrees=True)
  pose = scene.seen.pose.copy()
  pose[:, 0] = (roll * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
  joints = roll.apply(scene.seen.joints_camera.reshape(-1, 3)).reshape(-1, 24, 3)
  rolled = scene.seen._replace(
    pose=pose.astype(np.float32),
    joints_camera=joints.astype(np.float32),
    gravity=roll.apply(scene.seen.gravity).astype(np.float32),
  )
  (one,), (other,) = (world.place([s], body) for s in (scene.seen, rolled))
  np.testing.assert_allclose(one.joints_world, other.joints_world, atol=1e-3)
  np.testing.assert_allclose(one.contacts, other.contacts, atol=1e-3)


def test_a_mirrored_person_moves_in_the_mirrored_world(body):
  scene = seen.scene(body, 4, turn=seen.camera(15, 10))
  signs = np.array([-1, 1, 1], np.float32)
  mirrored = scene.seen._replace(
    pose=flip_pose(scene.seen.pose),
    joints_camera=scene.seen.joints_camera[:, SMPL_FLIP] * signs,
    transl_camera=scene.seen.transl_camera * signs,
    gravity=scene.seen.gravity * signs,
    standing=scene.seen.standing[:, ::-1],
  )
  (one,), (other,) = (world.place([s], body) for s in (scene.seen, mirrored))
  expected = one.joints_world[:, SMPL_FLIP] * signs
  np.testing.assert_allclose(other.joints_world, expected, atol=0.01)
  np.testing.assert_allclose(other.contacts, one.contacts[:, ::-1], atol=0.05)


def test_everybody_stands_on_one_floor(body):
  scenes = [seen.scene(body, seed, turn=seen.camera(20)) for seed in (1, 4, 6)]
  people = [scene.seen for scene in scenes]
  people[2] = at_depth(people[2], 1.15)
  found = world.place(people, body)
  for one in found:
    feet = one.joints_world[:, TOES, 1]
    stands = one.contacts > 0.5
    assert stands.any()
    assert np.median(feet[stands]) == pytest.approx(ball(body), abs=0.01)
    assert feet.min() > ball(body) - 0.005
    same = np.tile(found[0].gravity_camera[0], (90, 1))
    np.testing.assert_array_equal(one.gravity_camera, same)
  # The camera looks down on them, so the floor tells the distance.
  truth = placed(scenes[2])
  distance = lambda joints: np.linalg.norm(joints[:, 0], axis=1).mean()
  wrong = distance(people[2].joints_camera) - distance(scenes[2].seen.joints_camera)
  left = distance(found[2].joints_world) - distance(truth)
  assert abs(left) < 0.5 * wrong


def test_somebody_on_a_stage_stays_there(body):
  ground = [seen.scene(body, seed, turn=seen.camera()).seen for seed in (1, 4)]
  stage = seen.scene(body, 6, turn=seen.camera(), height=0.7).seen
  found = world.place([*ground, stage], body)
  feet = found[2].joints_world[:, TOES, 1]
  assert np.median(feet[found[2].contacts > 0.5]) > 0.3


def test_the_rate_of_the_rows_changes_little(body):
  scene = seen.scene(body, 4, frames=180, turn=seen.camera(15), fps=60.0)
  half = scene.seen._make(field[::2] for field in scene.seen)
  (full,), (other,) = (world.place([one], body) for one in (scene.seen, half))
  error = np.linalg.norm(full.joints_world[::2] - other.joints_world, axis=-1)
  assert error.mean() < 0.01


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_rows(body, count):
  scene = seen.scene(body, 4, turn=seen.camera(15))
  few = scene.seen._make(field[:count] for field in scene.seen)
  for camera_motion in ("static", "moving"):
    (found,) = world.place([few], body, camera_motion)
    assert all(np.isfinite(field).all() for field in found)
    assert len(found.pose_world) == count


def test_a_gap_in_the_rows_is_bridged(body):
  scene = seen.scene(body, 4, turn=seen.camera(15))
  times = scene.seen.times + 100.0 * (np.arange(90) >= 45)
  (found,) = world.place([scene.seen._replace(times=times)], body)
  (whole,) = world.place([scene.seen], body)
  away = np.linalg.norm(found.joints_world - whole.joints_world, axis=-1)
  assert away.mean() < 0.05


def test_a_moving_camera_is_levelled_moment_by_moment(body):
  scene = seen.scene(body, 4, frames=120, turn=seen.camera())
  angles = np.radians(20 * np.sin(scene.seen.times * 1.2))
  tilt = Rotation.from_rotvec(np.outer(angles, [1, 0, 0]))
  joints = np.einsum("nij,nkj->nki", tilt.as_matrix(), scene.seen.joints_camera)
  pose = scene.seen.pose.copy()
  pose[:, 0] = (tilt * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
  moved = scene.seen._replace(
    joints_camera=joints.astype(np.float32),
    pose=pose.astype(np.float32),
    gravity=tilt.apply([0, 1, 0]).astype(np.float32),
  )
  (found,) = world.place([moved], body, "moving")
  true = placed(scene)
  own = lambda joints: joints - joints[:, :1]
  error = np.linalg.norm(own(found.joints_world) - own(true), axis=-1)
  assert error[15:-15].mean() < 0.04
  height = found.joints_world[:, TOES, 1][found.contacts > 0.5]
  assert np.median(height) == pytest.approx(ball(body), abs=0.1)
  # Its direction is each moment's.
  angle = np.degrees(np.arccos(np.sum(found.gravity_camera * moved.gravity, axis=1)))
  assert angle[15:-15].max() < 6
  assert np.ptp(found.gravity_camera, axis=0).max() > 0.4


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_camera_that_looks_straight_down_or_up_has_a_frame(sign):
  turn = world.world_from_camera(np.array([0, 0, sign]))
  np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
  assert np.linalg.det(turn) == pytest.approx(1)
  np.testing.assert_allclose(turn @ [0, 0, sign], [0, -1, 0], atol=1e-9)
  np.testing.assert_allclose(turn @ [0, -sign, 0], [0, 0, -1], atol=1e-9)


def test_the_camera_looks_along_negative_z():
  down = seen.camera(25, 12) @ [0, -1, 0]
  turn = world.world_from_camera(down)
  np.testing.assert_allclose(turn @ down, [0, -1, 0], atol=1e-9)
  forward = turn @ [0, 0, 1]
  assert forward[0] == pytest.approx(0, abs=1e-9)
  assert forward[1] == pytest.approx(-np.sin(np.radians(25)))
  assert forward[2] < 0
