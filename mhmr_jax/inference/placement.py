"""From what the network says of crops to one motion of a person in space.

The network sees every k-th frame, in windows that move from chunk to chunk; a person
has one shape. Here rows are made for all frames, in image pixels and in metres.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mhmr_jax.body import smpl
from mhmr_jax.geometry import pinhole
from mhmr_jax.geometry import rotations as rot
from mhmr_jax.inference.streaming import CropOutputs
from mhmr_jax.schema import Motion

# A person of 2 m is then a tenth of the crop; less is the network's slip, and the
# depth would run away.
_MIN_SCALE = 0.1
_MIN_DEPTH = 0.1  # Metres, of the joint nearest to the camera.


def place(
  body: smpl.SmplModel,
  raw: CropOutputs,
  spans: list[tuple[int, int]],
  intrinsics: Float[np.ndarray, "3 3"],
) -> Motion:
  """Makes a row for every frame of the spans (the first and last of each segment).

  Between the frames that the network saw, rotations are interpolated on the sphere
  and image positions linearly; after a segment's last one they stay. The person's
  shape is the median over all frames; each frame's scale is fitted anew to it, so
  that the size in the image stays.
  """
  betas = np.median(raw.betas, axis=0)
  scale, pelvis = _image_camera(raw.camera, raw.box)
  said = _relative_joints(body, raw.rotations, raw.betas)[..., :2]
  ours = _relative_joints(body, raw.rotations, betas)[..., :2]
  scale = scale * (said * ours).sum((1, 2)) / np.square(ours).sum((1, 2))

  frames, left, right, weight = _between(raw, spans)
  rotations = np.asarray(_slerp(raw.rotations[left], raw.rotations[right], weight))
  scale = _linear(scale, left, right, weight)
  pelvis = _linear(pelvis, left, right, weight)
  box = _linear(raw.box, left, right, weight)

  joints = _relative_joints(body, rotations, betas)
  keypoints = pelvis[:, None] + scale[:, None, None] * joints[..., :2]
  moved = _in_front(
    pinhole.translation(joints, keypoints, intrinsics),
    joints,
    scale,
    pelvis,
    intrinsics,
  )
  # Where the unposed body has its pelvis: SMPL's `transl` does not start there.
  root = (
    np.asarray(body.joint_template)[0] + np.asarray(body.joint_shapedirs)[0] @ betas
  )
  columns = Motion(
    frame_index=frames,
    pose=np.asarray(_axis_angle(rotations)),
    betas=np.broadcast_to(betas, (len(frames), 10)),
    camera=_crop_camera(scale, pelvis, box),
    box=box,
    transl_camera=moved - root,
    joints_camera=joints + moved[:, None],
    keypoints_image=keypoints,
  )
  floats = (np.asarray(column, np.float32) for column in columns[1:])
  return Motion(frames, *floats)


_joints_from_matrices = jax.jit(smpl.joints_from_matrices)
_axis_angle = jax.jit(rot.matrix_to_axis_angle)


def _relative_joints(
  body: smpl.SmplModel, rotations: np.ndarray, betas: np.ndarray
) -> Float[np.ndarray, "frames 24 3"]:
  """Joints relative to the pelvis, axes of the camera frame; metres."""
  betas = np.broadcast_to(betas, (len(rotations), 10)).astype(np.float32)
  transl = np.zeros((len(rotations), 3), np.float32)
  joints = np.asarray(_joints_from_matrices(body, rotations, betas, transl))
  return joints - joints[:, :1]


def _image_camera(
  camera: np.ndarray, box: np.ndarray
) -> tuple[Float[np.ndarray, "frames"], Float[np.ndarray, "frames 2"]]:
  """Weak perspective in the image: px a metre, and where the pelvis is."""
  half = (box[:, 2] - box[:, 0]) / 2
  centre = (box[:, :2] + box[:, 2:]) / 2
  pelvis = centre + half[:, None] * camera[:, :1] * camera[:, 1:]
  return half * np.maximum(camera[:, 0], _MIN_SCALE), pelvis


def _crop_camera(
  scale: np.ndarray, pelvis: np.ndarray, box: np.ndarray
) -> Float[np.ndarray, "frames 3"]:
  """The inverse: [s, tx, ty] with crop = s * (xy + t)."""
  half = (box[:, 2] - box[:, 0]) / 2
  centre = (box[:, :2] + box[:, 2:]) / 2
  shift = (pelvis - centre) / scale[:, None]
  return np.concatenate([(scale / half)[:, None], shift], axis=-1)


def _between(
  raw: CropOutputs, spans: list[tuple[int, int]]
) -> tuple[
  Int[np.ndarray, "N"],
  Int[np.ndarray, "N"],
  Int[np.ndarray, "N"],
  Float[np.ndarray, "N"],
]:
  """The frames of the spans, their neighbours in `raw`, and the second's weight."""
  frames = np.concatenate([np.arange(first, last + 1) for first, last in spans])
  left = np.searchsorted(raw.frames, frames, side="right") - 1
  right = np.minimum(left + 1, len(raw.frames) - 1)
  right = np.where(raw.segment[right] == raw.segment[left], right, left)
  interval = np.maximum(raw.frames[right] - raw.frames[left], 1)
  weight = np.where(right > left, (frames - raw.frames[left]) / interval, 0)
  return frames, left, right, weight.astype(np.float32)


def _linear(
  values: np.ndarray, left: np.ndarray, right: np.ndarray, weight: np.ndarray
) -> np.ndarray:
  weight = weight.reshape(-1, *[1] * (values.ndim - 1))
  return (1 - weight) * values[left] + weight * values[right]


@jax.jit
def _slerp(
  start: Float[Array, "N 24 3 3"],
  end: Float[Array, "N 24 3 3"],
  weight: Float[Array, "N"],
) -> Float[Array, "N 24 3 3"]:
  """Turns from start to end about one axis, at constant speed."""
  precise = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
  turn = rot.matrix_to_axis_angle(precise("...ji,...jk->...ik", start, end))
  part = rot.axis_angle_to_matrix(weight[:, None, None] * turn)
  return precise("...ij,...jk->...ik", start, part)


def _in_front(
  moved: Float[np.ndarray, "N 3"],
  joints: Float[np.ndarray, "N 24 3"],
  scale: Float[np.ndarray, "N"],
  pelvis: Float[np.ndarray, "N 2"],
  intrinsics: Float[np.ndarray, "3 3"],
) -> Float[np.ndarray, "N 3"]:
  """Replaces a translation that puts joints behind the camera.

  Weak perspective can show poses that no camera so near can: the depth is then that
  at which a metre has its length in the image.
  """
  focal = intrinsics[[0, 1], [0, 1]]
  depth = focal.mean() / scale
  far = np.append((pelvis - intrinsics[:2, 2]) / focal, np.ones((len(scale), 1)), -1)
  nearest = moved[:, 2] + joints[..., 2].min(axis=1)
  return np.where(nearest[:, None] > _MIN_DEPTH, moved, far * depth[:, None])
