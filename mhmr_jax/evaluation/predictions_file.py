"""Reads the predictions of other methods, so that they appear in the same table.

The file is an .npz with one row for each person and frame, in any order:

- `sequence` [N], text: the dataset's name of the clip. For 3DPW with `person` [N], it
  is the name of the sequence's file, and `person` counts as in its pickle.
- `frame_index` [N]: the dataset's frame number; for 3DPW the number in the image's
  name.
- One of:
  `pose` [N, 24, 3] or [N, 72] and `betas` [N, 10] of the neutral body, which is
  SMPL's if config.body.path names it, else the free body, whose betas differ;
  `joints` [N, K, 3]: the protocol's joints in its order, or all rows of its regressor;
  a root that is not among the joints (that of spin) goes into `root` [N, 3];
  `vertices` [N, V, 3] of SMPL's mesh, with or without `joints`.

Lengths are in metres, in the camera's frame (x right, y down, z forward); any
translation will do.
"""

import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from absl import logging
from jaxtyping import Float, Int, Shaped

from mhmr_jax.body import posed_frames, regressor_files
from mhmr_jax.errors import InputError
from mhmr_jax.evaluation.protocols import Protocol
from mhmr_jax.evaluation.scores import Scorer
from mhmr_jax.evaluation.truth import Predicted
from mhmr_jax.files import npz

_LAYOUTS = ("pose", "joints", "vertices")
_KEYS = ("sequence", "person", "frame_index", "betas", "root", *_LAYOUTS)
# The limit of one array; the vertices of 3DPW's test frames take 2.9 GB.
_MAX_BYTES = 4 << 30
_MOST_NAMES = 4  # In a warning.
_LARGEST = 1e4  # Metres or radians.
_HELP = "see the docstring of mhmr_jax.evaluation.predictions_file"


class Stored(NamedTuple):
  """What a file holds.

  Attributes:
    path: the path of the file, for messages.
    names: the clip of each row, with the person's number.
    frame_index: the frame number of each row.
    data: the arrays by their names in the file; those of predictions have a row each.
  """

  path: pathlib.Path
  names: Shaped[np.ndarray, "rows"]
  frame_index: Int[np.ndarray, "rows"]
  data: Mapping[str, np.ndarray]


def load(path: pathlib.Path) -> Stored:
  """Reads a file, and checks what can be checked without the dataset's clips.

  Raises:
    InputError: the file is missing, damaged or hostile, or is not in the layout above.
  """
  if not path.exists():
    raise InputError(f"There is no file of predictions at {path}.")
  data = npz.read_npz(path, _KEYS, _MAX_BYTES)
  names, frame_index = _keys(data, path)
  layouts = [key for key in _LAYOUTS if key in data]
  if not layouts or ("pose" in layouts and len(layouts) > 1):
    raise InputError(
      f"{path} has {' and '.join(layouts) or 'no predictions'}: give pose and betas, "
      "or joints, or vertices."
    )
  if layouts == ["pose"] and "betas" not in data:
    raise InputError(f"{path} has no betas: {_HELP}.")
  for key in ("pose", "betas", "root", "joints", "vertices"):
    if key in data:
      data[key] = _floats(data[key], key, len(names), path)
  return Stored(path, names, frame_index, data)


def match(stored: Stored, scorer: Scorer) -> Predicted:
  """Finds the predictions for the frames of the scorer's clips.

  Warns of frames that are missing from the file and of clips that the dataset lacks.

  Raises:
    InputError: the file has two rows for one frame, or lacks what the protocol needs.
  """
  path = stored.path
  rows = _rows(stored, scorer)
  arrays = _arrays(stored.data, scorer, path)
  present = rows >= 0
  _warn_of_missing(scorer, present, path)
  rows = np.where(present, rows, 0)
  return Predicted({name: values[rows] for name, values in arrays.items()}, present)


def _rows(stored: Stored, scorer: Scorer) -> Int[np.ndarray, "frames"]:
  """The file's row for each frame of the truth; -1 where it has none."""
  path, names, frame_index, _ = stored
  rows_of = _rows_by_clip(names, frame_index)
  truth = scorer.truth
  unknown = [name for name in rows_of if name not in truth.names]
  if unknown:
    logging.warning(
      "%s has predictions for %s, which the dataset has no clip of: they are left out.",
      path, _some(unknown),
    )  # fmt: skip
  found = []
  for name, wanted in zip(truth.names, truth.by_clip(truth.frame_index), strict=True):
    rows = rows_of.get(name, np.zeros(0, np.int64))
    present = frame_index[rows].astype(np.int64)
    if (np.diff(present) == 0).any():
      raise InputError(
        f"{path} has more than one row for a frame of {name}: keep one of them."
      )
    if not len(rows):
      found.append(np.full(len(wanted), -1))
      continue
    place = np.minimum(np.searchsorted(present, wanted), len(rows) - 1)
    found.append(np.where(present[place] == wanted, rows[place], -1))
  return np.concatenate(found).astype(np.int64)


def _keys(
  data: Mapping[str, np.ndarray], path: pathlib.Path
) -> tuple[Shaped[np.ndarray, "rows"], Int[np.ndarray, "rows"]]:
  """The clip's name and the frame number of each row."""
  names = _column(data, "sequence", "US", path)
  if names.dtype.kind == "S":
    names = np.char.decode(names, "utf-8", "replace")
  if not len(names):
    raise InputError(f"{path} has no rows: give one for each frame that is predicted.")
  frame_index = _column(data, "frame_index", "iu", path)
  if "person" in data:
    person = _column(data, "person", "iu", path)
    _check_length(person, "person", len(names), path)
    names = np.char.add(np.char.add(names, "_"), person.astype(str))
  _check_length(frame_index, "frame_index", len(names), path)
  return names, frame_index


