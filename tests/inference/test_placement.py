"""From crops to space: translations, interpolation, one shape for a person."""

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.body import smpl
from mhmr_jax.geometry import pinhole, weak_perspective
from mhmr_jax.inference import placement
from mhmr_jax.inference.sampling import Rows
from mhmr_jax.inference.streaming import CropOutputs


@pytest.fixture(scope="module")
def body():
  return smpl.load()


def _outputs(frames, seed=0, segment=None, boxes=None):
  rng = np.random.default_rng(seed)
  count = len(frames)
  turns = rng.normal(0, 0.3, (count, 24, 3))
  turns[:, 0] += [np.pi, 0, 0]
  box = np.array([100, 50, 300, 250], np.float32)
  return CropOutputs(
    times=np.asarray(frames) / 30,
    segment=np.zeros(count, int) if segment is None else np.asarray(segment),
    rotations=Rotation.from_rotvec(turns.reshape(-1, 3))
    .as_matrix()
    .reshape(count, 24, 3, 3)
    .astype(np.float32),
    betas=rng.normal(0, 1, (count, 10)).astype(np.float32),
    camera=np.array([0.9, 0.1, -0.2], np.float32)
    + rng.normal(0, 0.02, (count, 3)).astype(np.float32),
    box=np.tile(box, (count, 1)) if boxes is None else boxes,
    gravity=np.tile(np.float32([0, 1, 0]), (count, 1)),
    standing=np.zeros((count, 2), np.float32),
  )


def _check_columns(motion, count):
  for column in (*motion.seen[1:], *motion[3:]):
    assert column.dtype == np.float32
    assert len(column) == count
    assert np.isfinite(column).all()


def _rows(*spans):
  """All frames of these spans, at 30 fps."""
  frames = np.concatenate([np.arange(first, last + 1) for first, last in spans])
  segment = np.repeat(
    np.arange(len(spans)), [last + 1 - first for first, last in spans]
  )
  return Rows(frames, frames / 30, segment, np.ones(len(frames), bool))


def _in_weak_perspective(motion):
  """The joints in the image as the crop's camera shows them, px."""
  relative = motion.seen.joints_camera - motion.seen.joints_camera[:, :1]
  crop = weak_perspective.project(relative, motion.camera)
  corner, opposite = motion.box[:, None, :2], motion.box[:, None, 2:]
  return corner + (crop + 1) / 2 * (opposite - corner)


def test_rows_agree_with_each_other(body):
  intrinsics = pinhole.centred_intrinsics(640, 480)
  motion = placement.place(body, _outputs(range(5)), _rows((0, 4)), intrinsics)
  assert motion.frame_index.tolist() == [0, 1, 2, 3, 4]
  _check_columns(motion, 5)
  joints = jax.jit(smpl.joints)(
    body, motion.seen.pose, motion.seen.betas, motion.seen.transl_camera
  )
  np.testing.assert_allclose(joints, motion.seen.joints_camera, atol=1e-4)
  perspective = pinhole.project(motion.seen.joints_camera, intrinsics)
  np.testing.assert_allclose(motion.keypoints_image, perspective, atol=0.01)
  # Weak perspective in the crop shows nearly the same picture: within 3 % of the box.
  assert np.abs(_in_weak_perspective(motion) - perspective).mean() < 0.03 * 200


def test_translation_is_within_millimetres_of_a_distant_persons(body):
  outputs = _outputs([0])
  # From far away, perspective is weak perspective: scale = focal / depth.
  focal, depth = 20_000.0, 60.0
  intrinsics = np.array([[focal, 0, 320], [0, focal, 240], [0, 0, 1]])
  scale = focal / depth
  box = np.array([[320 - scale, 240 - scale, 320 + scale, 240 + scale]], np.float32)
  outputs = outputs._replace(box=box, camera=np.array([[1.0, 0.25, -0.5]], np.float32))
  motion = placement.place(body, outputs, _rows((0, 0)), intrinsics)
  pelvis = motion.seen.joints_camera[0, 0]
  np.testing.assert_allclose(pelvis[:2], [0.25, -0.5], atol=0.005)
  np.testing.assert_allclose(pelvis[2], depth, rtol=0.01)


def test_one_shape_for_all_rows_and_the_size_in_the_image_stays(body):
  outputs = _outputs(range(9))
  intrinsics = pinhole.centred_intrinsics(640, 480)
  motion = placement.place(body, outputs, _rows((0, 8)), intrinsics)
  np.testing.assert_allclose(
    motion.seen.betas, np.median(outputs.betas, 0)[None].repeat(9, 0)
  )
  for row in range(9):
    own = CropOutputs(*(field[row : row + 1] for field in outputs))
    alone = placement.place(body, own, _rows((row, row)), intrinsics)
    extent = np.ptp(_in_weak_perspective(alone)[0], axis=0).max()
    assert np.ptp(_in_weak_perspective(motion)[row], axis=0).max() == pytest.approx(
      extent, rel=0.1
    )
    np.testing.assert_allclose(
      _in_weak_perspective(motion)[row, 0],
      _in_weak_perspective(alone)[0, 0],
      atol=0.01,
    )


