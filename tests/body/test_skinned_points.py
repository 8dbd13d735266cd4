"""Points that follow the joints against those that are read off skinned vertices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mhmr_jax.body import skinned_points, smpl
from mhmr_jax.geometry import rotations as rot
from tests.body import random_smpl


@pytest.fixture(scope="module")
def body():
  return smpl.load()


@pytest.fixture(scope="module")
def points(body):
  return skinned_points.of_keypoints(body)


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_points_are_the_regressor_times_the_vertices(body, points, batch):
  pose, betas, _ = random_smpl.inputs(batch)
  rotations = rot.axis_angle_to_matrix(jnp.asarray(pose))
  joints, placed, world = jax.jit(skinned_points.joints_and_points)(
    body, points, rotations, betas
  )
  forward = jax.jit(smpl.forward)
  vertices, expected = forward(body, pose, betas, np.zeros((*batch, 3), np.float32))
  regressor = np.asarray(body.keypoint_regressor, np.float64)
  regressed = np.einsum("kv,...vc->...kc", regressor, np.asarray(vertices, np.float64))
  np.testing.assert_allclose(placed, regressed, rtol=0, atol=1e-5)
  np.testing.assert_allclose(joints, expected, rtol=0, atol=1e-5)
  R, _, _ = jax.jit(smpl.bone_transforms)(body, rotations, betas)
  np.testing.assert_allclose(world, R, atol=1e-6)


def test_one_shape_serves_all_frames(body, points):
  pose, _, _ = random_smpl.inputs((2, 3))
  betas = random_smpl.inputs((2, 1))[1]
  rotations = rot.axis_angle_to_matrix(jnp.asarray(pose))
  place = jax.jit(skinned_points.joints_and_points)
  everywhere = np.broadcast_to(betas, (2, 3, 10))
  for result, expected in zip(
    place(body, points, rotations, betas),
    place(body, points, rotations, everywhere),
    strict=True,
  ):
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_gradients_are_those_of_finite_differences(body, points):
  pose, betas, _ = random_smpl.inputs(())
  rng = np.random.default_rng(0)
  cotangent, turn = rng.normal(size=(17, 3)), rng.normal(size=(24, 3))

  @jax.jit
  def value(pose, betas):
    rotations = rot.axis_angle_to_matrix(pose)
    placed = skinned_points.joints_and_points(body, points, rotations, betas)[1]
    return jnp.vdot(placed, cotangent)

  gradient = jax.jit(jax.grad(value, (0, 1)))
  by_pose, by_betas = gradient(pose, betas)
  assert np.isfinite(by_pose).all()
  step = 1e-2
  expected = (value(pose + step * turn, betas) - value(pose - step * turn, betas)) / (
    2 * step
  )
  assert np.vdot(by_pose, turn) == pytest.approx(float(expected), rel=1e-2, abs=1e-2)
  shape = (value(pose, betas + step) - value(pose, betas - step)) / (2 * step)
  assert np.sum(by_betas) == pytest.approx(float(shape), rel=1e-2, abs=1e-2)
  at_rest = gradient(np.zeros_like(pose), betas)
  assert all(np.isfinite(leaf).all() for leaf in at_rest)
