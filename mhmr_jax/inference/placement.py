"""Converts per-crop outputs to camera-space motion.

The network reads a video at even moments (see `sampling`), in crop windows that change
from chunk to chunk, and predicts a shape at each. The motion has a row for every frame
of the video, one shape, and positions in image pixels and in metres.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial.transform import Rotation

from mhmr_jax.body import host_joints, smpl
from mhmr_jax.geometry import pinhole
from mhmr_jax.inference.sampling import Rows
from mhmr_jax.inference.seen_motion import SeenMotion
from mhmr_jax.inference.streaming import CropOutputs
from mhmr_jax.runtime.batching import blocks

# At this scale a person of 2 m takes up a tenth of the crop. Smaller ones are errors of
# the network, and the depth, which is their inverse, would grow without bound.
_MIN_SCALE = 0.1
_MIN_LENGTH = 1e-6  # The least length of a mean of unit vectors that is normalised.
_MIN_DEPTH = 0.1  # Metres; the joint nearest to the camera lies beyond it.
# A row this near to a moment of the network is at it; in steps from one to the next.
_ROUNDING = 1e-4
_ROWS = 256  # Rows that are computed at once, to save memory.


class Placed(NamedTuple):
  """One person's motion in the camera frame, with a row for every frame.

  The fields, and those of `seen`, are those of `schema.Motion`.
  """

  frame_index: Int[np.ndarray, "N"]
  detected: Bool[np.ndarray, "N"]
  seen: SeenMotion
  camera: Float[np.ndarray, "N 3"]
  box: Float[np.ndarray, "N 4"]
  keypoints_image: Float[np.ndarray, "N 24 2"]


def place(
  body: smpl.SmplModel,
  outputs: CropOutputs,
  rows: Rows,
  intrinsics: Float[np.ndarray, "*N 3 3"],
  pelvis_fitted: Float[np.ndarray, "frames 3"] | None = None,
  betas: Float[np.ndarray, "10"] | None = None,
) -> Placed:
  """Makes the person's motion in the frames of `rows`.

  Between the moments of the network, rotations are interpolated on the sphere and image
  positions linearly; after a segment's last one they stay constant. Each row's scale is
  fitted anew to the person's one shape by least squares, so that their size in the
  image stays.

  Args:
    body: the neutral body, which the network predicts.
    outputs: the outputs of all chunks of the video.
    rows: the frames in which the person is followed.
    intrinsics: those of the video, or of each row; without skew.
    pelvis_fitted: the pelvis of each moment of `outputs` in the camera frame, metres,
      as `keypoint_fit` finds it. The outputs' weak-perspective cameras are then not
      read; the motion's cameras approximate the perspective ones at the pelvis.
    betas: the person's shape; None: the median over all moments.
  """
  betas = np.median(outputs.betas, axis=0) if betas is None else betas
  left, right, weight = _between(outputs, rows)
  box = _linear(outputs.box, left, right, weight)
  if pelvis_fitted is None:
    scale, pelvis = _image_camera(outputs.camera, outputs.box)
    scale = _refitted(scale, body, outputs, betas)
    scale = _linear(scale, left, right, weight)
    pelvis = _linear(pelvis, left, right, weight)
  else:
    fitted = _linear(pelvis_fitted, left, right, weight)

  count = len(weight)
  pose, joints_camera = np.empty((2, count, 24, 3), np.float32)
  keypoints_image = np.empty((count, 24, 2), np.float32)
  pelvis_camera = np.empty((count, 3))
  for at in blocks(count, _ROWS):
    rotations = _slerp(
      outputs.rotations[left[at]], outputs.rotations[right[at]], weight[at]
    )
    own_intrinsics = intrinsics if intrinsics.ndim == 2 else intrinsics[at]
    joints = _relative_joints(body, rotations, betas)
    if pelvis_fitted is None:
      origin = _seen_from(joints, scale[at], pelvis[at], own_intrinsics)
    else:
      origin = _pushed(fitted[at], joints)
    joints = joints + origin[:, None]
    pose[at], pelvis_camera[at], joints_camera[at] = (
      _axis_angle(rotations),
      origin,
      joints,
    )
    # Not those of weak perspective, which are a few pixels off.
    keypoints_image[at] = pinhole.project(joints, own_intrinsics[..., None, :, :])

  if pelvis_fitted is not None:
    pelvis = pinhole.project(pelvis_camera, intrinsics)
    scale = intrinsics[..., [0, 1], [0, 1]].mean(axis=-1) / pelvis_camera[:, 2]
  # SMPL's `transl` moves the body from its rest pose, whose pelvis lies here.
  root = (
    np.asarray(body.joint_template)[0] + np.asarray(body.joint_shapedirs)[0] @ betas
  )
  down = _linear(outputs.gravity, left, right, weight)
  seen = SeenMotion(
    times=rows.times,
    pose=pose,
    betas=np.broadcast_to(betas, (count, 10)),
    transl_camera=_single(pelvis_camera - root),
    joints_camera=joints_camera,
    gravity=_single(down / np.maximum(_length(down), _MIN_LENGTH)),
    standing=_single(_linear(outputs.standing, left, right, weight)),
  )
  return Placed(
    frame_index=rows.frame_index,
    detected=rows.detected,
    seen=seen,
    camera=_single(_crop_camera(scale, pelvis, box)),
    box=_single(box),
    keypoints_image=keypoints_image,
  )


def _length(vectors: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 1"]:
  return np.linalg.norm(vectors, axis=-1, keepdims=True)


def _single(values: np.ndarray) -> np.ndarray:
  return np.asarray(values, np.float32)


def _slerp(
  start: Float[np.ndarray, "n 24 3 3"],
  end: Float[np.ndarray, "n 24 3 3"],
  weight: Float[np.ndarray, "n"],
) -> Float[np.ndarray, "n 24 3 3"]:
  """Interpolates poses: turns every joint from start to end about one axis."""
  if not weight.any():
    return start
  turn = _axis_angle(np.swapaxes(start, -1, -2) @ end) * weight[:, None, None]
  part = Rotation.from_rotvec(turn.reshape(-1, 3)).as_matrix()
  return start @ _single(part).reshape(start.shape)


def _axis_angle(
  rotations: Float[np.ndarray, "n 24 3 3"],
) -> Float[np.ndarray, "n 24 3"]:
  turns = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_rotvec()
  return _single(turns).reshape(*rotations.shape[:-1])


def _relative_joints(
  body: smpl.SmplModel,
  rotations: Float[np.ndarray, "n 24 3 3"],
  betas: Float[np.ndarray, "*n 10"],
) -> Float[np.ndarray, "n 24 3"]:
  """The joints relative to the pelvis, along the camera's axes; metres."""
  each = np.broadcast_to(betas, (len(rotations), 10))
  joints = host_joints.bones(body, rotations, each).joints
  return joints - joints[:, :1]


