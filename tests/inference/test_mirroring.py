"""Mirroring of a network's inputs and predictions."""

import jax
import numpy as np
from scipy.spatial.transform import Rotation

from mhmr_jax.body import joints, smpl
from mhmr_jax.data import transforms
from mhmr_jax.inference import mirroring
from mhmr_jax.models.predicted_joints import predicted_joints
from mhmr_jax.schema import Prediction

SIZE = 16
FRAMES = 3


def make_inputs():
  rng = np.random.default_rng(0)
  keypoints = rng.uniform(1, SIZE, (FRAMES, 17, 3)).astype(np.float32)
  keypoints[0, 3] = 0  # A missing point.
  return {
    "rgb": rng.integers(0, 255, (FRAMES, SIZE, SIZE, 3), np.uint8),
    "flow": rng.normal(size=(FRAMES, SIZE, SIZE, 2)).astype(np.float16),
    "keypoints": keypoints,
    "window": np.array([0.1, 0.2, 0.3], np.float32),
  }


def make_prediction():
  rng = np.random.default_rng(1)
  rotations = Rotation.random(FRAMES * 24, rng).as_matrix().astype(np.float32)
  down = rng.normal(size=(1, FRAMES, 3)).astype(np.float32)
  return Prediction(
    rotations=rotations.reshape(1, FRAMES, 24, 3, 3),
    betas=rng.normal(size=(1, FRAMES, 10)).astype(np.float32),
    camera=rng.normal(size=(1, FRAMES, 3)).astype(np.float32),
    gravity=down / np.linalg.norm(down, axis=-1, keepdims=True),
    standing_logits=rng.normal(size=(1, FRAMES, 2)).astype(np.float32),
  )


mirror_inputs = jax.jit(transforms.mirror_inputs, static_argnums=1)
mirror_prediction = jax.jit(mirroring.mirror_prediction)
average = jax.jit(mirroring.average)


def assert_equal(ours, theirs, atol=0.0):
  assert ours.keys() == theirs.keys()
  for key in ours:
    np.testing.assert_allclose(ours[key], theirs[key], atol=atol, err_msg=key)


def test_inputs_are_mirrored_as_training_mirrors_them():
  example = make_inputs()
  batch = {key: value[None] for key, value in example.items()}
  mirrored = mirror_inputs(batch, SIZE)
  flipped = transforms.flip(example, SIZE)
  assert_equal({key: np.asarray(value)[0] for key, value in mirrored.items()}, flipped)


def test_a_missing_point_stays_missing():
  batch = {key: value[None] for key, value in make_inputs().items()}
  mirrored = mirror_inputs(batch, SIZE)
  assert not np.asarray(mirrored["keypoints"])[0, 0, joints.COCO_FLIP[3]].any()


def test_mirroring_a_prediction_twice_changes_nothing():
  prediction = make_prediction()
  twice = mirror_prediction(mirror_prediction(prediction))
  assert_equal(twice, prediction)


def test_a_mirrored_prediction_has_mirrored_joints():
  # The free body's rest joints are symmetric only without a random shape.
  betas = np.zeros((1, FRAMES, 10), np.float32)
  prediction = make_prediction() | {"betas": betas}
  body, place = smpl.load(), jax.jit(predicted_joints)
  in_space, on_crop = jax.device_get(place(body, prediction))
  mirrored = place(body, mirror_prediction(prediction))
  flip = np.array(joints.SMPL_FLIP)
  signs = np.array([-1, 1, 1])
  np.testing.assert_allclose(mirrored[0], in_space[..., flip, :] * signs, atol=2e-3)
  np.testing.assert_allclose(mirrored[1], on_crop[..., flip, :] * signs[:2], atol=5e-3)


def test_the_average_of_equal_predictions_is_that_prediction():
  prediction = make_prediction()
  assert_equal(average(prediction, prediction), prediction, atol=1e-5)


def test_an_average_has_rotations_and_a_unit_gravity():
  one, other = make_prediction(), mirror_prediction(make_prediction())
  mean = average(one, other)
  product = np.einsum("...ij,...ik->...jk", mean["rotations"], mean["rotations"])
  np.testing.assert_allclose(
    product, np.broadcast_to(np.eye(3), product.shape), atol=1e-4
  )
  np.testing.assert_allclose(np.linalg.norm(mean["gravity"], axis=-1), 1, atol=1e-5)
