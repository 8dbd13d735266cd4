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
