"""Inputs, targets and flips, against plain formulas."""

import cv2
import jax
import numpy as np

from mhmr_jax.body import joints
from mhmr_jax.data import transforms
from mhmr_jax.data.input_spec import InputSpec
from tests.data.clips import make_clip


def textured(shift: float) -> np.ndarray:
  rng = np.random.default_rng(3)
  noise = cv2.GaussianBlur(rng.random((240, 240)).astype(np.float32), (0, 0), 3)
  noise = cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX)
  matrix = np.float32([[1, 0, shift], [0, 1, 0]])
  moved = cv2.warpAffine(noise, matrix, (240, 240), flags=cv2.INTER_CUBIC)
  return np.clip(moved, 0, 255).astype(np.uint8)


def test_flow_points_from_the_frame_before_in_crop_pixels():
  frames = [textured(shift) for shift in (0.0, 4.0, 8.0)]
  box = np.array([40.0, 40, 200, 200], np.float32)
  spec = InputSpec(
    inputs=("flow",),
    size=80,
    window=2,
    window_scale=1.0,
    flow_source="dis",
    flow_preset="medium",
    noise=None,
  )
  batch = transforms.model_inputs(
    frames[1:],
    np.zeros((2, 17, 3), np.float32),
    box,
    spec,
    previous=frames[0],
  )
  assert batch["flow"].shape == (2, 80, 80, 2)
  # Four image pixels are two pixels of a crop at half the size.
  middle = batch["flow"][:, 20:-20, 20:-20].astype(float)
  assert np.abs(middle[..., 0] - 2).mean() < 0.2
  assert np.abs(middle[..., 1]).mean() < 0.2
  first = transforms.dis_flow(frames[:2], None, "medium")
  assert not first[0].any()


def example() -> dict[str, np.ndarray]:
  rng = np.random.default_rng(1)
  keypoints = rng.uniform(5, 60, (3, 17, 3)).astype(np.float32)
  keypoints[1, 4] = 0
  return {
    "rgb": rng.integers(0, 255, (3, 64, 64, 3), dtype=np.uint8),
    "flow": rng.normal(size=(3, 64, 64, 2)).astype(np.float16),
    "keypoints": keypoints,
    "pose": rng.normal(size=(3, 24, 3)).astype(np.float32),
    "betas": rng.normal(size=10).astype(np.float32),
    "joints_camera": rng.normal(size=(3, 24, 3)).astype(np.float32),
    "joints_crop": rng.normal(size=(3, 24, 2)).astype(np.float32),
    "visibility": rng.integers(0, 2, (3, 24)).astype(np.float32),
    "valid": np.array([True, True, False]),
  }


def test_flip_twice_is_the_identity():
  batch = example()
  twice = transforms.flip(transforms.flip(batch, 64), 64)
  assert twice.keys() == batch.keys()
  for key, value in batch.items():
    np.testing.assert_allclose(twice[key], value, atol=1e-5, err_msg=key)


def test_flip_moves_everything_to_the_mirrored_place_and_name():
  batch = example()
  flipped = transforms.flip(batch, 64)
  left = joints.COCO_KEYPOINTS.index("left_wrist")
  right = joints.COCO_KEYPOINTS.index("right_wrist")
  np.testing.assert_allclose(
    flipped["keypoints"][0, right, 0], 64 - batch["keypoints"][0, left, 0]
  )
  assert not flipped["keypoints"][1, joints.COCO_FLIP[4]].any()
  np.testing.assert_array_equal(flipped["rgb"][0, 7, 3], batch["rgb"][0, 7, 60])
  np.testing.assert_array_equal(
    flipped["flow"][0, 7, 3], batch["flow"][0, 7, 60] * np.float16([-1, 1])
  )
  knee = joints.SMPL_JOINTS.index("left_knee"), joints.SMPL_JOINTS.index("right_knee")
  for key in ("joints_camera", "joints_crop"):
    np.testing.assert_allclose(
      flipped[key][:, knee[1], 0], -batch[key][:, knee[0], 0], err_msg=key
    )


def test_targets_project_into_the_crop():
  joints_camera = np.zeros((1, 24, 3), np.float32)
  joints_camera[0] = [0.5, -0.25, 4.0]
  joints_camera[0, 3, 2] = -1.0
  intrinsics = np.array([[400.0, 0, 160], [0, 400, 120], [0, 0, 1]], np.float32)
  clip = {
    "pose": np.zeros((1, 24, 3)),
    "betas": np.zeros(10),
    "joints_camera": joints_camera,
    "visibility": np.ones((1, 24)),
    "valid": np.ones(1, bool),
    "intrinsics": intrinsics,
  }
  box = np.array([110.0, 45, 310, 245])
  result = transforms.targets(clip, slice(0, 1), box)
  # 400 * 0.5 / 4 + 160 = 210 is the middle of 110..310; 95 a quarter of 45..245.
  np.testing.assert_allclose(result["joints_crop"][0, 0], [0.0, -0.5], atol=1e-6)
  assert result["visibility"][0, 3] == 0
  assert result["visibility"][0, 0] == 1
  assert np.isfinite(result["joints_crop"]).all()
  del clip["visibility"]
  again = transforms.targets(clip, slice(0, 1), box)
  for key, value in result.items():
    np.testing.assert_array_equal(again[key], value, err_msg=key)


