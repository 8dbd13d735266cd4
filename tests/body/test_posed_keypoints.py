"""The keypoints from bones against those that are read from skinned vertices."""

import jax
import numpy as np
import pytest

from mhmr_jax.body import posed_keypoints, smpl
from mhmr_jax.geometry import rotations as rot
from tests.body import random_smpl

_matrices = jax.jit(rot.axis_angle_to_matrix)
_keypoints_and_joints = jax.jit(posed_keypoints.keypoints_and_joints)
_of_world_rotations = jax.jit(posed_keypoints.of_world_rotations)


def _random_body(tmp_path, name: str) -> smpl.SmplModel:
  if name == "free":
    return smpl.load()
  data = random_smpl.arrays(120)
  if name == "without pose blend shapes":
    data["posedirs"] = np.zeros_like(data["posedirs"])
  np.savez(tmp_path / "model.npz", **data)
  return smpl.load(tmp_path / "model.npz")


# The free body has no pose blend shapes.
@pytest.mark.parametrize(
  ("name", "batch"), [("free", (3, 2)), ("random", ()), ("random", (3, 2))]
)
def test_keypoints_are_those_of_the_skinned_vertices(tmp_path, name, batch):
  body = _random_body(tmp_path, name)
  pose, betas, transl = random_smpl.inputs(batch)
  keypoints, joints = _keypoints_and_joints(
    body, posed_keypoints.moments(body), _matrices(pose), betas
  )
  restricted = smpl.restrict(body, body.keypoint_regressor)
  regressed = jax.jit(smpl.regressed_joints)(restricted, pose, betas, transl)
  transl = transl[..., None, :]
  np.testing.assert_allclose(np.asarray(keypoints) + transl, regressed, atol=2e-5)
  expected = jax.jit(smpl.joints)(body, pose, betas, transl[..., 0, :])
  np.testing.assert_allclose(np.asarray(joints) + transl, expected, atol=2e-5)


def test_one_shape_serves_all_frames(tmp_path):
  body = _random_body(tmp_path, "random")
  pose, betas, _ = random_smpl.inputs((4,))
  rotations, sums = np.asarray(_matrices(pose)), posed_keypoints.moments(body)
  together = np.asarray(_keypoints_and_joints(body, sums, rotations, betas[:1])[0])
  for row in range(4):
    alone, _ = _keypoints_and_joints(body, sums, rotations[row], betas[0])
    np.testing.assert_allclose(together[row], alone, atol=1e-5)


def test_world_rotations_give_the_same_keypoints(tmp_path):
  body = _random_body(tmp_path, "without pose blend shapes")
  pose, betas, _ = random_smpl.inputs((3, 2))
  rotations, sums = _matrices(pose), posed_keypoints.moments(body)
  expected = _keypoints_and_joints(body, sums, rotations, betas)
  world = np.asarray(jax.jit(smpl.bone_transforms)(body, rotations, betas)[0])
  found = _of_world_rotations(body, sums, world, betas)
  for own, other in zip(found, expected, strict=True):
    np.testing.assert_allclose(own, other, atol=1e-5)
  one = _of_world_rotations(body, sums, world[:1, :1], betas)
  ours, theirs = np.asarray(one[0])[0, 0], np.asarray(found[0])[0, 0]
  np.testing.assert_allclose(ours, theirs, atol=1e-5)
