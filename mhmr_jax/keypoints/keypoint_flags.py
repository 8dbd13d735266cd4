"""The flags of the programs that read or find people's keypoints."""

import pathlib

from absl import flags

from mhmr_jax.keypoints import detectors, formats
from mhmr_jax.runtime import program

KEYPOINTS = flags.DEFINE_string(
  "keypoints", None, "The people's 2D keypoints in the video: a file or a folder."
)
FORMAT = flags.DEFINE_string(
  "keypoint_format", None, f"What the keypoints are: {', '.join(formats.FORMATS)}."
)
VIDEO = flags.DEFINE_string("video", None, "The video file.")
DETECTOR = flags.DEFINE_string(
  "detector", "mediapipe", f"What finds keypoints: {' or '.join(detectors.NAMES)}."
)
_WEIGHTS = flags.DEFINE_string(
  "detector_weights",
  None,
  "The detector's weights, a file (mediapipe) or a folder (rtmpose); by default the "
  "detector fetches its own.",
)


def weights_path() -> pathlib.Path | None:
  """The weights that were named, if any."""
  return None if _WEIGHTS.value is None else program.path_of(_WEIGHTS)
