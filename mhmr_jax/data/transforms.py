"""Frames and keypoints to network inputs: windows, crops, flow, flips.

Training, evaluation and prediction share these functions, so that what the
network sees of a stored clip and of a user's video differs in nothing else.
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8

from mhmr_jax.body import joints
from mhmr_jax.flow import dis
from mhmr_jax.geometry import windows
from mhmr_jax.schema import Clip, HostBatch


def dis_flow(
  crops: list[np.ndarray], previous: np.ndarray | None, preset: str
) -> Float[np.ndarray, "time size size 2"]:
  """DIS flow between neighbouring crops of one window, in crop pixels a frame.

  Args:
    crops: T images of one window.
    previous: the frame before them, cropped by the same window; None where
      there is none, and then the first flow is zero.
    preset: a preset of `dis.DisFlow`.
  """
  estimate = dis.DisFlow(preset)
  first = crops[0] if previous is None else previous
  pairs = zip([first, *crops[:-1]], crops, strict=True)
  flow = np.stack([estimate(before, after) for before, after in pairs])
  if previous is None:
    flow[0] = 0
  return flow


def model_inputs(
  frames: list[UInt8[np.ndarray, "height width *rgb"]],
  keypoints: Float[np.ndarray, "time 17 3"],
  box: Float[np.ndarray, "4"],
  *,
  inputs: tuple[str, ...],
  size: int,
  flow_preset: str | None,
  previous: UInt8[np.ndarray, "height width *rgb"] | None = None,
) -> HostBatch:
  """The network's inputs for one clip, without the leading batch axis.

  Args:
    frames: T images, RGB where `inputs` has "rgb", else RGB or grey.
    keypoints: in image pixels.
    box: the window that all frames are cropped by.
    inputs: which of "rgb", "flow", "keypoints" to make, and "rgb_before", the frame
      before the first; the first itself where there is none.
    size: pixels of a crop's side.
    flow_preset: preset of DIS; None where the flow comes from elsewhere.
    previous: the frame before the first, for the first frame's flow.
  """
  batch: HostBatch = {}
  needs_dis = "flow" in inputs and flow_preset is not None
  if "rgb" in inputs or needs_dis:
    crops = [windows.crop_image(frame, box, size) for frame in frames]
    before = None if previous is None else windows.crop_image(previous, box, size)
    if "rgb" in inputs:
      batch["rgb"] = np.stack(crops)
    if "rgb_before" in inputs:
      batch["rgb_before"] = crops[0] if before is None else before
    if flow_preset is not None and needs_dis:
      batch["flow"] = dis_flow(crops, before, flow_preset).astype(np.float16)
  if "keypoints" in inputs:
    batch["keypoints"] = windows.crop_keypoints(keypoints, box, size)
  return batch


def flip(batch: HostBatch, size: int) -> HostBatch:
  """Mirrors one clip's inputs and targets, with the left and right of all names."""
  mirror = np.array([-1.0, 1.0, 1.0], np.float32)
  out = batch.copy()
  for key in batch.keys() & {"rgb", "rgb_before"}:
    out[key] = batch[key][..., ::-1, :]
  if "flow" in batch:
    out["flow"] = batch["flow"][:, :, ::-1] * mirror[:2].astype(batch["flow"].dtype)
  if "keypoints" in batch:
    points = np.array(batch["keypoints"])[:, joints.COCO_FLIP]
    points[..., 0] = np.where(points[..., 2] > 0, size - points[..., 0], 0)
    out["keypoints"] = points
  if "pose" in batch:
    out["pose"] = joints.flip_pose(batch["pose"])
  if "joints_camera" in batch:
    out["joints_camera"] = batch["joints_camera"][:, joints.SMPL_FLIP] * mirror
  if "joints_crop" in batch:
    out["joints_crop"] = batch["joints_crop"][:, joints.SMPL_FLIP] * mirror[:2]
  if "visibility" in batch:
    out["visibility"] = batch["visibility"][:, joints.SMPL_FLIP]
  return out


def targets(clip: Clip, span: slice, box: Float[np.ndarray, "4"]) -> HostBatch:
  """The targets of some frames of a clip; the 2D joints in normalised crop units.

  Where the clip does not know which joints can be seen, all count.
  """
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


def _project(
  clip: Clip, span: slice
) -> tuple[Float[np.ndarray, "time 24 2"], Bool[np.ndarray, "time 24"]]:
  """The joints in image pixels, and which of them are in front of the camera."""
  joints_camera = clip["joints_camera"][span]
  if "intrinsics" not in clip:
    camera = clip["camera_image"][span][:, None]
    joints_image = camera[..., :1] * (joints_camera[..., :2] + camera[..., 1:])
    return joints_image, np.ones(joints_camera.shape[:2], bool)
  projected = joints_camera @ clip["intrinsics"].T
  # A joint at or behind the camera projects nowhere.
  depth = np.maximum(projected[..., 2:], 1e-3)
  return projected[..., :2] / depth, joints_camera[..., 2] > 1e-3
