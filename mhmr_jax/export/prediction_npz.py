"""Writes and reads `prediction.npz`: the fields of `schema.Motion` as NumPy arrays.

Numbers and names are arrays without axes. The file alone suffices to reproject the
motion into the video and to replay it in the world. `read` checks the arrays against
the annotations of `Motion`.
"""

import pathlib
import typing
from typing import Any

import jaxtyping
import numpy as np
from jaxtyping import Float, Int, Shaped

from mhmr_jax.errors import InputError
from mhmr_jax.files import npz, npz_writer
from mhmr_jax.schema import Motion

# How numbers and names are stored.
_STORED = {
  int: Int[np.ndarray, ""],
  float: Float[np.ndarray, ""],
  str: Shaped[np.ndarray, ""],
}


def write(path: pathlib.Path, motion: Motion) -> None:
  """Writes a compressed .npz file with an array for each field, by its name.

  Raises:
    InputError: the file cannot be written.
  """
  with npz_writer.writing(path) as file:
    for name, value in motion._asdict().items():
      file.add(name, np.asarray(value))


def read(path: pathlib.Path) -> Motion:
  """Reads what `write` wrote, with the same types.

  Raises:
    InputError: the file is missing or damaged, or a field is absent, of another type or
      shape, not finite, or not in the order of time.
  """
  arrays = npz.read_npz(path, Motion._fields)
  hints = typing.get_type_hints(Motion)
  missing = [name for name in hints if name not in arrays]
  if missing:
    raise InputError(f"{path} has no {missing[0]}: write it anew with this version.")
  with jaxtyping.jaxtyped("context"):  # N is the same number in all fields.
    wrong = [
      name
      for name, hint in hints.items()
      if not isinstance(arrays[name], _STORED.get(hint, hint))
      or (hint is str) != (arrays[name].dtype.kind == "U")
    ]
  if wrong:
    value = arrays[wrong[0]]
    raise InputError(
      f"{wrong[0]} of {path} is {value.dtype} {list(value.shape)}, which is not what "
      "`schema.Motion` says, or not of the other fields' length."
    )
  _check_values(path, arrays)
  fields: dict[str, Any] = {
    name: array.item() if hints[name] in _STORED else array
    for name, array in arrays.items()
  }
  return Motion(**fields)


def _check_values(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
  for name, array in arrays.items():
    if array.dtype.kind == "f" and not np.isfinite(array).all():
      raise InputError(f"{name} of {path} holds something else than finite numbers.")
  times, intrinsics = arrays["times"], arrays["intrinsics"]
  if intrinsics.shape not in ((3, 3), (len(times), 3, 3)):
    raise InputError(f"intrinsics of {path} are not one matrix, or one for each row.")
  for name in ("frame_index", "times"):
    if not (len(times) and (np.diff(arrays[name]) > 0).all()):
      raise InputError(f"{name} of {path} does not increase from row to row.")
