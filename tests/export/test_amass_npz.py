"""The AMASS file: its keys, its axes, and what our reader and SMPL make of it."""

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.body import smpl
from mhmr_jax.export import amass_npz
from mhmr_jax.motion import amass


@pytest.fixture
def path(tmp_path, walks):
  amass_npz.write(tmp_path / "motion_amass.npz", walks[0])
  return tmp_path / "motion_amass.npz"


def test_the_keys_are_those_of_amass(path, walks):
  with np.load(path, allow_pickle=False) as file:
    arrays = dict(file)
  shapes = {name: array.shape for name, array in arrays.items()}
  assert shapes == {
    "poses": (40, 156),
    "trans": (40, 3),
    "betas": (16,),
    "gender": (),
    "mocap_framerate": (),
    "body": (),
  }
  assert str(arrays["gender"]) == "neutral"
  assert str(arrays["body"]) == "free"
  assert float(arrays["mocap_framerate"]) == 30
  np.testing.assert_array_equal(arrays["betas"], [*walks[0].betas[0], *[0.0] * 6])
  assert not arrays["poses"][:, 66:].any()


def test_our_reader_gives_the_same_pose_back(path, walks):
  walk, found = walks[0], amass.read(path, fps=30.0)
  np.testing.assert_allclose(found.pose[:, :22], walk.pose_world[:, :22], atol=1e-5)
  # AMASS's path is the pelvis' up to a constant.
  apart = found.transl - walk.joints_world[:, 0]
  np.testing.assert_allclose(apart, np.tile(apart[:1], (40, 1)), atol=1e-5)


def test_smpl_puts_the_joints_where_they_are_with_z_up(path, walks, body):
  walk = walks[0]
  with np.load(path) as file:
    poses, trans, betas = (file[key] for key in ("poses", "trans", "betas"))
  pose = np.zeros((40, 24, 3))
  pose[:, :22] = poses[:, :66].reshape(40, 22, 3)
  shape = np.tile(betas[:10], (40, 1))
  joints = np.asarray(jax.jit(smpl.joints)(body, pose, shape, trans))
  x, y, z = np.moveaxis(walk.joints_world, -1, 0)
  np.testing.assert_allclose(
    joints[:, :22], np.stack([x, -z, y], axis=-1)[:, :22], atol=1e-5
  )


def test_gaps_become_frames(tmp_path, walks):
  walk = walks[0]
  kept = np.delete(np.arange(40), slice(10, 30))
  columns = {
    name: value[kept]
    for name, value in walk._asdict().items()
    if isinstance(value, np.ndarray) and len(value) == 40
  }
  amass_npz.write(tmp_path / "gap.npz", walk._replace(**columns))
  found = amass.read(tmp_path / "gap.npz", fps=30.0)
  assert len(found) == 40
  turns = Rotation.from_rotvec(found.pose[kept].reshape(-1, 3)).inv()
  turns = turns * Rotation.from_rotvec(walk.pose_world[kept].reshape(-1, 3))
  body = turns.magnitude().reshape(-1, 24)[:, :22]
  assert body.max() < 1e-5
