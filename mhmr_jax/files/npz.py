"""Reads .npz and .npy files; their headers are checked before arrays are made."""

import math
import pathlib
import zipfile
from collections.abc import Collection
from typing import Any

import numpy as np

from mhmr_jax.errors import InputError
from mhmr_jax.files.pickles import RefusedError

# What one array may unfold to; SMPL's 300 shape components take 50 MB.
MAX_BYTES = 1 << 30


def read_npz(
  path: pathlib.Path,
  keys: Collection[str] | None = None,
  max_bytes: int = MAX_BYTES,
) -> dict[str, np.ndarray]:
  """The arrays of an `.npz`, none of Python objects.

  Args:
    path: of the file.
    keys: the arrays to read where they are there; None for all.
    max_bytes: of one array.

  Raises:
    InputError: the file is missing or damaged, or a header says what is not stored.
  """
  arrays = {}
  try:
    with zipfile.ZipFile(path) as archive:
      for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        if keys is not None and name not in keys:
          continue
        with archive.open(member) as file:
          _check_npy_header(file, member.filename, member.file_size, max_bytes)
        with archive.open(member) as file:
          arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
  except RefusedError as error:
    raise InputError(f"{path} is refused: it has {error}") from error
  except Exception as error:  # Damage can raise any.
    raise InputError(
      f"{path} cannot be read as an .npz, it may be damaged: {error!r}"
    ) from error
  return arrays


def read_npy(path: pathlib.Path) -> np.ndarray:
  """The array of an `.npy`; InputError as of `read_npz`."""
  try:
    with open(path, "rb") as file:
      _check_npy_header(file, path.name, path.stat().st_size, MAX_BYTES)
      file.seek(0)
      array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
      return array
  except RefusedError as error:
    raise InputError(f"{path} is refused: it has {error}") from error
  except Exception as error:  # Damage can raise any.
    raise InputError(
      f"{path} cannot be read as an .npy, it may be damaged: {error!r}"
    ) from error


def _check_npy_header(file: Any, name: str, stored: int, max_bytes: int) -> None:
  """Before an array is allocated: the header must agree with what is stored."""
  read_header = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
  }[np.lib.format.read_magic(file)]
  shape, _, dtype = read_header(file)
  if dtype.hasobject:
    raise RefusedError(f"Python objects in {name}: save it as numbers")
  size = math.prod(shape) * dtype.itemsize
  if size > max_bytes or size != stored - file.tell():
    raise RefusedError(
      f"{name} of shape {shape}, which its {stored} bytes do not hold or which is too"
      " large"
    )