def test_without_labels_frames_are_valid_or_not_and_zeros_stand_in():
  clip = make_clip(3)
  box = np.array([0.0, 0, 64, 64])
  labelled = transforms.targets(clip, slice(2, 7), box)
  valid = np.arange(len(clip["valid"])) != 4
  unlabelled = transforms.targets({"valid": valid}, slice(2, 7), box)
  assert unlabelled.keys() == {"valid"}
  np.testing.assert_array_equal(unlabelled["valid"], [1, 1, 0, 1, 1])
  zeros = transforms.no_labels(5)
  assert zeros.keys() == labelled.keys() - {"valid"}
  for key, value in zeros.items():
    assert (value.shape, value.dtype) == (labelled[key].shape, labelled[key].dtype)
    assert not value.any()


def test_targets_of_a_weak_perspective_camera():
  rng = np.random.default_rng(0)
  clip = {
    "pose": np.zeros((2, 24, 3)),
    "betas": np.zeros(10),
    "joints_camera": rng.normal(size=(2, 24, 3)),  # Half of them at z < 0.
    "valid": np.array([True, False]),
    "camera_image": np.array([[100.0, 0.4, -0.2], [50, 1, 2]]),
  }
  box = np.array([10.0, 20, 90, 100])
  result = transforms.targets(clip, slice(1, 2), box)
  x, y = clip["joints_camera"][1, 5, :2]
  expected = [(50 * (x + 1) - 10) / 40 - 1, (50 * (y + 2) - 20) / 40 - 1]
  np.testing.assert_allclose(result["joints_crop"][0, 5], expected, atol=1e-5)
  assert result["visibility"].all()
  assert not result["valid"].any()


def test_a_mirrored_window_lies_on_the_other_side_of_the_camera():
  batch = {**example(), "window": np.float32([0.2, -0.1, 0.3])}
  flipped = transforms.flip(batch, 64)
  np.testing.assert_allclose(flipped["window"], [-0.2, -0.1, 0.3])

  def in_camera(side):
    crop = side["keypoints"][0, :, :2] / 32 - 1
    return side["window"][:2] + side["window"][2] * crop

  expected = in_camera(batch)[np.array(joints.COCO_FLIP)] * [-1, 1]
  np.testing.assert_allclose(in_camera(flipped), expected, atol=1e-5)
  np.testing.assert_array_equal(transforms.flip(flipped, 64)["window"], batch["window"])


def test_the_window_in_the_camera_is_an_input_where_it_is_asked_for():
  box = np.float32([10, 20, 90, 100])
  intrinsics = np.array([[200, 0, 64], [0, 200, 48], [0, 0, 1]], np.float32)
  spec = InputSpec(
    inputs=("keypoints",),
    size=80,
    window=2,
    window_scale=1.0,
    flow_source="dis",
    flow_preset="fast",
    noise=None,
    window_in_camera=True,
  )
  points = np.ones((2, 17, 3), np.float32)
  batch = transforms.model_inputs([], points, box, spec, None, intrinsics)
  np.testing.assert_allclose(batch["window"], [-0.07, 0.06, 0.2], rtol=1e-5)
  assert spec.host_inputs == ("keypoints", "window")


def test_half_precision_is_numpys():
  rng = np.random.default_rng(2)
  flow = rng.normal(0, 30, (3, 8, 6, 2)).astype(np.float32)
  flow[0, 0] = [[0, 1e-9], [511, -511], [6e-5, -6e-8], [2049, 2051], [1, 3], [0, 0]]
  factor = float(np.float32(0.7))
  for halves, expected in (
    (transforms.half_precision(flow), flow),
    (transforms.half_precision(flow, factor), flow * np.float32(factor)),
  ):
    assert halves.dtype == np.float16
    np.testing.assert_array_equal(halves, expected.astype(np.float16))


def test_numpys_arrays_are_mirrored_as_jaxs():
  batch = {key: value for key, value in example().items() if key in ("rgb", "flow")}
  batch["flow"][0, 0, 0] = 0
  mirrored = transforms.mirror_inputs(batch, 64)
  also = transforms.mirror_inputs(jax.tree.map(jax.numpy.asarray, batch), 64)
  for key, value in mirrored.items():
    assert isinstance(value, np.ndarray)
    assert value.flags.c_contiguous
    np.testing.assert_array_equal(
      value.view(np.uint8), np.asarray(also[key]).view(np.uint8)
    )
