"""Converts per-crop outputs to camera-space motion.

The network reads a video at even moments (see `sampling`), in crop windows that move
from chunk to chunk, and predicts a shape for each. The motion has a row for every frame
of the video, one shape, and positions in image pixels and in metres.
"""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from mhmr_jax.body import smpl
from mhmr_jax.geometry import pinhole
from mhmr_jax.geometry import rotations as rot
from mhmr_jax.inference.sampling import Rows
from mhmr_jax.inference.seen_motion import SeenMotion
from mhmr_jax.inference.streaming import CropOutputs
from mhmr_jax.runtime.batching import in_batches

# At this scale a person of 2 m takes up a tenth of the crop. Smaller ones are errors of
# the network, and the depth, which is their inverse, would grow without bound.
_MIN_SCALE = 0.1
_MIN_LENGTH = 1e-6  # Of the mean of two unit vectors, so that their unit is finite.
_MIN_DEPTH = 0.1  # Metres; the joint nearest to the camera lies beyond it.
# A row this near to a moment of the network is at it; in steps from one to the next.
_ROUNDING = 1e-4
_ROWS = 256  # That are computed at once.


class Placed(NamedTuple):
  """One person's motion in the camera frame, with a row for every frame.

  The fields of `seen` and the other ones are those of `schema.Motion`.
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
    outputs: of all chunks of the video.
    rows: the frames in which the person is followed.
    intrinsics: of the video, or of each row; without skew.
    pelvis_fitted: the pelvis of each moment of `outputs` in the camera frame, metres,
      as `keypoint_fit` finds it. The outputs' weak-perspective cameras are then not
      read, and the motion's are those that are tangent at the pelvis.
    betas: the person's shape; None: the median over all moments.
  """
  betas = np.median(outputs.betas, axis=0) if betas is None else betas
  left, right, weight = _between(outputs, rows)
  rotations = in_batches(
    lambda at: _slerp(
      outputs.rotations[left[at]], outputs.rotations[right[at]], weight[at]
    ),
    len(weight),
    _ROWS,
  )
  box = _linear(outputs.box, left, right, weight)
  joints = _relative_joints(body, rotations, betas)

  if pelvis_fitted is None:
    scale, pelvis = _image_camera(outputs.camera, outputs.box)
    scale = _refitted(scale, body, outputs, betas)
    scale = _linear(scale, left, right, weight)
    pelvis = _linear(pelvis, left, right, weight)
    keypoints = pelvis[:, None] + scale[:, None, None] * joints[..., :2]
    pelvis_camera = _in_front(
      pinhole.translation(joints, keypoints, intrinsics),
      joints,
      scale,
      pelvis,
      intrinsics,
    )
  else:
    pelvis_camera = _pushed(_linear(pelvis_fitted, left, right, weight), joints)
    pelvis = pinhole.project(pelvis_camera, intrinsics)
    scale = intrinsics[..., [0, 1], [0, 1]].mean(axis=-1) / pelvis_camera[:, 2]
  joints_camera = joints + pelvis_camera[:, None]
  # SMPL's `transl` moves the body from its rest pose, whose pelvis lies here.
  root = (
    np.asarray(body.joint_template)[0] + np.asarray(body.joint_shapedirs)[0] @ betas
  )
  down = _linear(outputs.gravity, left, right, weight)
  seen = SeenMotion(
    times=rows.times,
    pose=in_batches(lambda at: _axis_angle(rotations[at]), len(weight), _ROWS),
    betas=np.broadcast_to(betas, (len(weight), 10)),
    transl_camera=_single(pelvis_camera - root),
    joints_camera=_single(joints_camera),
    gravity=_single(down / np.maximum(_length(down), _MIN_LENGTH)),
    standing=_single(_linear(outputs.standing, left, right, weight)),
  )
  return Placed(
    frame_index=rows.frame_index,
    detected=rows.detected,
    seen=seen,
    camera=_single(_crop_camera(scale, pelvis, box)),
    box=_single(box),
    # Not those of weak perspective, which are a few pixels off.
    keypoints_image=_single(
      pinhole.project(joints_camera, intrinsics[..., None, :, :])
    ),
  )


def _length(vectors: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 1"]:
  return np.linalg.norm(vectors, axis=-1, keepdims=True)


def _single(values: np.ndarray) -> np.ndarray:
  return np.asarray(values, np.float32)


_joints_from_matrices = jax.jit(smpl.joints_from_matrices)
_axis_angle = jax.jit(rot.matrix_to_axis_angle)
_slerp = jax.jit(rot.slerp)


def _relative_joints(
  body: smpl.SmplModel, rotations: np.ndarray, betas: np.ndarray
) -> Float[np.ndarray, "frames 24 3"]:
  """The joints relative to the pelvis, along the camera's axes; metres."""
  betas = np.broadcast_to(np.float32(betas), (len(rotations), 10))
  origin = np.zeros((len(rotations), 3), np.float32)
  joints = in_batches(
    lambda at: _joints_from_matrices(body, rotations[at], betas[at], origin[at]),
    len(rotations),
    _ROWS,
  )
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
  own_shape = _relative_joints(body, outputs.rotations, outputs.betas)[..., :2]
  one_shape = _relative_joints(body, outputs.rotations, betas)[..., :2]
  products, squares = own_shape * one_shape, np.square(one_shape)
  return np.asarray(scale * products.sum((1, 2)) / squares.sum((1, 2)))


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
