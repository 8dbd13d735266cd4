import jax
import numpy as np
import pytest

from mhmr_jax.body import smpl
from mhmr_jax.synth import skinning
from tests.body import random_smpl


@pytest.fixture(scope="module")
def random_body(tmp_path_factory):
  path = tmp_path_factory.mktemp("body") / "model.npz"
  np.savez(path, **random_smpl.arrays(80))
  return path


@pytest.mark.parametrize("free", [True, False])
def test_equals_the_body_layer(free, random_body):
  path = None if free else random_body
  pose, _, transl = random_smpl.inputs((3,))
  betas = np.linspace(-2, 2, 10, dtype=np.float32)
  posed = skinning.load(path).pose(pose, betas, transl)
  model = smpl.load(path)
  inputs = pose, np.tile(betas, (3, 1)), transl
  vertices, joints = jax.jit(smpl.forward)(model, *inputs)
  np.testing.assert_allclose(posed.vertices, vertices, atol=1e-5)
  np.testing.assert_allclose(posed.joints, joints, atol=1e-5)
  assert posed.vertices.dtype == np.float32


def test_normals_point_outwards_and_turn_with_the_body():
  body = skinning.load()
  betas = np.zeros(10, np.float32)
  rest = body.shaped(betas)
  normals = body.rest_normals(rest)
  np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-4)
  # The belly faces +z, the back -z.
  trunk = np.isin(body.part, (3, 6))
  front = trunk & (rest[:, 2] > np.quantile(rest[trunk, 2], 0.8))
  assert (normals[front, 2] > 0).mean() > 0.95
  pose = np.zeros((1, 24, 3), np.float32)
  pose[0, 0, 1] = np.pi / 2  # Turns +z to +x.
  posed = body.pose(pose, betas, np.zeros((1, 3), np.float32))
  np.testing.assert_allclose(posed.normals[0, :, 0], normals[:, 2], atol=1e-4)


def test_keypoints_are_the_models():
  body = skinning.load()
  expected = np.asarray(smpl.load().keypoint_regressor)
  np.testing.assert_allclose(body.keypoint_regressor.toarray(), expected)
