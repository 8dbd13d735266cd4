"""NumPy's joints and keypoints are those that JAX computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mhmr_jax.body import host_joints, posed_keypoints, smpl
from mhmr_jax.geometry import rotations as rot
from tests.body import random_smpl


@pytest.mark.parametrize("pose_blend_shapes", [True, False])
def test_joints_and_keypoints_are_jax_s(tmp_path, pose_blend_shapes):
  data = random_smpl.arrays(120)
  if not pose_blend_shapes:
    data["posedirs"] = np.zeros_like(data["posedirs"])
  np.savez(tmp_path / "model.npz", **data)
  body = smpl.load(tmp_path / "model.npz")
  moments = posed_keypoints.moments(body)
  pose, betas, _ = random_smpl.inputs((5,))
  rotations = np.asarray(rot.axis_angle_to_matrix(jnp.asarray(pose)))
  expected = jax.jit(posed_keypoints.keypoints_and_joints)(
    body, moments, jnp.asarray(rotations), jnp.asarray(betas)
  )
  posed = host_joints.bones(body, rotations, betas)
  found = host_joints.keypoints(moments, posed, rotations, betas)
  np.testing.assert_allclose(found, expected[0], atol=2e-5)
  np.testing.assert_allclose(posed.joints, expected[1], atol=2e-5)
  world, _, _ = jax.jit(smpl.bone_transforms)(
    body, jnp.asarray(rotations), jnp.asarray(betas)
  )
  np.testing.assert_allclose(posed.world, world, atol=1e-5)
