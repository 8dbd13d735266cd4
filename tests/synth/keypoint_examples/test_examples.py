"""Whole examples: they depend on their number alone, and their labels agree."""

import functools

import jax
import numpy as np
import pytest

from mhmr_jax.body import posed_keypoints, smpl
from mhmr_jax.keypoints.noise import KeypointNoise
from mhmr_jax.synth.keypoint_examples import examples
from mhmr_jax.synth.keypoint_examples.examples import ExampleSpec
from mhmr_jax.synth.keypoint_examples.movements import Variety
from mhmr_jax.synth.keypoint_examples.viewpoints import Viewpoints
from tests.synth.keypoint_examples import made_bank

FRAMES, SIZE, COUNT = 4, 64, 96
_SPEC = ExampleSpec(
  frames=FRAMES,
  size=SIZE,
  window_scale=1.25,
  noise=KeypointNoise(),
  # Limbs and pelvis may be anything; unbent people are upright.
  variety=Variety(),
  viewpoints=Viewpoints(),
)


@pytest.fixture(scope="module")
def body():
  return smpl.load()


@pytest.fixture(scope="module")
def make(body):
  """The generator for this file's one size of batch, compiled once."""
  jitted = jax.jit(functools.partial(examples.make_batch, _SPEC))
  constants = (made_bank.build(), body, posed_keypoints.moments(body))

  def run(numbers, seed=0):
    key = jax.random.key_data(jax.random.key(seed))
    return jax.device_get(jitted(*constants, key, np.asarray(numbers, np.uint32)))

  return run


@pytest.fixture(scope="module")
def batch(make):
  return make(np.arange(COUNT))


def test_shapes_are_those_of_a_batch(batch):
  assert {name: leaf.shape[1:] for name, leaf in batch.items()} == {
    "keypoints": (FRAMES, 17, 3),
    "window": (3,),
    "rotations": (FRAMES, 24, 3, 3),
    "betas": (10,),
    "joints_camera": (FRAMES, 24, 3),
    "joints_crop": (FRAMES, 24, 2),
    "gravity": (FRAMES, 3),
    "standing": (FRAMES, 2),
    "valid": (FRAMES,),
  }
  for name, leaf in batch.items():
    assert len(leaf) == COUNT
    assert np.isfinite(leaf).all(), name
  assert batch["valid"].all()


def test_an_example_depends_on_its_number_alone(make, batch):
  order = np.random.default_rng(0).permutation(COUNT)
  order[::3] += 1000  # Other company, too.
  other = make(order)
  kept = order < COUNT
  for name, leaf in batch.items():
    again = other[name][kept]
    np.testing.assert_array_equal(again, leaf[order[kept]], err_msg=name)
  flat = np.concatenate([batch["betas"], other["betas"][~kept]])
  assert len(np.unique(flat[:, 0])) == len(flat)


def test_the_seed_decides_too(make, batch):
  other = make(np.arange(COUNT), seed=1)
  assert np.all(other["betas"] != batch["betas"])
  large = make(np.arange(COUNT, dtype=np.uint32) + np.uint32(2**32 - COUNT))
  assert np.all(large["betas"] != batch["betas"])


def test_rotations_are_rotations(batch):
  R = batch["rotations"]
  identity = np.broadcast_to(np.eye(3), R.shape)
  np.testing.assert_allclose(R @ np.swapaxes(R, -1, -2), identity, atol=1e-4)
  np.testing.assert_allclose(np.linalg.det(R), 1, atol=1e-4)
  assert np.abs(batch["betas"]).max() <= 3
  assert batch["betas"].std() == pytest.approx(1, abs=0.1)


def test_gravity_is_down_for_people_who_stand_upright(batch):
  gravity = batch["gravity"]
  np.testing.assert_allclose(np.linalg.norm(gravity, axis=-1), 1, atol=1e-5)
  np.testing.assert_array_equal(gravity, gravity[:, :1].repeat(FRAMES, 1))
  # The made-up motion turns the pelvis about the vertical alone; bent people lean.
  up = batch["rotations"][:, :, 0, :, 1]
  upright = np.abs(up + gravity).max(axis=(1, 2)) < 1e-2
  assert upright.mean() == pytest.approx(0.65, abs=0.16)
  # Down lies lower in the image.
  assert np.all(gravity[..., 1] > 0)