def test_rows_between_the_networks_frames_are_interpolated(body):
  boxes = np.array([[0, 0, 200, 200], [40, 0, 240, 200], [40, 0, 240, 200]], np.float32)
  outputs = _outputs([10, 14, 18], boxes=boxes)
  motion = placement.place(
    body, outputs, _rows((10, 20)), pinhole.centred_intrinsics(640, 480)
  )
  assert motion.frame_index.tolist() == list(range(10, 21))
  predicted = Rotation.from_matrix(outputs.rotations[:, 5]).as_rotvec()
  np.testing.assert_allclose(motion.seen.pose[[0, 4, 8], 5], predicted, atol=1e-4)
  found = Rotation.from_rotvec(motion.seen.pose[:, 5])
  speeds = (found[:-1].inv() * found[1:]).magnitude()
  np.testing.assert_allclose(speeds[:4], speeds[0], atol=1e-4)
  assert speeds[0] > 0.01
  # After the last frame that the network was given, the pose stays.
  np.testing.assert_allclose(
    motion.seen.pose[9:], motion.seen.pose[8:9].repeat(2, 0), atol=1e-5
  )
  np.testing.assert_allclose(motion.box[1], [10, 0, 210, 200])
  # The pelvis moves straight through the image, though the windows jump.
  pelvis = _in_weak_perspective(motion)[:5, 0]
  np.testing.assert_allclose(np.diff(pelvis, 2, axis=0), 0, atol=1e-3)


def test_rows_are_not_interpolated_across_a_break(body):
  outputs = _outputs([0, 2, 100], segment=[0, 0, 1])
  motion = placement.place(
    body, outputs, _rows((0, 3), (100, 101)), pinhole.centred_intrinsics(640, 480)
  )
  assert motion.frame_index.tolist() == [0, 1, 2, 3, 100, 101]
  np.testing.assert_allclose(motion.seen.pose[3], motion.seen.pose[2], atol=1e-5)
  np.testing.assert_allclose(motion.seen.pose[5], motion.seen.pose[4], atol=1e-5)
  assert np.abs(motion.seen.pose[4] - motion.seen.pose[3]).max() > 0.05


@pytest.mark.parametrize("scale", [-3.0, 0.0, 1e-3, 50.0])
def test_camera_that_cannot_be_still_puts_the_body_in_front(body, scale):
  outputs = _outputs([0, 1])
  outputs.camera[:, 0] = scale
  motion = placement.place(
    body, outputs, _rows((0, 1)), pinhole.centred_intrinsics(640, 480)
  )
  _check_columns(motion, 2)
  assert motion.seen.joints_camera[..., 2].max() > 0


def test_depth_is_proportional_to_the_focal_length(body):
  near, far = (
    placement.place(
      body, _outputs([0, 1]), _rows((0, 1)), pinhole.centred_intrinsics(640, 480, focal)
    )
    for focal in (1500.0, 3000.0)
  )
  np.testing.assert_allclose(
    far.seen.transl_camera[:, 2] / near.seen.transl_camera[:, 2], 2, rtol=0.05
  )
  shown = (_in_weak_perspective(motion) for motion in (near, far))
  np.testing.assert_allclose(*shown, atol=0.01)


def test_a_fitted_position_replaces_the_weak_perspective_one(body):
  intrinsics = pinhole.centred_intrinsics(640, 480)
  outputs = _outputs([0, 2, 4])
  outputs = outputs._replace(betas=np.ones_like(outputs.betas))
  pelvis = np.array([[0.1, 0.2, 4], [0.3, 0.2, 5], [0.5, 0.2, 6]])
  motion = placement.place(body, outputs, _rows((0, 4)), intrinsics, pelvis)
  np.testing.assert_allclose(motion.seen.joints_camera[::2, 0], pelvis, atol=1e-5)
  np.testing.assert_allclose(
    motion.seen.joints_camera[1, 0], [0.2, 0.2, 4.5], atol=1e-5
  )
  np.testing.assert_allclose(
    motion.keypoints_image,
    pinhole.project(motion.seen.joints_camera, intrinsics),
    atol=0.01,
  )
  joints = jax.jit(smpl.joints)(
    body, motion.seen.pose, motion.seen.betas, motion.seen.transl_camera
  )
  np.testing.assert_allclose(joints, motion.seen.joints_camera, atol=1e-4)
  # The weak-perspective camera is tangent: it shows the pelvis at the same place.
  crop = weak_perspective.project(np.zeros((5, 1, 3), np.float32), motion.camera)
  corner, opposite = motion.box[:, None, :2], motion.box[:, None, 2:]
  image = corner + (crop + 1) / 2 * (opposite - corner)
  np.testing.assert_allclose(image, motion.keypoints_image[:, :1], atol=0.01)


def test_a_fitted_position_within_the_body_is_moved_before_the_camera(body):
  intrinsics = pinhole.centred_intrinsics(640, 480)
  pelvis = np.array([[0.01, 0.0, 0.05]])
  motion = placement.place(body, _outputs([0]), _rows((0, 0)), intrinsics, pelvis)
  assert motion.seen.joints_camera[..., 2].min() > 0.0999
  np.testing.assert_allclose(
    motion.seen.joints_camera[0, 0, 0] / motion.seen.joints_camera[0, 0, 2],
    0.2,
    atol=1e-4,
  )
