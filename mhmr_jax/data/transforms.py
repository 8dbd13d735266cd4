"""Frames and keypoints to network inputs: windows, crops, flow, flips.

Training, evaluation and prediction share these functions, so that what the
network sees of a stored clip and of a user's video differs in nothing else.
"""

import contextlib

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from mhmr_jax.batch import Clip, HostBatch
from mhmr_jax.body import joints
from mhmr_jax.errors import InputError
from mhmr_jax.flow import dis

# Detectors report guesses far off the body with scores below this.
_MIN_SCORE = 0.1


def decode_frame(data: bytes, colour: bool) -> np.ndarray:
  """A stored JPEG to RGB or grey pixels."""
  mode = cv2.IMREAD_COLOR_RGB if colour else cv2.IMREAD_GRAYSCALE
  image = None
  with contextlib.suppress(cv2.error):  # Of no bytes at all.
    image = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
  if image is None:
    raise InputError("A stored frame is not a JPEG image: the clip is damaged.")
  return image


def clip_window(
  keypoints: Float[np.ndarray, "time 17 3"],
  scale: float,
  boxes: Float[np.ndarray, "time 4"] | None = None,
) -> Float[np.ndarray, "4"] | None:
  """The square window around a clip's person, one for all its frames.

  Args:
    keypoints: x, y in image pixels, score.
    scale: the window's side, over the longer side of the points' box.
    boxes: where the person is in frames without any keypoint; zeros: not known.

  Returns:
    box [x0, y0, x1, y1] in image pixels, or None where no point was found.
  """
  found = keypoints[..., 2] > _MIN_SCORE
  points = keypoints[found][:, :2]
  if boxes is not None:
    used = ~found.any(-1) & boxes.any(-1)
    points = np.concatenate([points, boxes[used].reshape(-1, 2)])
  return square_around(points, scale) if len(points) else None


def tight_boxes(
  keypoints: Float[np.ndarray, "time n 3"],
) -> Float[np.ndarray, "time 4"]:
  """Each frame's box round its points, [x0, y0, x1, y1]; zeros where it has none."""
  found = keypoints[..., 2:] > _MIN_SCORE
  low = keypoints[..., :2].min(1, where=found, initial=np.inf)
  high = keypoints[..., :2].max(1, where=found, initial=-np.inf)
  return np.where(found.any(1), np.concatenate([low, high], -1), 0)


def square_around(
  points: Float[np.ndarray, "n 2"], scale: float
) -> Float[np.ndarray, "4"]:
  """The square about the points' box, its side `scale` times the box's longer side."""
  low, high = points.min(0), points.max(0)
  side = max(float((high - low).max()), 2.0) * scale
  centre = (low + high) / 2
  return np.concatenate([centre - side / 2, centre + side / 2]).astype(np.float32)


def jitter_window(
  box: Float[np.ndarray, "4"], rng: np.random.Generator, scale: float, shift: float
) -> Float[np.ndarray, "4"]:
  """Scales a window by up to 1 +- scale and moves it by up to shift of its side."""
  side = box[2] - box[0]
  centre = (box[:2] + box[2:]) / 2 + side * rng.uniform(-shift, shift, 2)
  half = side / 2 * rng.uniform(1 - scale, 1 + scale)
  return np.concatenate([centre - half, centre + half]).astype(np.float32)


def crop_image(image: np.ndarray, box: Float[np.ndarray, "4"], size: int) -> np.ndarray:
  """Resamples a square window to size x size pixels; zero outside the image.

  Shrinking averages whole blocks of pixels first: plain bilinear sampling would
  alias, and aliasing is motion to an optical flow.
  """
  side = float(box[2] - box[0])
  block = int(side / size)
  origin = np.asarray(box[:2], np.float64)
  if block >= 2:
    low = np.floor(origin).astype(int)
    count = int(np.ceil(side / block)) + 2
    image = _blocks(image, low, count, block)
    origin = (origin - low) / block
    side /= block
  step = side / size
  # cv2 samples at pixel centres numbered from 0; our pixel i is centred at i + 0.5.
  offset = origin + step / 2 - 0.5
  matrix = np.array([[step, 0, offset[0]], [0, step, offset[1]]])
  flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
  return cv2.warpAffine(image, matrix, (size, size), flags=flags)


def _blocks(image: np.ndarray, low: np.ndarray, count: int, block: int) -> np.ndarray:
  """Means of count x count blocks of pixels from `low` on; zero outside."""
  high = low + count * block
  height, width = image.shape[:2]
  x0, y0 = np.clip(low, 0, [width, height])
  x1, y1 = np.clip(high, 0, [width, height])
  if x0 == x1 or y0 == y1:
    return np.zeros((count, count, *image.shape[2:]), image.dtype)
  padding = (y0 - low[1], high[1] - y1, x0 - low[0], high[0] - x1)
  region = cv2.copyMakeBorder(image[y0:y1, x0:x1], *padding, cv2.BORDER_CONSTANT)
  return cv2.resize(region, (count, count), interpolation=cv2.INTER_AREA)


def to_crop_pixels(
  points: Float[np.ndarray, "*batch 2"], box: Float[np.ndarray, "4"], size: int
) -> Float[np.ndarray, "*batch 2"]:
  """Image pixels to pixels of the crop."""
  return (points - box[:2]) * np.float32(size / (box[2] - box[0]))


def crop_keypoints(
  keypoints: Float[np.ndarray, "time 17 3"], box: Float[np.ndarray, "4"], size: int
) -> Float[np.ndarray, "time 17 3"]:
  """Keypoints in image pixels to crop pixels; missing points stay zero."""
  points = to_crop_pixels(keypoints[..., :2], box, size)
  score = keypoints[..., 2:]
  return np.concatenate([points * (score > 0), score], -1).astype(np.float32)


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
    crops = [crop_image(frame, box, size) for frame in frames]
    before = None if previous is None else crop_image(previous, box, size)
    if "rgb" in inputs:
      batch["rgb"] = np.stack(crops)
    if "rgb_before" in inputs:
      batch["rgb_before"] = crops[0] if before is None else before
    if flow_preset is not None and needs_dis:
      batch["flow"] = dis_flow(crops, before, flow_preset).astype(np.float16)
  if "keypoints" in inputs:
    batch["keypoints"] = crop_keypoints(keypoints, box, size)
  return batch


def crop_flow(
  flow: Float[np.ndarray, "height width 2"], box: Float[np.ndarray, "4"], size: int
) -> Float[np.ndarray, "size size 2"]:
  """Flow of the whole frame to flow of a crop, in crop pixels."""
  return crop_image(flow, box, size) * np.float32(size / (box[2] - box[0]))


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
    joints_crop=(to_crop_pixels(joints_image, box, 2) - 1).astype(np.float32),
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
