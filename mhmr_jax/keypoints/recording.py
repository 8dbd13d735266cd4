"""Records a camera or stream, and detects the people in it as the pictures come."""

import pathlib

from tqdm import tqdm

from mhmr_jax.errors import InputError
from mhmr_jax.files import live, video_writer
from mhmr_jax.keypoints import detectors
from mhmr_jax.keypoints.formats import Detections
from mhmr_jax.keypoints.source import KeypointSource

_NOMINAL_FPS = 30.0  # The pictures have their own times.


def record(source: str, path: pathlib.Path, keypoints: KeypointSource) -> Detections:
  """Records until the source ends, or until Ctrl-C.

  Pictures that come faster than the detector works are passed over.

  Args:
    source: the number of a camera, or a URL.
    path: the .mp4 file to write.
    keypoints: the detector.

  Returns:
    Everybody in each recorded picture.

  Raises:
    InputError: the source or the detector cannot be used, the keypoints are to come
      from a file, or the video cannot be written.
  """
  if keypoints.path is not None:
    raise InputError(
      f"--keypoints={keypoints.path} is for a video that is there already: leave it "
      f"out with --video={source}, whose people a detector finds."
    )
  adapter = detectors.adapter(keypoints.detector)
  found = []
  with (
    adapter.open_detector(keypoints.weights, keypoints.people) as detect,
    video_writer.writing(path, _NOMINAL_FPS) as writer,
    tqdm(desc="Recording, until Ctrl-C", unit="frame") as progress,
  ):
    for seconds, frame in live.read_frames(source):
      writer.write(frame, seconds)
      found.append(detect(frame, seconds))
      progress.update()
  return found
