"""The one schema: a stored clip, a device batch, a prediction.

Every builder yields `Clip`, the data path turns clips into `Batch`, the model
returns `Prediction`. A field that a source lacks is absent, never zero.
Prediction and target carry the same key in two dicts.
"""

from collections.abc import Sequence
from typing import NamedTuple, NotRequired, TypedDict

import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

# What the network can be given of a frame, and the channels of each.
INPUT_CHANNELS = {"rgb": 3, "flow": 2, "keypoints": 17}


class Clip(TypedDict, total=False):
  """One clip of one person as stored; pixels are those of the stored frames.

  The camera frame is x right, y down, z forward, in metres. `flow` at frame t
  goes from t-1 to t on the grid of frame t-1, and is zero at the first frame.
  Labels of a frame that is not valid are finite, and may be anything else.
  """

  frames: Sequence[bytes]  # T JPEG images; of long tracks read as they are asked for.
  pose: Float[np.ndarray, "time 24 3"]  # Axis-angle; entry 0 is in the camera frame.
  betas: Float[np.ndarray, "10"]
  transl: Float[np.ndarray, "time 3"]
  # Without intrinsics the depth is not known, and the origin is the pelvis.
  joints_camera: Float[np.ndarray, "time 24 3"]
  keypoints_image: Float[np.ndarray, "time 17 3"]  # COCO-17: x, y px, score.
  # A detector found the keypoints; else they are exact and noise is to be added.
  keypoints_detected: bool
  box: Float[np.ndarray, "time 4"]  # Tight, [x0, y0, x1, y1] px; zeros: not known.
  visibility: Float[np.ndarray, "time 24"]  # 1: inside the frame, not occluded.
  intrinsics: Float[np.ndarray, "3 3"]
  # In place of intrinsics: [s, tx, ty] with s (xy + t) px, of joints_camera.
  camera_image: Float[np.ndarray, "time 3"]
  flow: list[bytes]  # T 16-bit PNG images in KITTI's encoding, px a frame.
  # The same of flow that was estimated: where `config.flow.cache` has it read.
  flow_estimated: Sequence[bytes]
  mask: list[bytes]  # T one-channel PNG images, 255 on the person.
  valid: Bool[np.ndarray, "time"]
  fps: float
  gender: str  # Of the body that pose and betas are for: male, female or neutral.
  sequence: str
  frame_index: Int[np.ndarray, "time"]


class Batch(TypedDict, total=False):
  """Clips on the device, all frames of a clip in one crop window.

  Inputs are `rgb`, `flow` (crop pixels a frame) and `keypoints` (crop pixels and
  score: the heatmaps are drawn on the device); the rest are targets.
  """

  rgb: UInt8[Array, "batch time size size 3"]
  # The frame before the first one, or that itself: only for flow by a network, which
  # the input step puts in its place.
  rgb_before: UInt8[Array, "batch size size 3"]
  flow: Float[Array, "batch time size size 2"]
  keypoints: Float[Array, "batch time 17 3"]
  pose: Float[Array, "batch time 24 3"]
  betas: Float[Array, "batch 10"]
  joints_camera: Float[Array, "batch time 24 3"]
  joints_crop: Float[Array, "batch time 24 2"]  # The crop's corners are at -1 and 1.
  visibility: Float[Array, "batch time 24"]
  valid: Bool[Array, "batch time"]
  # False: of the target domain, and all targets are zeros to be left alone. Without
  # it all clips are labelled.
  labelled: Bool[Array, "batch"]


# A batch, or one clip of it without the leading axis, that is still on the host: the
# same keys, NumPy arrays.
HostBatch = dict[str, np.ndarray]


class Prediction(TypedDict):
  """What the model says of every frame."""

  rotations: Float[Array, "batch time 24 3 3"]  # Entry 0 is in the camera frame.
  betas: Float[Array, "batch time 10"]
  camera: Float[Array, "batch time 3"]  # Weak perspective [s, tx, ty] of the crop.
  # That a frame's clip is labelled; in training against a domain classifier.
  domain_logits: NotRequired[Float[Array, "batch time"]]


class Motion(NamedTuple):
  """A person's motion in a video: what `prediction.npz` holds."""

  frame_index: Int[np.ndarray, "N"]
  pose: Float[np.ndarray, "N 24 3"]  # Axis-angle; entry 0 is in the camera frame.
  betas: Float[np.ndarray, "N 10"]  # All rows the same: the median over the clip.
  camera: Float[np.ndarray, "N 3"]  # Weak perspective [s, tx, ty] of the box.
  box: Float[np.ndarray, "N 4"]  # [x0, y0, x1, y1] px.
  transl_camera: Float[np.ndarray, "N 3"]  # SMPL's `transl`, metres.
  joints_camera: Float[np.ndarray, "N 24 3"]  # Metres.
  keypoints_image: Float[np.ndarray, "N 24 2"]  # px.