def _refitted(
  scale: Float[np.ndarray, "frames"],
  body: smpl.SmplModel,
  outputs: CropOutputs,
  betas: Float[np.ndarray, "10"],
) -> Float[np.ndarray, "frames"]:
  """Fits each frame's scale to the shape `betas` in place of the frame's own.

  The joints' x and y, as weak perspective shows them, then agree in least squares.
  """
  ratio = np.empty(len(scale))
  for at in blocks(len(scale), _ROWS):
    rotations = outputs.rotations[at]
    own_shape = _relative_joints(body, rotations, outputs.betas[at])[..., :2]
    one_shape = _relative_joints(body, rotations, betas)[..., :2]
    products, squares = own_shape * one_shape, np.square(one_shape)
    ratio[at] = products.sum((1, 2)) / squares.sum((1, 2))
  return scale * ratio


def _seen_from(
  joints: Float[np.ndarray, "n 24 3"],
  scale: Float[np.ndarray, "n"],
  pelvis: Float[np.ndarray, "n 2"],
  intrinsics: Float[np.ndarray, "*n 3 3"],
) -> Float[np.ndarray, "n 3"]:
  """The pelvis in the camera frame of a body that weak perspective shows."""
  keypoints = pelvis[:, None] + scale[:, None, None] * joints[..., :2]
  translation = pinhole.translation(joints, keypoints, intrinsics)
  return _in_front(translation, joints, scale, pelvis, intrinsics)