def _rows_by_clip(
  names: Shaped[np.ndarray, "rows"], frame_index: Int[np.ndarray, "rows"]
) -> dict[str, Int[np.ndarray, "some"]]:
  """The rows of each clip, in the order of their frames."""
  unique, inverse = np.unique(names, return_inverse=True)
  order = np.argsort(inverse, kind="stable")
  groups = np.split(order, np.cumsum(np.bincount(inverse, minlength=len(unique))))[:-1]
  return {
    name: group[np.argsort(frame_index[group], kind="stable")]
    for name, group in zip(unique.tolist(), groups, strict=True)
  }


def _arrays(
  data: Mapping[str, np.ndarray], scorer: Scorer, path: pathlib.Path
) -> dict[str, np.ndarray]:
  """The arrays of `Predicted`, still in the file's order."""
  count = len(data["sequence"])
  if "pose" in data:
    betas, pose = data["betas"], data["pose"].reshape(count, -1)
    _check_shape(pose, "pose", (count, 72), path)
    _check_shape(betas, "betas", (count, 10), path)
    return {"rotations": posed_frames.matrices(pose.reshape(-1, 24, 3)), "betas": betas}
  arrays = {}
  if "vertices" in data:
    arrays["vertices"] = data["vertices"]
    shape = (count, len(scorer.bodies.neutral.v_template), 3)
    _check_shape(arrays["vertices"], "vertices", shape, path)
  if "joints" in data:
    arrays["points"] = _points(data, scorer.protocol, count, path)
  return arrays


def _points(
  data: Mapping[str, np.ndarray], protocol: Protocol, count: int, path: pathlib.Path
) -> Float[np.ndarray, "rows n 3"]:
  """The protocol's joints followed by its root."""
  joints = data["joints"]
  all_rows = len(regressor_files.KINDS.get(protocol.regressor, protocol.joints))
  wanted = len(protocol.rows)
  if joints.shape == (count, all_rows, 3):
    root = joints[:, list(protocol.root_rows)].mean(1, keepdims=True)
    return np.concatenate([joints[:, list(protocol.rows)], root], axis=1)
  if joints.shape != (count, wanted, 3):
    either = f" or {all_rows}" if all_rows != wanted else ""
    raise InputError(
      f"joints of {path} is of shape {joints.shape}: protocol {protocol.name} has "
      f"{wanted}{either} joints, for each of the {count} rows of sequence."
    )
  if "root" in data:
    root = data["root"]
    _check_shape(root, "root", (count, 3), path)
    return np.concatenate([joints, root[:, None]], axis=1)
  if not set(protocol.root_rows) <= set(protocol.rows):
    raise InputError(
      f"{path} has the {wanted} joints of protocol {protocol.name} without its root, "
      f"the {protocol.root}: add root [N, 3], or give all {all_rows} rows as joints."
    )
  places = [protocol.rows.index(row) for row in protocol.root_rows]
  return np.concatenate([joints, joints[:, places].mean(1, keepdims=True)], axis=1)


def _warn_of_missing(scorer: Scorer, present: np.ndarray, path: pathlib.Path) -> None:
  missing = scorer.counted & ~present
  if not missing.any():
    return
  counts = [int(part.sum()) for part in scorer.truth.by_clip(missing)]
  names = [
    f"{name} ({count:,})"
    for name, count in zip(scorer.truth.names, counts, strict=True)
    if count
  ]
  logging.warning(
    "%s lacks %s of the %s frames that count, which its figures leave out: %s.",
    path, f"{missing.sum():,}", f"{scorer.counted.sum():,}", _some(names),
  )  # fmt: skip


def _some(names: list[str]) -> str:
  more = len(names) - _MOST_NAMES
  return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _column(
  data: Mapping[str, np.ndarray], key: str, kinds: str, path: pathlib.Path
) -> np.ndarray:
  if key not in data:
    raise InputError(f"{path} has no {key}: {_HELP}.")
  values = data[key]
  if values.ndim != 1 or values.dtype.kind not in kinds:
    what = "text" if "U" in kinds else "whole numbers"
    raise InputError(
      f"{key} of {path} is {values.dtype} of shape {values.shape}, not {what} [N]."
    )
  return values


def _floats(
  values: np.ndarray, key: str, count: int, path: pathlib.Path
) -> Float[np.ndarray, "rows ..."]:
  if values.dtype.kind not in "fiu":
    raise InputError(f"{key} of {path} is {values.dtype}, not numbers.")
  if not values.ndim or len(values) != count:
    rows = f"{len(values)} rows" if values.ndim else "a single number"
    raise InputError(f"{key} of {path} has {rows}, sequence has {count}.")
  # NaN is a row without a prediction; reductions make no copy of all vertices.
  low, high = (
    reduce(values, None, initial=0) for reduce in (np.fmin.reduce, np.fmax.reduce)
  )
  if low < -_LARGEST or high > _LARGEST:
    raise InputError(
      f"{key} of {path} has numbers beyond {_LARGEST:,.0f}: give metres and radians."
    )
  return values.astype(np.float32, copy=False)


def _check_shape(
  values: np.ndarray, key: str, shape: tuple[int, ...], path: pathlib.Path
) -> None:
  if values.shape != shape:
    raise InputError(f"{key} of {path} is of shape {values.shape}, not {shape}.")


def _check_length(values: np.ndarray, key: str, count: int, path: pathlib.Path) -> None:
  if len(values) != count:
    raise InputError(f"{key} of {path} has {len(values)} rows, sequence has {count}.")
