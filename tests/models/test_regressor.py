import jax
import numpy as np
import pytest

from mhmr_jax.body import smpl
from mhmr_jax.body.joints import SMPL_JOINTS
from mhmr_jax.geometry import rotations
from mhmr_jax.models import regressor
from mhmr_jax.models.coordinates import SmoothCrop
from mhmr_jax.schema import Prediction
from tests import drawn

_matrices = jax.jit(rotations.axis_angle_to_matrix)
REPRESENTATIONS = ("axis_angle", "6d", "6d_camera")


@pytest.fixture(scope="module")
def features():
  return np.random.default_rng(0).normal(size=(2, 3, 12)).astype(np.float32)


def _regressor(representation, **options):
  return regressor.IterativeRegressor(
    hidden=(16, 24), pose_representation=representation, **options
  )


def test_mean_pose_stands_facing_the_camera_with_lowered_arms():
  pose, betas, transl = regressor.mean_pose(), np.zeros(10), np.zeros(3)
  joints = np.asarray(jax.jit(smpl.joints)(smpl.load(), pose, betas, transl))
  where = dict(zip(SMPL_JOINTS, joints, strict=True))
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
  mean = _matrices(regressor.mean_pose())
  assert np.abs(prediction["rotations"] - mean).max() < 0.5
  assert np.abs(prediction["camera"] - np.array(regressor.MEAN_CAMERA)).max() < 0.5
  identity = np.einsum("...ij,...kj->...ik", *[prediction["rotations"]] * 2)
  np.testing.assert_allclose(
    identity, np.broadcast_to(np.eye(3), identity.shape), atol=1e-5
  )


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_rounds_iterate_one_set_of_weights(features, representation):
  """Against HMR's loop written out, with the concatenation that we split."""
  variables = drawn.variables(_regressor(representation).init, features)
  params = variables["params"]
  kernel = np.concatenate(
    [params["from_features"]["kernel"], params["from_parameters"]["kernel"]]
  )
  apply = jax.jit(_regressor(representation, rounds=0).apply)
  start = jax.device_get(apply(variables, features))
  to_rot6d = jax.jit(rotations.matrix_to_rot6d)
  pose = {
    "axis_angle": lambda _: np.tile(regressor.mean_pose(), (2, 3, 1, 1)),
    "6d": to_rot6d,
    "6d_camera": lambda R: to_rot6d(jax.jit(smpl.world_rotations)(R)),
  }[representation](start["rotations"])
  parameters = np.concatenate(
    [np.reshape(pose, (2, 3, -1)), start["betas"], start["camera"]], axis=-1
  )
  for _ in range(3):
    x = np.concatenate([features, parameters], axis=-1)
    x = np.maximum(x @ kernel + params["from_features"]["bias"], 0)
    x = np.maximum(x @ params["hidden2"]["kernel"] + params["hidden2"]["bias"], 0)
    parameters += x @ params["correction"]["kernel"] + params["correction"]["bias"]
  prediction = jax.jit(_regressor(representation).apply)(variables, features)
  pose = parameters[..., :-13].reshape(2, 3, 24, -1)
  to_matrix = {
    "axis_angle": rotations.axis_angle_to_matrix,
    "6d": rotations.rot6d_to_matrix,
    "6d_camera": lambda pose: smpl.parent_relative(rotations.rot6d_to_matrix(pose)),
  }[representation]
  expected = jax.jit(to_matrix)(pose)
  np.testing.assert_allclose(prediction["rotations"], expected, atol=1e-5)
  np.testing.assert_allclose(prediction["betas"], parameters[..., -13:-3], atol=1e-5)
  np.testing.assert_allclose(prediction["camera"], parameters[..., -3:], atol=1e-5)


def test_dropout_only_when_training(features):
  module = _regressor("6d", dropout=0.5)
  variables = drawn.variables(module.init, features)
  apply = jax.jit(module.apply, static_argnums=2)
  run = lambda seed, train: apply(
    variables, features, train, rngs={"dropout": jax.random.key(seed)}
  )["betas"]
  np.testing.assert_array_equal(run(0, False), run(1, False))
  assert np.abs(run(0, True) - run(1, True)).max() > 0


def test_unknown_representation_is_refused(features):
  with pytest.raises(ValueError, match="pose_representation"):
    jax.eval_shape(_regressor("quaternion").init, jax.random.key(0), features)


def test_the_mean_parameters_of_the_cameras_frame_are_the_mean_pose(features):
  module = _regressor("6d_camera", rounds=0)
  prediction, _ = jax.jit(module.init_with_output)(jax.random.key(0), features)
  mean = _matrices(regressor.mean_pose())
  expected = np.broadcast_to(mean, (2, 3, 24, 3, 3))
  np.testing.assert_allclose(prediction["rotations"], expected, atol=1e-5)
  assert not prediction["betas"].any()


