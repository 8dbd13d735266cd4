"""Turns frames, keypoints and labels into a network's inputs and targets.

Training, evaluation and prediction share these functions, so that a network is given
the same inputs for a stored clip and for a user's video of the same frames.
"""

import itertools
from collections.abc import Sequence
from typing import Any, TypeVar, cast

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float16, Float32

from mhmr_jax.body import joints
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.flow import dis
from mhmr_jax.geometry import pinhole, weak_perspective, windows
from mhmr_jax.schema import Batch, Clip, HostBatch

# On the host, or on the device.
_Inputs = TypeVar("_Inputs", HostBatch, Batch)
_NEGATIVE_X = np.array([-1.0, 1.0, 1.0], np.float32)
_MIN_DEPTH = 1e-3  # Metres; a joint nearer to the camera has no image.


def half_precision(
  flow: Float32[np.ndarray, "time height width 2"], factor: float = 1.0
) -> Float16[np.ndarray, "time height width 2"]:
  """Multiplies flow by a factor and converts it to the batches' half precision.

  NumPy converts one number at a time, and takes ten times as long.
  """
  rows = flow.reshape(-1, *flow.shape[2:])
  halves = cv2.addWeighted(rows, factor, rows, 0, 0, dtype=cv2.CV_16F)
  return halves.reshape(flow.shape)


def dis_flow(
  crops: Sequence[np.ndarray], previous: np.ndarray | None, preset: str
) -> Float[np.ndarray, "time size size 2"]:
  """DIS flow between neighbouring crops of one window, in crop pixels a frame.

  Args:
    crops: T images of one window.
    previous: the frame before them, cropped by the same window; if there is none, None,
      and the first flow is zero.
    preset: a preset of `dis.DisFlow`.
  """
  estimate = dis.DisFlow(preset)
  known = [] if previous is None else [previous]
  grey = [dis.grey(crop) for crop in (*known, *crops)]
  flow = np.zeros((len(crops), *grey[0].shape, 2), np.float32)
  start = 1 if previous is None else 0
  for row, pair in enumerate(itertools.pairwise(grey), start):
    flow[row] = estimate(*pair)
  return flow


def model_inputs(
  images: list[np.ndarray],
  keypoints: Float[np.ndarray, "time 17 3"],
  box: Float[np.ndarray, "4"],
  spec: InputSpec,
  previous: np.ndarray | None = None,
  intrinsics: Float[np.ndarray, "3 3"] | None = None,
) -> HostBatch:
  """The host's inputs for the frames of one crop window, without a batch axis.

  Stored flow is not among them: it is read with the clip (see `examples`).

  Args:
    images: T frames, RGB if `spec.colour`, else RGB or grey; not used unless
      `spec.needs_images`.
    keypoints: in image pixels.
    box: the window that all frames are cropped by.
    spec: which inputs to make.
    previous: the frame before the first one, if the first flow starts there.
    intrinsics: those of the frames; needed if `spec.window_in_camera`.
  """
  batch: HostBatch = {}
  if spec.needs_images:
    crops = windows.crop_images(images, box, spec.size)
    before = None
    if previous is not None and (
      spec.estimates_dis or "rgb_before" in spec.host_inputs
    ):
      before = windows.crop_image(previous, box, spec.size)
    if spec.colour:
      batch["rgb"] = crops
    if "rgb_before" in spec.host_inputs:
      batch["rgb_before"] = crops[0] if before is None else before
    if spec.estimates_dis:
      batch["flow"] = half_precision(dis_flow(list(crops), before, spec.flow_preset))
  if "keypoints" in spec.inputs:
    batch["keypoints"] = windows.crop_keypoints(keypoints, box, spec.size)
  if spec.window_in_camera:
    batch["window"] = pinhole.window_in_camera(box, cast(np.ndarray, intrinsics))
  return batch