def _image_camera(
  camera: np.ndarray, box: np.ndarray
) -> tuple[Float[np.ndarray, "frames"], Float[np.ndarray, "frames 2"]]:
  """Weak perspective in the image: pixels a metre, and the pelvis in pixels."""
  half = (box[:, 2] - box[:, 0]) / 2
  centre = (box[:, :2] + box[:, 2:]) / 2
  pelvis = centre + half[:, None] * camera[:, :1] * camera[:, 1:]
  return half * np.maximum(camera[:, 0], _MIN_SCALE), pelvis


def _crop_camera(
  scale: np.ndarray, pelvis: np.ndarray, box: np.ndarray
) -> Float[np.ndarray, "frames 3"]:
  """The inverse of `_image_camera`: [s, tx, ty] with crop = s * (xy + t)."""
  half = (box[:, 2] - box[:, 0]) / 2
  centre = (box[:, :2] + box[:, 2:]) / 2
  shift = (pelvis - centre) / scale[:, None]
  return np.concatenate([(scale / half)[:, None], shift], axis=-1)


def _between(
  outputs: CropOutputs, rows: Rows
) -> tuple[
  Int[np.ndarray, "N"],
  Int[np.ndarray, "N"],
  Float[np.ndarray, "N"],
]:
  """The places of the rows between the moments of the network.

  Returns:
    The indices in `outputs` of the moments before and after each row, and the weight of
    the moment after.
  """
  times = outputs.times
  step = np.diff(times).min(initial=1.0)
  left = np.searchsorted(times, rows.times + _ROUNDING * step, side="right") - 1
  left = np.maximum(left, np.searchsorted(outputs.segment, rows.segment))
  right = np.minimum(left + 1, len(times) - 1)
  right = np.where(outputs.segment[right] == outputs.segment[left], right, left)
  interval = np.where(right > left, times[right] - times[left], 1)
  weight = np.where(right > left, (rows.times - times[left]) / interval, 0)
  weight = np.where(weight < _ROUNDING, 0, weight)
  return left, right, weight.astype(np.float32)


def _linear(
  values: np.ndarray, left: np.ndarray, right: np.ndarray, weight: np.ndarray
) -> np.ndarray:
  weight = weight.reshape(-1, *[1] * (values.ndim - 1))
  return (1 - weight) * values[left] + weight * values[right]


def _pushed(
  pelvis_camera: Float[np.ndarray, "N 3"], joints: Float[np.ndarray, "N 24 3"]
) -> Float[np.ndarray, "N 3"]:
  """Moves pelvises along their rays until all joints are in front of the camera."""
  least = _MIN_DEPTH - joints[..., 2].min(axis=1)
  depth = pelvis_camera[:, 2]
  return pelvis_camera * (np.maximum(depth, least) / depth)[:, None]


def _in_front(
  pelvis_camera: Float[np.ndarray, "N 3"],
  joints: Float[np.ndarray, "N 24 3"],
  scale: Float[np.ndarray, "N"],
  pelvis: Float[np.ndarray, "N 2"],
  intrinsics: Float[np.ndarray, "*N 3 3"],
) -> Float[np.ndarray, "N 3"]:
  """Replaces positions of the pelvis that put joints behind the camera.

  Weak perspective has no camera position, so that the perspective camera which fits it
  best may lie within the body. The pelvis then gets the depth at which a metre has the
  length in the image that weak perspective gives it.
  """
  focal = intrinsics[..., [0, 1], [0, 1]]
  depth = focal.mean(axis=-1) / scale
  far = np.append(
    (pelvis - intrinsics[..., :2, 2]) / focal, np.ones((len(scale), 1)), -1
  )
  nearest = pelvis_camera[:, 2] + joints[..., 2].min(axis=1)
  return np.where(nearest[:, None] > _MIN_DEPTH, pelvis_camera, far * depth[:, None])
