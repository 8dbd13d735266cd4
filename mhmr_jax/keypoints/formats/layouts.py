"""The order of the points in each format, and the checks that the readers share."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from mhmr_jax.errors import InputError
from mhmr_jax.files import untrusted
from mhmr_jax.keypoints.formats.frame_numbers import Listing

# One array a frame: x, y px and score in (0, 1]; a missing point is three zeros.
Detections = list[Float[np.ndarray, "_ 17 3"]]


class Listed(NamedTuple):
  """The contents of a file: the people of each frame, by the file's own numbers."""

  people: dict[int, Float[np.ndarray, "_ 17 3"]]
  listing: Listing


class Layout(NamedTuple):
  """How many points a person has, and where COCO-17's are among them.

  `offset` is added to their pixels, because here the first pixel has its centre at
  (0.5, 0.5). It is 0.5 if the tool counts from the centre of the first pixel, as COCO's
  annotations do and tools that crop by OpenCV. OpenPose counts from the corner.
  """

  num_points: int
  coco_indices: tuple[int, ...]
  offset: float


_COCO_17 = tuple(range(17))
LAYOUTS = {
  "openpose_body25": Layout(
    25, (0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11), 0.0
  ),
  "openpose_body25b": Layout(25, _COCO_17, 0.0),
  "openpose_coco18": Layout(
    18, (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10), 0.0
  ),
  # OpenPose's files as Sports2D and Pose2Sim write them with RTMPose's points.
  "openpose_halpe26": Layout(26, _COCO_17, 0.5),
  "openpose_coco17": Layout(17, _COCO_17, 0.5),
  "openpose_coco133": Layout(133, _COCO_17, 0.5),
  "coco": Layout(17, _COCO_17, 0.5),
  "alphapose": Layout(17, _COCO_17, 0.5),
  "mmpose": Layout(17, _COCO_17, 0.5),
}
# Those that begin with COCO's points, by their number: also Halpe's, and whole bodies.
WITH_COCO_FIRST = {count: Layout(count, _COCO_17, 0.5) for count in (17, 26, 133, 136)}
# The formats that can be read; `npz` arrays are in COCO's own order.
FORMATS = (*LAYOUTS, "npz")


def to_coco(
  keypoints: Float[np.ndarray, "*batch n 3"], keypoint_format: str
) -> Float[np.ndarray, "*batch 17 3"]:
  """Picks COCO-17 from the points of one of LAYOUTS; scores as in `Detections`."""
  return _pick(keypoints, LAYOUTS[keypoint_format])


def _pick(
  keypoints: Float[np.ndarray, "*batch n 3"], layout: Layout
) -> Float[np.ndarray, "*batch 17 3"]:
  picked = with_clean_scores(keypoints[..., layout.coco_indices, :])
  shift = np.array([layout.offset, layout.offset, 0], np.float32)
  return np.where(picked[..., 2:] > 0, picked + shift, 0)


def with_clean_scores(
  keypoints: Float[np.ndarray, "*batch 3"],
) -> Float[np.ndarray, "*batch 3"]:
  """Cuts scores to [0, 1], as some detectors score above 1; zeroes missing points.

  A point at (0, 0) is missing, whatever its score: tools write missing points so.
  """
  score = np.clip(keypoints[..., 2:], 0, 1)
  known = (score > 0) & keypoints[..., :2].any(axis=-1, keepdims=True)
  return np.where(known, np.append(keypoints[..., :2], score, axis=-1), 0)


def person(
  numbers: Any, keypoint_format: str, where: str, layout: Layout | None = None
) -> Float[np.ndarray, "17 3"]:
  """Checks one person's numbers and returns COCO-17.

  Args:
    numbers: x, y and score of every point, as parsed from JSON: one list, or one list
      a point. NaN, which Python's writers put into JSON, is a missing point.
    keypoint_format: one of LAYOUTS.
    where: the list's place in its file, for messages.
    layout: the order of the points; by default that of the format.

  Raises:
    InputError: there are not as many points as in the format, or infinite numbers.
  """
  layout = layout or LAYOUTS[keypoint_format]
  try:
    with np.errstate(over="ignore"):  # Infinity is refused below.
      values = np.asarray(numbers, np.float32)
  except (TypeError, ValueError, OverflowError) as error:
    raise InputError(
      f"{where} is not a list of numbers x, y, score: is the file damaged?"
    ) from error
  if values.ndim == 2 and values.shape[1] == 3:
    values = values.ravel()
  if values.ndim != 1 or values.size != 3 * layout.num_points:
    raise InputError(
      f"{where} has {values.size} numbers, {_points(values.size)}, but "
      f"{keypoint_format} has {3 * layout.num_points}: {_advice(values.size)}."
    )
  values = values.reshape(-1, 3)
  values = np.where(np.isnan(values).any(axis=-1, keepdims=True), 0, values)
  if not np.isfinite(values).all():
    raise InputError(
      f"{where} holds a value that is not finite: write 0 for a missing point."
    )
  return _pick(values, layout)


def frames(
  people: dict[int, list[Float[np.ndarray, "17 3"]]], listed: Sequence[int] = ()
) -> dict[int, Float[np.ndarray, "_ 17 3"]]:
  """Stacks the people of each frame, with the frames `listed` that have nobody."""
  return {
    number: np.array(people.get(number, []), np.float32).reshape(-1, 17, 3)
    for number in {**dict.fromkeys(listed), **people}
  }


def _points(size: int) -> str:
  return f"which is {size // 3} points" if size % 3 == 0 else "not three a point"


def _advice(size: int) -> str:
  fitting = [name for name, layout in LAYOUTS.items() if 3 * layout.num_points == size]
  if size // 3 in WITH_COCO_FIRST and size % 3 == 0:
    fitting += [name for name in ("alphapose", "mmpose") if name not in fitting]
  if not fitting:
    return f"convert it to one of {', '.join(FORMATS)}"
  return f"name --keypoint_format={' or '.join(fitting)}"


def read_json(path: pathlib.Path) -> Any:
  """Parses a JSON file of keypoints; InputError where that fails."""
  return untrusted.read_json(path)