def mirror_inputs(batch: _Inputs, size: int) -> _Inputs:
  """Mirrors a network's inputs; left and right keypoints change places.

  Args:
    batch: NumPy's or JAX's arrays, with any axes before those of the inputs. Targets
      come back as they are.
    size: side of the crop, px.
  """
  fields = cast(dict[str, Any], batch)
  mirrored = dict(fields)
  for key in sorted(fields.keys() & {"rgb", "rgb_before"}):
    mirrored[key] = _mirrored_pixels(fields[key])
  if "flow" in fields:
    mirrored["flow"] = _mirrored_flow(fields["flow"])
  if "keypoints" in fields:
    points = fields["keypoints"][..., np.array(joints.COCO_FLIP), :]
    arrays = points.__array_namespace__()
    x = arrays.where(points[..., 2:] > 0, size - points[..., :1], 0)
    mirrored["keypoints"] = arrays.concat([x, points[..., 1:]], axis=-1)
  if "window" in fields:
    mirrored["window"] = fields["window"] * _NEGATIVE_X
  return cast(_Inputs, mirrored)


def _mirrored_pixels(images: Any) -> Any:
  if not isinstance(images, np.ndarray):
    return images[..., ::-1, :]
  # NumPy reverses pixels one number at a time.
  rows = images.reshape(-1, *images.shape[-2:])
  return cv2.flip(rows, 1).reshape(images.shape)


def _mirrored_flow(flow: Any) -> Any:
  mirrored = _mirrored_pixels(flow)
  if not isinstance(flow, np.ndarray):
    return mirrored * _NEGATIVE_X[:2].astype(flow.dtype)
  # NumPy has a quick way to change the sign of half precision, but none to multiply.
  np.negative(mirrored[..., 0], out=mirrored[..., 0])
  return mirrored


def flip(batch: HostBatch, size: int) -> HostBatch:
  """Mirrors one example's inputs and targets, and exchanges left and right joints."""
  out = mirror_inputs(batch, size)
  if "pose" in batch:
    out["pose"] = joints.flip_pose(batch["pose"])
  if "joints_camera" in batch:
    out["joints_camera"] = batch["joints_camera"][:, joints.SMPL_FLIP] * _NEGATIVE_X
  if "joints_crop" in batch:
    out["joints_crop"] = batch["joints_crop"][:, joints.SMPL_FLIP] * _NEGATIVE_X[:2]
  if "visibility" in batch:
    out["visibility"] = batch["visibility"][:, joints.SMPL_FLIP]
  return out


def targets(clip: Clip, span: slice, box: Float[np.ndarray, "4"]) -> HostBatch:
  """The targets of some frames of a clip.

  Args:
    clip: as stored. Where it has no visibility, all joints in front of the camera count
      as visible. Where it has no labels, `valid` is the only target.
    span: the frames.
    box: the crop window; its corners are at -1 and 1 in the units of `joints_crop`.
  """
  if "joints_camera" not in clip:
    return HostBatch(valid=clip["valid"][span])
  joints_camera = clip["joints_camera"][span]
  joints_image, in_front = _project(clip, span)
  visibility = in_front
  if "visibility" in clip:
    visibility = clip["visibility"][span] * in_front
  return HostBatch(
    pose=clip["pose"][span].astype(np.float32),
    betas=clip["betas"].astype(np.float32),
    joints_camera=joints_camera.astype(np.float32),
    joints_crop=(windows.to_crop_pixels(joints_image, box, 2) - 1).astype(np.float32),
    visibility=visibility.astype(np.float32),
    valid=clip["valid"][span],
  )


def no_labels(frames: int) -> HostBatch:
  """Zeros in the form of the labels among `targets`."""
  return HostBatch(
    pose=np.zeros((frames, 24, 3), np.float32),
    betas=np.zeros(10, np.float32),
    joints_camera=np.zeros((frames, 24, 3), np.float32),
    joints_crop=np.zeros((frames, 24, 2), np.float32),
    visibility=np.zeros((frames, 24), np.float32),
  )


def _project(
  clip: Clip, span: slice
) -> tuple[Float[np.ndarray, "time 24 2"], Bool[np.ndarray, "time 24"]]:
  """The joints in image pixels, and which of them are in front of the camera."""
  joints_camera = clip["joints_camera"][span]
  if "intrinsics" not in clip:
    joints_image = weak_perspective.project(joints_camera, clip["camera_image"][span])
    return joints_image, np.ones(joints_camera.shape[:2], bool)
  return pinhole.project_in_front(joints_camera, clip["intrinsics"], _MIN_DEPTH)