def _focal(batch):
  """Each example's focal length over the assumed one, from its projected joints."""
  joints, window = batch["joints_camera"].astype(np.float64), batch["window"]
  centre, half = window[:, None, None, :2], window[:, None, None, 2:]
  seen = batch["joints_crop"] * half + centre
  rays = joints[..., :2] / joints[..., 2:]
  focal = (seen * rays).sum(axis=(1, 2, 3)) / (rays**2).sum(axis=(1, 2, 3))
  return focal, seen, rays


def test_joints_in_the_crop_are_the_pinholes(batch):
  assert batch["joints_camera"][..., 2].min() > 0.3
  focal, seen, rays = _focal(batch)
  np.testing.assert_allclose(seen, focal[:, None, None, None] * rays, atol=2e-5)
  known = np.abs(focal - 1) < 1e-4
  assert known.mean() == pytest.approx(0.5, abs=0.17)
  assert 0.3 < focal.min() < 0.9
  assert 1.1 < focal.max() < 3


def test_keypoints_are_those_of_the_skinned_body(batch, body):
  """Posed vertex by vertex, projected, and near what the detector reports."""
  own = slice(0, 12)
  forward = jax.jit(smpl.forward_matrices)
  betas = np.repeat(batch["betas"][own, None], FRAMES, axis=1)
  zeros = np.zeros((12, FRAMES, 3), np.float32)
  vertices, joints = forward(body, batch["rotations"][own], betas, zeros)
  place = batch["joints_camera"][own] - np.asarray(joints)
  np.testing.assert_allclose(place, place[:, :, :1].repeat(24, 2), atol=1e-4)
  regressor = np.asarray(body.keypoint_regressor)
  points = np.einsum("kv,btvc->btkc", regressor, vertices) + place[:, :, :1]
  focal = _focal(batch)[0][own, None, None, None]
  centre, half = (
    batch["window"][own, None, None, :2],
    batch["window"][own, None, None, 2:],
  )
  pixels = ((focal * points[..., :2] / points[..., 2:] - centre) / half + 1) * SIZE / 2
  found = batch["keypoints"][own, :, :, 2] > 0
  error = np.linalg.norm(batch["keypoints"][own][..., :2] - pixels, axis=-1)[found]
  assert np.median(error) < 0.03 * SIZE
  assert np.quantile(error, 0.8) < 0.1 * SIZE


def test_the_window_is_a_margin_round_all_detections(batch):
  found = batch["keypoints"][..., 2:] > 0
  assert 0.5 < found.mean() < 0.99
  assert not batch["keypoints"][~found[..., 0]].any()
  low = np.where(found, batch["keypoints"][..., :2], np.inf).min(axis=(1, 2))
  high = np.where(found, batch["keypoints"][..., :2], -np.inf).max(axis=(1, 2))
  # The longer side takes 1 / 1.25 of the crop, and the box is in its middle.
  np.testing.assert_allclose((high - low).max(axis=1), SIZE / 1.25, rtol=1e-3)
  np.testing.assert_allclose((low + high) / 2, SIZE / 2, atol=0.05)


def test_a_window_of_no_detection_is_blank():
  @jax.jit
  def seen(points):
    window = examples._window(points, 1.25)
    return window, examples._to_crop(points, window, SIZE)

  nothing = np.zeros((FRAMES, 17, 3), np.float32)
  window, crop = seen(nothing)
  np.testing.assert_allclose(window, [0, 0, 0.5])
  np.testing.assert_array_equal(crop, nothing)
  # A single point has a window too.
  one = nothing.copy()
  one[1, 3] = [0.2, 0.1, 0.9]
  window = np.asarray(seen(one)[0])
  np.testing.assert_allclose(window[:2], [0.2, 0.1], atol=1e-6)
  assert window[2] > 0


@pytest.mark.slow
def test_an_example_alone_is_the_one_of_a_batch(make, batch):
  """Another size of batch is another program, which rounds otherwise."""
  alone = make([7])
  for name, leaf in batch.items():
    np.testing.assert_allclose(alone[name][0], leaf[7], atol=2e-3, err_msg=name)
