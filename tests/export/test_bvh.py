"""The BVH file: where another reader and ours find its joints, and how it reads."""

import numpy as np
import pybvh
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.body.joints import SMPL_JOINTS, SMPL_PARENTS
from mhmr_jax.errors import InputError
from mhmr_jax.export import bvh
from mhmr_jax.motion import biovision
from mhmr_jax.motion import bvh as bvh_reader
from mhmr_jax.motion.skeleton import rest_joints

_LIMBS = (
  ("hip", "knee"), ("knee", "ankle"), ("ankle", "foot"),
  ("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "hand"),
)  # fmt: skip


@pytest.fixture
def path(tmp_path, walks, body):
  bvh.write(tmp_path / "motion.bvh", walks[0], body)
  return tmp_path / "motion.bvh"


def test_another_reader_finds_the_joints_in_place(path, walks):
  recording = pybvh.read_bvh_file(path)
  assert recording.frame_time == pytest.approx(1 / 30, abs=1e-8)
  order = [recording.joint_names.index(name) for name in SMPL_JOINTS]
  joints = recording.joint_positions()[:, order] / 100
  assert joints.shape == (40, 24, 3)
  apart = np.linalg.norm(joints - walks[0].joints_world, axis=-1)
  assert apart.max() < 1e-5  # m.


def test_the_skeleton_is_smpl_s_with_a_tip_at_every_end(path):
  recording = biovision.read_recording(path)
  names = [joint.name for joint in recording.joints]
  assert sorted(names) == sorted(SMPL_JOINTS)
  for joint in recording.joints:
    parent = SMPL_PARENTS[SMPL_JOINTS.index(joint.name)]
    assert parent < 0 or names[joint.parent] == SMPL_JOINTS[parent]
    assert len(joint.positions) == (3 if parent < 0 else 0)
    assert list(joint.rotations) == [2, 0, 1]  # Z, X, Y.
  ends = {joint.name: joint.end for joint in recording.joints if joint.end is not None}
  assert set(ends) == {"head", "left_hand", "right_hand", "left_foot", "right_foot"}
  assert ends["head"][1] > 10  # Up, cm.
  assert ends["left_hand"][0] > 3
  assert ends["right_hand"][0] < -3
  for side in ("left", "right"):
    assert ends[f"{side}_foot"][1] == 0
    assert ends[f"{side}_foot"][2] > 3


def test_our_reader_finds_the_same_limbs(path, walks):
  walk, found = walks[0], bvh_reader.read(path, fps=30.0)
  figure = _points(found.pose, found.transl)
  for side in ("left", "right"):
    for first, last in _LIMBS:
      start, end = (SMPL_JOINTS.index(f"{side}_{name}") for name in (first, last))
      line, expected = (
        joints[:, end] - joints[:, start] for joints in (figure, walk.joints_world)
      )
      cosine = np.sum(line * expected, axis=-1) / np.linalg.norm(line, axis=-1)
      cosine /= np.linalg.norm(expected, axis=-1)
      assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 0.1, (first, side)


def _points(pose, transl):
  """The joints of the reader's skeleton, by its own forward kinematics."""
  rest, places, world = rest_joints(), [], []
  for joint, parent in enumerate(SMPL_PARENTS):
    turn = Rotation.from_rotvec(pose[:, joint])
    above = world[parent] if joint else Rotation.identity(len(pose))
    offset = rest[joint] - (rest[parent] if joint else rest[0])
    places.append((places[parent] if joint else transl) + above.apply(offset))
    world.append(above * turn)
  return np.stack(places, axis=1)


def test_angles_do_not_jump_when_a_knee_bends_past_a_right_angle(tmp_path, walks, body):
  pose = np.zeros((40, 24, 3))
  pose[:, 4, 0] = np.linspace(0, np.radians(150), 40)
  pose[:, 0, 1] = np.linspace(0, np.radians(700), 40)  # And the body turns around.
  bvh.write(tmp_path / "knee.bvh", walks[0]._replace(pose_world=pose), body)
  values = biovision.read_recording(tmp_path / "knee.bvh").values
  assert np.abs(np.diff(values[:, 3:], axis=0)).max() < 20


def test_a_folder_that_is_missing_is_named(tmp_path, walks, body):
  with pytest.raises(InputError, match=r"absent.*cannot be written"):
    bvh.write(tmp_path / "absent" / "motion.bvh", walks[0], body)
