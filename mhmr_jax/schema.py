"""The types of the data that pass between rooms, in the order in which data flow.

Every dataset builder yields a `Clip`, the data room turns clips into a `Batch`, the
model returns a `Prediction` for it, and inference on a video results in one `Motion` a
person. A field that a source lacks is absent, never zero. A prediction and its target
have the same key in two dicts.
"""

from collections.abc import Sequence
from typing import NamedTuple, NotRequired, TypedDict

import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

# The inputs that a network can take of each frame, and how many channels each has.
INPUT_CHANNELS = {"rgb": 3, "flow": 2, "keypoints": 17}


class Clip(TypedDict, total=False):
  """A stored clip of one person; pixel coordinates are those of the stored frames.

  The camera frame is x right, y down, z forward, in metres. `flow` at frame t goes from
  t-1 to t on the grid of frame t-1, and is zero at the first frame. The labels of a
  frame that is not valid are finite but have no meaning.
  """

  # JPEG images, one a frame; those of long tracks are read when they are asked for.
  frames: Sequence[bytes]
  pose: Float[np.ndarray, "time 24 3"]  # Axis-angle; entry 0 is in the camera frame.
  betas: Float[np.ndarray, "10"]
  transl: Float[np.ndarray, "time 3"]
  # If there are no intrinsics, the depth is not known and the pelvis is the origin.
  joints_camera: Float[np.ndarray, "time 24 3"]
  keypoints_image: Float[np.ndarray, "time 17 3"]  # COCO-17: x, y px, score.
  # True if a detector found the keypoints; exact ones still need noise.
  keypoints_detected: bool
  # Tight around the person, [x0, y0, x1, y1] px; zeros where it is not known.
  box: Float[np.ndarray, "time 4"]
  visibility: Float[np.ndarray, "time 24"]  # 1 inside the frame and not occluded.
  intrinsics: Float[np.ndarray, "3 3"]
  # In place of intrinsics: [s, tx, ty], which puts joints_camera at s (xy + t) px.
  camera_image: Float[np.ndarray, "time 3"]
  # Exact flow in px a frame, as 16-bit PNG images in KITTI's encoding.
  flow: list[bytes]
  # Estimated flow in the same form, present if `config.flow.cache` is set.
  flow_estimated: Sequence[bytes]
  mask: list[bytes]  # One-channel PNG images, 255 on the person.
  valid: Bool[np.ndarray, "time"]
  fps: float
  gender: str  # The body that pose and betas are for: male, female or neutral.
  sequence: str
  frame_index: Int[np.ndarray, "time"]


class Batch(TypedDict, total=False):
  """Clips on the device; all frames of a clip are cropped by one window.

  The inputs are `rgb`, `flow` (in crop pixels in 1/30 s) and `keypoints` (in crop
  pixels, with scores; the heatmaps are drawn on the device). The rest are targets.
  """

  rgb: UInt8[Array, "batch time size size 3"]
  # The frame before the first one, or the first one where there is none. Only batches
  # whose flow a network estimates on the device have it, until that is done.
  rgb_before: UInt8[Array, "batch size size 3"]
  # The factor that converts that flow to the displacement in 1/30 s. Batches of stored
  # clips have it with `rgb_before`.
  flow_scale: Float[Array, "batch"]
  flow: Float[Array, "batch time size size 2"]
  # The seconds between the two images of each flow. Only batches of videos have it,
  # until the flow is brought to the rate of training.
  flow_seconds: Float[Array, "batch time"]
  keypoints: Float[Array, "batch time 17 3"]
  # The crop window in the camera: its centre off the principal point and half its side,
  # in units of the focal length. Networks that read keypoints as coordinates need it.
  window: Float[Array, "batch 3"]
  pose: Float[Array, "batch time 24 3"]
  # In place of `pose`: rotation matrices; entry 0 is in the camera frame.
  rotations: Float[Array, "batch time 24 3 3"]
  betas: Float[Array, "batch 10"]
  joints_camera: Float[Array, "batch time 24 3"]
  joints_crop: Float[Array, "batch time 24 2"]  # The crop's corners are at -1 and 1.
  visibility: Float[Array, "batch time 24"]
  gravity: Float[Array, "batch time 3"]  # The unit vector down, in the camera frame.
  standing: Bool[Array, "batch time 2"]  # Whether the left and right foot stand still.
  valid: Bool[Array, "batch time"]
  # False for a clip of the target domain, whose targets are zeros and must not be used.
  # If it is absent, all clips are labelled.
  labelled: Bool[Array, "batch"]


