"""Reads MMPose's JSON of a video: its inferencer's, and that of its demo scripts.

The inferencer (`--pred-out-dir`) writes a list of frames, counted from 0. The scripts
(`--save-predictions`) write `meta_info` and the frames in `instance_info`, counted from
1. Both list every frame, with or without people.
"""

import pathlib
from typing import Any

import numpy as np
from jaxtyping import Float

from mhmr_jax.body.joints import COCO_KEYPOINTS
from mhmr_jax.errors import InputError
from mhmr_jax.keypoints.formats import layouts
from mhmr_jax.keypoints.formats.frame_numbers import Listing


def read(path: pathlib.Path) -> layouts.Listed:
  """Reads the people of every frame.

  Raises:
    InputError: the file is malformed, or its points are not those of COCO or Halpe.
  """
  content = layouts.read_json(path)
  indices, first = None, 0
  if isinstance(content, dict):
    indices = _coco_indices(content.get("meta_info"), path)
    content, first = content.get("instance_info"), 1
  if not isinstance(content, list):
    raise InputError(f"{path} is not a file that MMPose wrote: name its format.")
  people: dict[int, list[Any]] = {}
  for index, frame in enumerate(content):
    where = f"frame {index} of {path}"
    instances = frame.get("instances") if isinstance(frame, dict) else None
    number = frame.get("frame_id") if isinstance(frame, dict) else None
    if not isinstance(instances, list) or not isinstance(number, int):
      raise InputError(
        f"`frame_id` or `instances` is missing in {where}: give the file that MMPose "
        "wrote for a video."
      )
    if number in people:
      raise InputError(
        f"frame_id {number} is twice in {path}: give one video's frames."
      )
    people[number] = [
      _person(instance, indices, f"instances[{k}] of {where}")
      for k, instance in enumerate(instances)
    ]
  if 0 in people:
    first = 0
  counted = {number - first: found for number, found in people.items()}
  is_row = sorted(counted) == list(range(len(counted)))
  listing = Listing.EVERY_FRAME if is_row else Listing.FROM_ZERO
  return layouts.Listed(layouts.frames(counted), listing)


def _coco_indices(info: Any, path: pathlib.Path) -> tuple[int, ...] | None:
  """Where COCO's points are among those that the file names; None: it names none."""
  names = info.get("keypoint_name2id") if isinstance(info, dict) else None
  if not isinstance(names, dict):
    return None
  indices = tuple(names.get(name) for name in COCO_KEYPOINTS)
  if not all(isinstance(index, int) and 0 <= index < len(names) for index in indices):
    raise InputError(
      f"The points in {path} are {', '.join(map(str, names))}: run a model of MMPose "
      "that finds COCO's points."
    )
  return tuple(int(index) for index in indices if index is not None)


def _person(
  instance: Any, indices: tuple[int, ...] | None, where: str
) -> Float[np.ndarray, "17 3"]:
  if not isinstance(instance, dict):
    raise InputError(f"{where} is not a person: is the file damaged?")
  try:
    with np.errstate(over="ignore"):  # Infinity is refused by `layouts.person`.
      points = np.asarray(instance.get("keypoints"), np.float32)
      scores = np.asarray(instance.get("keypoint_scores"), np.float32)
  except (TypeError, ValueError, OverflowError) as error:
    raise InputError(
      f"{where} holds no numbers x, y and scores: is it damaged?"
    ) from error
  if points.ndim != 2 or points.shape[1] != 2 or scores.shape != points.shape[:1]:
    raise InputError(
      f"{where} has `keypoints` {list(points.shape)} and `keypoint_scores` "
      f"{list(scores.shape)}: give x and y, and a score, of each point."
    )
  numbers = np.column_stack([points, scores])
  if indices is not None and max(indices) < len(points):
    numbers = numbers[list(indices)]
  layout = layouts.WITH_COCO_FIRST.get(len(numbers))
  return layouts.person(numbers, "mmpose", where, layout)
