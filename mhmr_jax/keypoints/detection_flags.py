"""The flags of the programs that find people in a video."""

import pathlib

from absl import flags

from mhmr_jax import program
from mhmr_jax.keypoints import detectors

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