# A batch that is still on the host: NumPy arrays under the keys of `Batch`. One clip of
# it has the same type and no leading axis.
HostBatch = dict[str, np.ndarray]


class Prediction(TypedDict):
  """What the model predicts for every frame."""

  rotations: Float[Array, "batch time 24 3 3"]  # Entry 0 is in the camera frame.
  betas: Float[Array, "batch time 10"]
  camera: Float[Array, "batch time 3"]  # Weak perspective [s, tx, ty] in the crop.
  # Models with `config.model.world` also predict the unit vector down in the camera
  # frame, and the logits that the left and the right foot stand still.
  gravity: NotRequired[Float[Array, "batch time 3"]]
  standing_logits: NotRequired[Float[Array, "batch time 2"]]
  # In training, from an encoder that looks for them: SMPL's joints on the crop, as each
  # frame alone shows them, and the logarithms of the heatmaps whose means they are
  # (`encoder.JointsSeen`). The crop's corners are at -1 and 1.
  joints_seen: NotRequired[Float[Array, "batch time 24 2"]]
  joint_heatmaps: NotRequired[Float[Array, "batch time rows columns 24"]]
  # In training against a domain classifier: the logits that the clip is labelled.
  domain_logits: NotRequired[Float[Array, "batch time"]]


class Motion(NamedTuple):
  """The motion of one person in a video, as `prediction.npz` stores it.

  N is the number of video frames from the person's first to their last, without gaps
  of over a second. The camera frame is x right, y down, z forward; in the world y is
  up and the floor is at y = 0. Lengths are in metres. The pose has the SMPL joints'
  order and is in axis-angle; betas are the shape of the body that `body` names.
  """

  person: int  # The person's number: 0 for the largest in the video.
  frame_index: Int[np.ndarray, "N"]  # Frames of the video, from 0.
  times: Float[np.ndarray, "N"]  # Seconds from the video's first frame.
  fps: float  # The video's frames a second, on average.
  image_size: Int[np.ndarray, "2"]  # Width and height of the video, px.
  # px, without skew; one matrix a row if the focal length changes in the video.
  intrinsics: Float[np.ndarray, "*N 3 3"]
  body: str  # "free" for the project's own body, else the name of the SMPL file.
  # Whether the keypoints of a row were found; if not, its neighbours fill it.
  detected: Bool[np.ndarray, "N"]
  # COCO-17 as found, but with swaps of left and right undone: x, y px, score.
  keypoints_found: Float[np.ndarray, "N 17 3"]
  # Whether the detector had swapped left and right of the arms, and of the legs.
  swapped: Bool[np.ndarray, "N 2"]
  confidence: Float[np.ndarray, "N"]  # From 0 to 1; see `inference.confidence`.
  pose: Float[np.ndarray, "N 24 3"]  # Entry 0 is in the camera frame.
  betas: Float[np.ndarray, "N 10"]  # All rows are the same, the median over time.
  camera: Float[np.ndarray, "N 3"]  # Weak perspective [s, tx, ty] in the crop.
  box: Float[np.ndarray, "N 4"]  # The crop, [x0, y0, x1, y1] px.
  transl_camera: Float[np.ndarray, "N 3"]  # SMPL's `transl` in the camera frame.
  joints_camera: Float[np.ndarray, "N 24 3"]
  keypoints_image: Float[np.ndarray, "N 24 2"]  # `joints_camera` in the image, px.
  gravity_camera: Float[np.ndarray, "N 3"]  # The unit vector down, camera frame.
  camera_motion: str  # "static" or "moving"; if moving, the path is the camera's too.
  pose_world: Float[np.ndarray, "N 24 3"]  # Entry 0 is in the world; feet are locked.
  transl_world: Float[np.ndarray, "N 3"]  # SMPL's `transl` in the world.
  joints_world: Float[np.ndarray, "N 24 3"]
  # How probably the left and the right foot stand still on the floor, from 0 to 1.
  contacts: Float[np.ndarray, "N 2"]
