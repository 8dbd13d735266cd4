"""Reads 2D keypoints of every person in every frame, whichever tool found them.

There is a module for each format, and everything becomes COCO-17. Formats with as many
points differ in their order (BODY_25 and BODY_25B), and the files don't tell which they
are in: the user names the format, it is never guessed.

The pixels are those of an image whose corners are at (0, 0) and (width, height), with
the centre of the first pixel at (0.5, 0.5). Half a pixel is added to the points of
tools that count from that centre, so that RTMPose's are the same from a file and
detected here.
"""

import functools
import os
import pathlib
from collections.abc import Callable, Mapping

import numpy as np
from absl import logging

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import outliers
from mhmr_jax.keypoints.formats import (
  alphapose,
  coco,
  detections_npz,
  frame_numbers,
  mmpose,
  openpose,
)
from mhmr_jax.keypoints.formats.frame_numbers import Listing
from mhmr_jax.keypoints.formats.layouts import (
  FORMATS,
  Detections,
  Listed,
  to_coco,
)

__all__ = ("FORMATS", "Detections", "read", "to_coco")
_READERS: dict[str, Callable[[pathlib.Path], Listed]] = {
  "alphapose": alphapose.read,
  "coco": coco.read,
  "mmpose": mmpose.read,
  "npz": detections_npz.read,
}
_MAX_PIXELS = 1e5  # Points farther away are errors, in whichever video.
_MAX_FRAMES = 10_000_000  # Four days of video.


def read(
  path: str | os.PathLike[str],
  keypoint_format: str,
  num_frames: int | None = None,
  image_size: tuple[int, int] | None = None,
) -> Detections:
  """Reads the detections of a video's frames.

  Args:
    path: a folder with one JSON file a frame ("openpose_..."), a JSON file in
      COCO's results or annotations form ("coco"), AlphaPose's or MMPose's, or an .npz
      file with `keypoints` [N, P, 17, 3] or [N, 17, 3] and perhaps `frame_index` [N].
    keypoint_format: one of FORMATS.
    num_frames: the video's length; by default the frames up to the file's last.
      Frames that the file lacks have no detection.
    image_size: the video's width and height px, if the units are to be checked.

  Raises:
    InputError: the file is absent, malformed, in another format, or has detections
      for frames that the video lacks, or another number of frames than the video where
      the format lists them all.
  """
  if keypoint_format not in FORMATS:
    raise InputError(
      f"--keypoint_format={keypoint_format} is unknown: use one of "
      f"{', '.join(FORMATS)}."
    )
  path = pathlib.Path(path)
  _check_kind(path, keypoint_format)
  listed = _reader(keypoint_format)(path)
  if num_frames is None:
    num_frames = _length(listed, path)
  frames = frame_numbers.to_frames(listed.people, listed.listing, num_frames, path)
  people = {frames[number]: found for number, found in listed.people.items()}
  _check_units(people, path, image_size)
  people = _without_fillers(_without_far(people, path, image_size), path)
  nobody = np.zeros((0, 17, 3), np.float32)
  return [people.get(frame, nobody) for frame in range(num_frames)]


def _reader(keypoint_format: str) -> Callable[[pathlib.Path], Listed]:
  if keypoint_format in _READERS:
    return _READERS[keypoint_format]
  return functools.partial(openpose.read, keypoint_format=keypoint_format)


def _length(listed: Listed, path: pathlib.Path) -> int:
  """The length of a video that has the listed frames, where it is not known."""
  numbers = listed.people.keys()
  high = max(numbers, default=-1)
  if high >= _MAX_FRAMES:
    raise InputError(
      f"{path} has keypoints for frame {high}: number the frames of the video from 0."
    )
  # Listed one by one from 1 on, they are all that the video has.
  is_row = len(numbers) == high and min(numbers, default=0) == 1
  is_listed = listed.listing in (Listing.EVERY_FRAME, Listing.IMAGES)
  return high if is_row and is_listed else high + 1


def _check_kind(path: pathlib.Path, keypoint_format: str) -> None:
  if not path.exists():
    raise InputError(f"There are no keypoints at {path}: check --keypoints.")
  if keypoint_format.startswith("openpose") != path.is_dir():
    wanted = "one JSON file" if path.is_dir() else "a folder of JSON files"
    wanted = "an .npz file" if keypoint_format == "npz" else wanted
    found = "a folder" if path.is_dir() else "a file"
    raise InputError(
      f"{path} is {found}, but --keypoint_format={keypoint_format} is {wanted}: "
      "name the format that the keypoints are in."
    )


def _without_far(
  people: dict[int, np.ndarray],
  path: pathlib.Path,
  image_size: tuple[int, int] | None,
) -> dict[int, np.ndarray]:
  """Makes points missing that lie outside the image by more than its longer side."""
  low = high = np.array([0.0, 0.0])
  beyond = _MAX_PIXELS
  if image_size is not None:
    high, beyond = np.array(image_size, float), float(max(image_size))
  kept = {}
  count = 0
  for number, found in people.items():
    is_outside = (found[..., :2] < low - beyond) | (found[..., :2] > high + beyond)
    is_far = np.any(is_outside, axis=-1)
    count += int(is_far.sum())
    kept[number] = np.where(is_far[..., None], 0, found)
  if count:
    logging.warning(
      "%d points in %s are far outside the image, and taken as missing.", count, path
    )
  return kept


def _without_fillers(
  people: dict[int, np.ndarray], path: pathlib.Path
) -> dict[int, np.ndarray]:
  """Makes points missing that their tool did not find, but wrote to a certain place."""
  for place in outliers.filler_places(people.values()):
    logging.warning(
      "Many points in %s are at (%g, %g), which are taken as missing.", path, *place
    )
    for number, found in people.items():
      is_filler = np.all(found[..., :2] == place, axis=-1, keepdims=True)
      people[number] = np.where(is_filler, 0, found)
  return people


def _check_units(
  people: Mapping[int, np.ndarray],
  path: pathlib.Path,
  image_size: tuple[int, int] | None,
) -> None:
  points = np.concatenate(
    [np.zeros((0, 3), np.float32), *(frame.reshape(-1, 3) for frame in people.values())]
  )
  points = points[points[:, 2] > 0]
  if not len(points):
    return
  if points[:, :2].max() <= 1:
    raise InputError(
      f"All coordinates in {path} are at most 1: give keypoints in pixels of the "
      "video, not normalised ones (in OpenPose, --keypoint_scale=0)."
    )
  if image_size is None:
    return
  outside = np.any((points[:, :2] < 0) | (points[:, :2] > image_size), axis=-1)
  if outside.mean() > 0.5:
    raise InputError(
      f"Most points in {path} lie outside the video's {image_size[0]} x "
      f"{image_size[1]} pixels: give keypoints found on this video at this size."
    )
