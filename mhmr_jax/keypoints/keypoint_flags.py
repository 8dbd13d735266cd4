"""The flags of the programs that read or detect people's keypoints."""

import pathlib

from absl import flags

from mhmr_jax.keypoints import detectors, formats
from mhmr_jax.runtime import program

KEYPOINTS = flags.DEFINE_string(
  "keypoints", None, "The people's 2D keypoints in the video: a file or a folder."
)
FORMAT = flags.DEFINE_string(
  "keypoint_format",
  None,
  f"The format that the keypoints are in: {', '.join(formats.FORMATS)}.",
)
VIDEO = flags.DEFINE_string("video", None, "The video file.")
FPS = flags.DEFINE_float(
  "fps",
  None,
  "Frames a second: of a folder of images that --video names; of the keypoints that "
  "keypoints.fit_noise reads, by default 30.",
  lower_bound=1.0,
)
DETECTOR = flags.DEFINE_string(
  "detector",
  "mediapipe",
  f"The detector that finds the keypoints: {' or '.join(detectors.NAMES)}.",
)
_WEIGHTS = flags.DEFINE_string(
  "detector_weights",
  None,
  "The detector's weights, a file (mediapipe) or a folder (rtmpose); by default they "
  "are downloaded.",
)


def weights_path() -> pathlib.Path | None:
  """The path in --detector_weights; None where the flag is not set."""
  return None if _WEIGHTS.value is None else program.path_of(_WEIGHTS)
