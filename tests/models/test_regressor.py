import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mhmr_jax.body import smpl
from mhmr_jax.body.joints import SMPL_JOINTS
from mhmr_jax.geometry import rotations
from mhmr_jax.models import regressor

REPRESENTATIONS = ("axis_angle", "6d")


@pytest.fixture(scope="module")
def features():
  return jax.random.normal(jax.random.key(0), (2, 3, 12))


def _regressor(representation, **options):
  return regressor.IterativeRegressor(
    hidden=(16, 24), pose_representation=representation, **options
  )


def test_mean_pose_stands_facing_the_camera_with_lowered_arms():
  pose, zeros = jnp.asarray(regressor.mean_pose()), jnp.zeros
  joints = jax.jit(smpl.joints)(smpl.load(), pose, zeros(10), zeros(3))
  where = {name: np.asarray(p) for name, p in zip(SMPL_JOINTS, joints, strict=True)}
  assert where["head"][1] < where["pelvis"][1] < where["left_ankle"][1]  # y is down.
  assert where["left_foot"][2] < where["left_ankle"][2]  # Toes towards the camera.
  assert where["left_wrist"][0] > where["left_shoulder"][0]  # Their left on our right.
  for side in ("left", "right"):
    assert where[f"{side}_wrist"][1] > where[f"{side}_shoulder"][1] + 0.3


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_untrained_prediction_is_near_the_mean(features, representation):
  init = jax.jit(_regressor(representation).init_with_output)
  prediction, _ = init(jax.random.key(1), features)
  assert prediction["rotations"].shape == (2, 3, 24, 3, 3)
  assert prediction["betas"].shape == (2, 3, 10)
  assert prediction["camera"].shape == (2, 3, 3)
  mean = rotations.axis_angle_to_matrix(jnp.asarray(regressor.mean_pose()))
  assert np.abs(prediction["rotations"] - mean).max() < 0.5
  assert np.abs(prediction["camera"] - np.array(regressor.MEAN_CAMERA)).max() < 0.5
  identity = np.einsum("...ij,...kj->...ik", *[prediction["rotations"]] * 2)
  np.testing.assert_allclose(
    identity, np.broadcast_to(np.eye(3), identity.shape), atol=1e-5
  )


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_rounds_iterate_one_set_of_weights(features, representation):
  """Against HMR's loop written out, with the concatenation that we split."""
  variables = jax.jit(_regressor(representation).init)(jax.random.key(1), features)
  params = variables["params"]
  kernel = jnp.concatenate(
    [params["from_features"]["kernel"], params["from_parameters"]["kernel"]]
  )
  start = jax.jit(_regressor(representation, rounds=0).apply)(variables, features)
  pose = {
    "axis_angle": jnp.broadcast_to(regressor.mean_pose(), (2, 3, 24, 3)),
    "6d": rotations.matrix_to_rot6d(start["rotations"]),
  }[representation]
  parameters = jnp.concatenate(
    [pose.reshape(2, 3, -1), start["betas"], start["camera"]], axis=-1
  )
  for _ in range(3):
    x = jnp.concatenate([features, parameters], axis=-1)
    x = jax.nn.relu(x @ kernel + params["from_features"]["bias"])
    x = jax.nn.relu(x @ params["hidden2"]["kernel"] + params["hidden2"]["bias"])
    parameters += x @ params["correction"]["kernel"] + params["correction"]["bias"]
  prediction = jax.jit(_regressor(representation).apply)(variables, features)
  pose = parameters[..., :-13].reshape(2, 3, 24, -1)
  to_matrix = {
    "axis_angle": rotations.axis_angle_to_matrix,
    "6d": rotations.rot6d_to_matrix,
  }[representation]
  np.testing.assert_allclose(prediction["rotations"], to_matrix(pose), atol=1e-5)
  np.testing.assert_allclose(prediction["betas"], parameters[..., -13:-3], atol=1e-5)
  np.testing.assert_allclose(prediction["camera"], parameters[..., -3:], atol=1e-5)


def test_dropout_only_when_training(features):
  module = _regressor("6d", dropout=0.5)
  variables = jax.jit(module.init)(jax.random.key(1), features)
  apply = jax.jit(module.apply, static_argnums=2)
  run = lambda seed, train: apply(
    variables, features, train, rngs={"dropout": jax.random.key(seed)}
  )["betas"]
  np.testing.assert_array_equal(run(0, False), run(1, False))
  assert np.abs(run(0, True) - run(1, True)).max() > 0


def test_unknown_representation_is_refused(features):
  with pytest.raises(ValueError, match="pose_representation"):
    _regressor("quaternion").init(jax.random.key(0), features)
