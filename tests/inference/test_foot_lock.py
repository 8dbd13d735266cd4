"""Feet that are held where they stand, by the legs alone."""

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.body import smpl
from mhmr_jax.body.joints import SMPL_JOINTS
from mhmr_jax.inference import foot_lock
from mhmr_jax.inference.foot_lock import Soles
from mhmr_jax.inference.seen_motion import ANKLES, TOES
from tests.inference import seen

MOVED = [
  index
  for index, name in enumerate(SMPL_JOINTS)
  if name.split("_")[-1] in ("knee", "ankle", "foot")
]
ABOVE = [index for index in range(24) if index not in MOVED]

_joints = jax.jit(smpl.joints_from_matrices)


@pytest.fixture(scope="module")
def model():
  return smpl.load()


@pytest.fixture(scope="module")
def soles(model):
  rest = np.asarray(model.joint_template) - np.asarray(model.v_template)[:, 1].min()
  return Soles(ankle=float(rest[7, 1]), toe=float(rest[10, 1]))


def make_person(model, seed=4, drift=0.0, lower=0.0):
  """A person whose root slides and lies too low, the contacts, and the rotations."""
  scene = seen.scene(model, seed)
  count = len(scene.seen.times)
  shift = np.stack(
    [drift * np.sin(scene.seen.times), np.full(count, -lower), 0 * scene.seen.times], 1
  )
  pose = scene.seen.pose.copy()
  own = Rotation.from_matrix(scene.turn.T) * Rotation.from_rotvec(pose[:, 0])
  pose[:, 0] = own.as_rotvec()
  local = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(count, 24, 3, 3)
  person = foot_lock.Body(
    times=scene.seen.times,
    pelvis=local[:, 0],
    legs=local[:, np.array(foot_lock.LEGS)],
    joints=scene.joints_world + shift[:, None],
  )
  return person, scene.seen.standing * 0.9, local


def locked(model, person, probability, soles, local):
  legs, shift = foot_lock.lock(person, probability, soles)
  local = local.copy()
  local[:, np.array(foot_lock.LEGS)] = legs
  rest = np.asarray(model.joint_template)[0]
  transl = person.joints[:, 0] + shift - rest
  betas = np.zeros((len(local), 10), np.float32)
  joints = _joints(model, local.astype(np.float32), betas, transl.astype(np.float32))
  return np.asarray(joints), shift


def acceleration(joints):
  return np.linalg.norm(np.diff(joints, n=2, axis=0), axis=-1).mean()


@pytest.mark.parametrize("seed", [1, 4, 6])
def test_standing_feet_don_t_move_and_nothing_is_below_the_floor(model, soles, seed):
  person, probability, local = make_person(model, seed, drift=0.08, lower=0.03)
  joints, _ = locked(model, person, probability, soles, local)
  stands = probability > 0.5
  both = stands[1:] & stands[:-1]
  slide = lambda all_joints: np.linalg.norm(
    np.diff(all_joints[:, TOES], axis=0), axis=-1
  )
  assert slide(person.joints)[both].mean() > 1.5e-3
  assert slide(joints)[both].mean() < 3e-4
  np.testing.assert_allclose(joints[:, TOES, 1][stands], soles.toe, atol=2e-3)
  assert person.joints[:, TOES, 1].min() < soles.toe - 0.02
  assert joints[:, TOES, 1].min() > soles.toe - 2e-3
  assert joints[:, ANKLES, 1].min() > soles.ankle - 5e-3


def test_all_above_the_legs_keeps_its_place_relative_to_the_pelvis(model, soles):
  person, probability, local = make_person(model, drift=0.08, lower=0.03)
  joints, shift = locked(model, person, probability, soles, local)
  before = person.joints[:, ABOVE] + shift[:, None]
  np.testing.assert_allclose(joints[:, ABOVE], before, atol=1e-5)
  assert np.abs(shift).max() <= 0.06
  assert not np.any(shift[:, [0, 2]])


def test_no_jitter_is_added(model, soles):
  person, probability, local = make_person(model, drift=0.08, lower=0.03)
  joints, _ = locked(model, person, probability, soles, local)
  assert acceleration(joints) < 1.1 * acceleration(person.joints)


def test_feet_that_stand_well_already_stay(model, soles):
  person, probability, local = make_person(model, seed=5)
  joints, _ = locked(model, person, probability, soles, local)
  assert np.abs(joints - person.joints).mean() < 2e-3


def test_without_contacts_only_feet_below_the_floor_move(model, soles):
  person, probability, local = make_person(model, lower=-0.5)
  joints, shift = locked(model, person, 0 * probability, soles, local)
  np.testing.assert_allclose(joints, person.joints, atol=1e-4)
  assert not shift.any()


def test_feet_on_something_high_stay_there(model, soles):
  person, probability, local = make_person(model, lower=-0.4)
  joints, _ = locked(model, person, probability, soles, local)
  stands = probability > 0.5
  np.testing.assert_allclose(
    joints[:, TOES, 1][stands], person.joints[:, TOES, 1][stands], atol=0.04
  )