def _mean_prediction():
  mean = _matrices(regressor.mean_pose())
  return Prediction(
    rotations=np.tile(mean, (2, 3, 1, 1, 1)),
    betas=np.zeros((2, 3, 10), np.float32),
    camera=np.tile(np.float32(regressor.MEAN_CAMERA), (2, 3, 1)),
  )


def _crop():
  return SmoothCrop(
    centre=np.tile(np.float32([0.1, -0.2]), (2, 3, 1)),
    size=np.full((2, 3), 0.3, np.float32),
    begun=np.ones((2, 3), bool),
  )


def _mean_keypoints():
  """The mean parameters' COCO-17 in focal lengths, by skinning and a pinhole."""
  body = smpl.load()
  arguments = regressor.mean_pose(), np.zeros(10), np.zeros(3)
  vertices, joints = jax.device_get(jax.jit(smpl.forward)(body, *arguments))
  points = np.asarray(body.keypoint_regressor) @ vertices - joints[0]
  scale, crop = regressor.MEAN_CAMERA[0], _crop()
  size, centre = float(crop.size[0, 0]), np.asarray(crop.centre[0, 0])
  depth = 1 / (scale * size)  # A metre at the pelvis is as long as in the crop.
  points = points + np.array([*(depth * centre), depth])
  return points[:, :2] / points[:, 2:]


def _observed(points, score=1.0):
  points = np.concatenate([points, np.full((17, 1), score)], axis=-1)
  points = np.tile(np.float32(points), (2, 3, 1, 1))
  return regressor.Observed(points, _crop())


_error = jax.jit(regressor.reprojection_error)


def test_the_reprojection_error_is_zero_at_the_projected_body():
  error = _error(_mean_prediction(), _observed(_mean_keypoints()))
  np.testing.assert_allclose(error, 0, atol=1e-4)


def test_the_reprojection_error_is_in_crop_units_times_the_score():
  shift = np.array([0.03, -0.06])  # A tenth and a fifth of half the crop's side.
  error = _error(_mean_prediction(), _observed(_mean_keypoints() - shift, score=0.5))
  error = np.asarray(error).reshape(2, 3, 17, 2)
  np.testing.assert_allclose(error[..., 0], 0.05, atol=1e-4)
  np.testing.assert_allclose(error[..., 1], -0.1, atol=1e-4)
  missing = _error(_mean_prediction(), _observed(np.zeros((17, 2)), score=0.0))
  assert not missing.any()
  far = _error(_mean_prediction(), _observed(_mean_keypoints() + 9.0))
  np.testing.assert_array_equal(far, -1)


def test_with_feedback_the_rounds_see_the_observation(features):
  module = _regressor("6d_camera", feedback=True, rounds=2)
  exact = _observed(_mean_keypoints())
  variables = drawn.variables(module.init, features, observed=exact)
  assert variables["params"]["from_error"]["kernel"].shape == (34, 16)
  run = jax.jit(lambda *args: module.apply(*args[:2], observed=args[2]))
  apply = lambda variables, observed: run(variables, features, observed)
  first = apply(variables, exact)["rotations"]
  shifted = apply(variables, _observed(_mean_keypoints() + 0.05))["rotations"]
  missing = apply(variables, _observed(_mean_keypoints(), score=0.0))["rotations"]
  assert np.abs(first - shifted).max() > 1e-3
  assert np.abs(first - missing).max() > 1e-4
  # Without the error's weights they are those of a network without feedback.
  blind = jax.tree_util.tree_map_with_path(
    lambda path, leaf: 0 * leaf if "from_error" in str(path) else leaf, variables
  )
  params = {k: v for k, v in variables["params"].items() if k != "from_error"}
  without = jax.jit(_regressor("6d_camera", rounds=2).apply)(
    {"params": params}, features
  )
  np.testing.assert_allclose(
    apply(blind, exact)["rotations"], without["rotations"], atol=1e-6
  )


def test_the_world_is_a_unit_vector_and_two_logits(features):
  module = _regressor("6d", world=True, rounds=1)
  variables = drawn.variables(module.init, features)
  apply = jax.jit(module.apply)
  prediction = apply(variables, features)
  assert prediction["gravity"].shape == (2, 3, 3)
  assert prediction["standing_logits"].shape == (2, 3, 2)
  length = np.linalg.norm(prediction["gravity"], axis=-1)
  np.testing.assert_allclose(length, 1, atol=1e-4)
  assert np.abs(prediction["gravity"] - np.array([0, 1, 0])).max() > 1e-3
  idle = jax.tree_util.tree_map_with_path(
    lambda path, leaf: 0 * leaf if "world" in str(path) else leaf, variables
  )
  down = apply(idle, features)["gravity"]
  np.testing.assert_allclose(down, np.broadcast_to([0, 1, 0], (2, 3, 3)), atol=1e-4)
