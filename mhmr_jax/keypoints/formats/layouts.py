"""The order of the points in each format, and the checks that the readers share."""

import json
import pathlib
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from mhmr_jax.errors import InputError

# One array a frame: x, y px and score in (0, 1]; a missing point is three zeros.
Detections = list[Float[np.ndarray, "_ 17 3"]]
# The same by frame number, for the frames that a file has.
FramePeople = dict[int, Float[np.ndarray, "_ 17 3"]]


class Layout(NamedTuple):
  """How many points a person has, and where COCO-17's are among them."""

  num_points: int
  coco_indices: tuple[int, ...]


_COCO_17 = tuple(range(17))
LAYOUTS = {
  "openpose_body25": Layout(
    25, (0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11)
  ),
  "openpose_body25b": Layout(25, _COCO_17),
  "openpose_coco18": Layout(
    18, (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10)
  ),
  "coco": Layout(17, _COCO_17),
}
# The formats that can be read; `npz` arrays are in COCO's own order.
FORMATS = (*LAYOUTS, "npz")


def to_coco(
  keypoints: Float[np.ndarray, "*batch n 3"], keypoint_format: str
) -> Float[np.ndarray, "*batch 17 3"]:
  """Picks COCO-17 from the points of one of LAYOUTS; scores as in `Detections`."""
  return with_clean_scores(keypoints[..., LAYOUTS[keypoint_format].coco_indices, :])


def with_clean_scores(
  keypoints: Float[np.ndarray, "*batch 3"],
) -> Float[np.ndarray, "*batch 3"]:
  """Cuts scores to [0, 1], as some detectors score above 1; zeroes missing points."""
  score = np.clip(keypoints[..., 2:], 0, 1)
  return np.where(score > 0, np.append(keypoints[..., :2], score, axis=-1), 0)


def person(numbers: Any, keypoint_format: str, where: str) -> Float[np.ndarray, "17 3"]:
  """Checks one person's flat list of numbers and returns COCO-17.

  Args:
    numbers: x, y and score of every point, as parsed from JSON.
    keypoint_format: one of LAYOUTS.
    where: the list's place in its file, for messages.

  Raises:
    InputError: the list does not have the format's length, or is not finite numbers.
  """
  try:
    values = np.asarray(numbers, np.float32)
  except (TypeError, ValueError) as error:
    raise InputError(
      f"{where} is not a list of numbers x, y, score: is the file damaged?"
    ) from error
  wanted = 3 * LAYOUTS[keypoint_format].num_points
  if values.ndim != 1 or values.size != wanted:
    raise InputError(
      f"{where} has {values.size} numbers, {_points(values.size)}, but "
      f"{keypoint_format} has {wanted}: {_advice(values.size)}."
    )
  if not np.isfinite(values).all():
    raise InputError(
      f"{where} holds a value that is not finite: write 0 for a missing point."
    )
  return to_coco(values.reshape(-1, 3), keypoint_format)


def _points(size: int) -> str:
  return f"which is {size // 3} points" if size % 3 == 0 else "not three a point"


def _advice(size: int) -> str:
  fitting = [name for name, layout in LAYOUTS.items() if 3 * layout.num_points == size]
  if not fitting:
    return f"convert it to one of {', '.join(FORMATS)}"
  return f"name --keypoint_format={' or '.join(fitting)}"


def read_json(path: pathlib.Path) -> Any:
  """Parses a JSON file of keypoints; InputError where that fails."""
  try:
    return json.loads(path.read_bytes())
  except (OSError, ValueError, RecursionError) as error:
    raise InputError(
      f"{path} is not readable as JSON: run the detector that wrote it again."
    ) from error
