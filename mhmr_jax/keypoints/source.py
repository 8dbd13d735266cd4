"""Where the 2D keypoints of the people in a video come from: a file, or a detector."""

import dataclasses
import pathlib

from mhmr_jax.errors import InputError
from mhmr_jax.files import video
from mhmr_jax.keypoints import detection, formats


@dataclasses.dataclass(frozen=True)
class KeypointSource:
  """Where the people's keypoints come from.

  Attributes:
    path: the path of a file or folder of keypoints; None: the detector finds them.
    format: the format of that file, one of `formats.FORMATS`.
    detector: one of `detectors.NAMES`.
    weights: the detector's; None: it downloads its own.
    people: how many the detector looks for at once; None: as many as it can.
  """

  path: str | None = None
  format: str | None = None
  detector: str = "mediapipe"
  weights: pathlib.Path | None = None
  people: int | None = None

  @property
  def name(self) -> str:
    """The origin of the keypoints: the format of the file, or else the detector."""
    return self.detector if self.path is None else str(self.format)

  def find_people(
    self, video_path: pathlib.Path, info: video.VideoInfo
  ) -> formats.Detections:
    """Reads or detects the keypoints of everybody in a video.

    Raises:
      InputError: the keypoints are wrong, or the detector cannot be used.
    """
    if self.path is None:
      return detection.detect(
        video_path, info, self.detector, self.weights, self.people
      )
    if self.format is None:
      raise InputError(
        f"--keypoint_format is missing: name what {self.path} is, one of "
        f"{', '.join(formats.FORMATS)}."
      )
    size = (info.width, info.height)
    return formats.read(self.path, self.format, info.num_frames, size)
