"""Our own format of keypoints: an .npz file, in which detectors' results are kept.

It holds `keypoints` [N, P, 17, 3] or [N, 17, 3], COCO-17's x, y px and score with NaN
for missing, and perhaps `frame_index` [N], without which the rows are frames 0 to N-1.
"""

import pathlib
from typing import Any

import numpy as np
from jaxtyping import Int

from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic, npz
from mhmr_jax.keypoints.formats import layouts
from mhmr_jax.keypoints.formats.frame_numbers import Listing

_SHAPES = "`keypoints` [N, P, 17, 3] or [N, 17, 3]"


def read(path: pathlib.Path) -> layouts.Listed:
  """Reads the people of every frame that the file names.

  Raises:
    InputError: the file is damaged, or lacks an array of the right shape and type.
  """
  arrays = npz.read_npz(path, ("keypoints", "frame_index"))
  keypoints = arrays.get("keypoints")
  if keypoints is None:
    raise InputError(f"{path} lacks the array {_SHAPES}: save it by that name.")
  shape = keypoints.shape
  if len(shape) not in (3, 4) or shape[-2:] != (17, 3) or keypoints.dtype.kind != "f":
    raise InputError(
      f"`keypoints` of {path} is {keypoints.dtype} {list(shape)}: write {_SHAPES} of "
      "floats, in COCO-17's order."
    )
  if not shape[0]:
    raise InputError(f"`keypoints` of {path} has no frames: write a row for each.")
  if keypoints.ndim == 3:
    keypoints = keypoints[:, None]
  with np.errstate(over="ignore"):  # Infinity is refused below.
    keypoints = keypoints.astype(np.float32)
  if np.isinf(keypoints).any():
    raise InputError(
      f"`keypoints` of {path} holds infinity: write NaN for a missing point."
    )
  frame_index = _frame_index(arrays.get("frame_index"), len(keypoints), path)
  missing = np.isnan(keypoints).any(axis=-1, keepdims=True)
  keypoints = layouts.with_clean_scores(np.where(missing, 0, keypoints))
  people = {
    int(number): found[found[..., 2].any(axis=-1)]
    for number, found in zip(frame_index, keypoints, strict=True)
  }
  is_whole = "frame_index" not in arrays
  return layouts.Listed(people, Listing.EVERY_FRAME if is_whole else Listing.FROM_ZERO)


def _frame_index(
  index: np.ndarray | None, length: int, path: pathlib.Path
) -> Int[np.ndarray, "frames"]:
  if index is None:
    return np.arange(length)
  if index.shape != (length,) or index.dtype.kind not in "iu":
    raise InputError(
      f"`frame_index` of {path} is {index.dtype} {list(index.shape)}: write one whole "
      f"number for each of the {length} frames of `keypoints`."
    )
  if len(np.unique(index)) < length:
    raise InputError(
      f"`frame_index` of {path} names a frame twice: number the frames anew."
    )
  return index


def write(
  path: pathlib.Path, detections: layouts.Detections, **more: np.ndarray
) -> None:
  """Writes the detections, and the arrays in `more` beside them, whole or not at all.

  Raises:
    InputError: the file cannot be written.
  """
  people = max((len(frame) for frame in detections), default=0)
  keypoints = np.full((len(detections), people, 17, 3), np.nan, np.float32)
  for row, frame in zip(keypoints, detections, strict=True):
    row[: len(frame)] = np.where(frame[..., 2:] > 0, frame, np.nan)
  arrays: dict[str, Any] = {"keypoints": keypoints, **more}
  with atomic.whole(path, "name another file by --out") as partial:
    np.savez_compressed(partial, **arrays)
