"""Reads 2D keypoints of every person in every frame, whichever tool found them.

There is a module for each format, and everything becomes COCO-17. Formats with as many
points differ in their order (BODY_25 and BODY_25B), and the files don't tell which they
are in: the user names the format, it is never guessed.
"""

import functools
import os
import pathlib
from collections.abc import Callable, Mapping

import numpy as np

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints.formats import coco, detections_npz, openpose
from mhmr_jax.keypoints.formats.layouts import (
  FORMATS,
  Detections,
  FramePeople,
  to_coco,
)

__all__ = ("FORMATS", "Detections", "read", "to_coco")
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
      COCO's results or annotations form, AlphaPose's too ("coco"), or an .npz file
      with `keypoints` [N, P, 17, 3] or [N, 17, 3] and perhaps `frame_index` [N].
    keypoint_format: one of FORMATS.
    num_frames: the video's length; by default the frames up to the file's last.
      Frames that the file lacks have no detection.
    image_size: the video's width and height px, if the units are to be checked.

  Raises:
    InputError: the file is absent, malformed, in another format, or has detections
      for frames that the video lacks.
  """
  if keypoint_format not in FORMATS:
    raise InputError(
      f"--keypoint_format={keypoint_format} is unknown: use one of "
      f"{', '.join(FORMATS)}."
    )
  path = pathlib.Path(path)
  _check_kind(path, keypoint_format)
  people = _reader(keypoint_format)(path)
  if num_frames is None:
    num_frames = max(people, default=-1) + 1
    if num_frames > _MAX_FRAMES:
      raise InputError(
        f"{path} has keypoints for frame {num_frames - 1}: number the frames of the "
        "video from 0."
      )
  _check_frames(people, path, num_frames)
  _check_units(people, path, image_size)
  nobody = np.zeros((0, 17, 3), np.float32)
  return [people.get(frame, nobody) for frame in range(num_frames)]


def _reader(keypoint_format: str) -> Callable[[pathlib.Path], FramePeople]:
  if keypoint_format == "npz":
    return detections_npz.read
  if keypoint_format == "coco":
    return coco.read
  return functools.partial(openpose.read, keypoint_format=keypoint_format)


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


def _check_frames(
  people: Mapping[int, np.ndarray], path: pathlib.Path, num_frames: int
) -> None:
  outside = [number for number in people if not 0 <= number < num_frames]
  if outside:
    raise InputError(
      f"{path} has keypoints for frame {min(outside)}, but the video's {num_frames} "
      f"frames are numbered 0 to {num_frames - 1}: give the keypoints of this video, "
      "frames counted from 0."
    )


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
