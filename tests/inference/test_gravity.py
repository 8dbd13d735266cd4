"""The direction down from networks' predictions and from people's balance."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.body import smpl
from mhmr_jax.inference import gravity
from tests.inference import seen


@pytest.fixture(scope="module")
def body():
  return smpl.load()


def angle(one, other):
  return np.degrees(np.arccos(np.clip(one @ other, -1, 1)))


@pytest.mark.parametrize("seed", [0, 4, 11])
def test_true_directions_and_people_who_balance_give_the_true_one(body, seed):
  scene = seen.scene(body, seed, turn=seen.camera(20, 10))
  assert angle(gravity.direction([scene.seen]), scene.turn @ [0, -1, 0]) < 3


def test_balance_corrects_a_network_that_sees_no_tilt(body):
  scenes = [seen.scene(body, seed, turn=seen.camera(15)) for seed in (0, 4, 6)]
  untilted = [
    scene.seen._replace(gravity=np.tile(np.float32([0, 1, 0]), (90, 1)))
    for scene in scenes
  ]
  down = scenes[0].turn @ [0, -1, 0]
  assert angle(np.array([0, 1, 0]), down) > 14
  assert angle(gravity.direction(untilted), down) < 10


def test_a_third_of_outliers_hardly_moves_it(body):
  scene = seen.scene(body, 4, turn=seen.camera(20, 10))
  wrong = scene.seen.gravity.copy()
  wrong[::3] = [0, 0, -1]
  clean = gravity.direction([scene.seen])
  found = gravity.direction([scene.seen._replace(gravity=wrong)])
  assert angle(found, clean) < 3
  mean = wrong.mean(axis=0)
  assert angle(mean / np.linalg.norm(mean), clean) > 15


def test_people_who_stand_on_nothing_are_not_asked(body):
  scene = seen.scene(body, 4, turn=seen.camera(20, 10))
  lying = Rotation.from_euler("x", 80, degrees=True).as_matrix()
  joints = (scene.seen.joints_camera @ lying.T).astype(np.float32)
  found = gravity.direction([scene.seen._replace(joints_camera=joints)])
  np.testing.assert_allclose(found, scene.turn @ [0, -1, 0], atol=1e-3)


def test_it_turns_with_the_camera(body):
  scene = seen.scene(body, 0, turn=seen.camera(10))
  turn = Rotation.from_rotvec([0.3, -0.2, 0.5]).as_matrix()
  turned = scene.seen._replace(
    joints_camera=(scene.seen.joints_camera @ turn.T).astype(np.float32),
    gravity=(scene.seen.gravity @ turn.T).astype(np.float32),
  )
  np.testing.assert_allclose(
    gravity.direction([turned]), turn @ gravity.direction([scene.seen]), atol=1e-5
  )


def walk_on(slope_x, slope_z):
  """Standing feet on a plane, along a diagonal."""
  place = np.linspace(0, 3, 60)
  toes = np.zeros((60, 2, 3))
  toes[..., 0] = place[:, None] + [0, 0.1]
  toes[..., 2] = np.sin(2 * place)[:, None]
  toes[..., 1] = slope_x * toes[..., 0] + slope_z * toes[..., 2]
  return toes, np.ones((60, 2), bool)


def test_the_floor_of_a_long_walk_is_found():
  toes, stands = walk_on(0.06, -0.03)
  normal = gravity.floor_normal([toes], [stands])
  truth = np.array([-0.06, 1, 0.03]) / np.linalg.norm([0.06, 1, 0.03])
  assert angle(normal, truth) < 1.5
  assert angle(np.array([0, 1.0, 0]), truth) > 3.5


def test_the_shorter_the_walk_the_less_the_floor_counts():
  toes, stands = walk_on(0.06, 0.0)
  tilts = [
    angle(gravity.floor_normal([toes * size], [stands]), np.array([0, 1, 0]))
    for size in (1.0, 0.3, 0.05)
  ]
  assert tilts[0] > 2
  assert tilts[0] > tilts[1] > tilts[2]
  assert tilts[2] < 0.1


def test_people_at_different_heights_are_on_one_plane_each():
  near, stands = walk_on(0.06, -0.03)
  far = near + np.array([0.0, 0.5, -4.0])
  alone = gravity.floor_normal([near], [stands])
  both = gravity.floor_normal([near, far], [stands, stands])
  np.testing.assert_allclose(alone, both, atol=1e-9)


def test_stairs_are_no_floor_and_nobody_has_none():
  toes, stands = walk_on(0.6, 0.0)
  level = [0, 1, 0]
  np.testing.assert_array_equal(gravity.floor_normal([toes], [stands]), level)
  np.testing.assert_array_equal(gravity.floor_normal([toes], [~stands]), level)


def test_a_swinging_foot_does_not_count():
  toes, stands = walk_on(0.05, 0.0)
  expected = gravity.floor_normal([toes[:, :1].repeat(2, 1)], [stands])
  toes[:, 1, 1] += np.linspace(0, 2, 60)
  stands[:, 1] = False
  np.testing.assert_allclose(
    gravity.floor_normal([toes], [stands]), expected, atol=1e-9
  )
