"""Reads .npz and .npy files, whose headers are checked before arrays are allocated."""

import math
import pathlib
import zipfile
from collections.abc import Collection
from typing import IO

import numpy as np

from mhmr_jax.files import untrusted
from mhmr_jax.files.untrusted import RefusedError

# The most that one array may take in memory; SMPL's 300 shape components take 50 MB.
MAX_BYTES = 1 << 30


def read_npz(
  path: pathlib.Path,
  keys: Collection[str] | None = None,
  max_bytes: int = MAX_BYTES,
) -> dict[str, np.ndarray]:
  """Reads the arrays of an `.npz`, none of which may hold Python objects.

  Args:
    path: of the file.
    keys: the arrays to read, as far as the file has them; None reads all.
    max_bytes: the most that one array may take in memory.

  Raises:
    InputError: the file is missing or damaged, or a header and the stored bytes differ.
  """
  arrays = {}
  with untrusted.reading(path, "an .npz"), zipfile.ZipFile(path) as archive:
    for member in archive.infolist():
      name = member.filename.removesuffix(".npy")
      if keys is not None and name not in keys:
        continue
      with archive.open(member) as file:
        _check_npy_header(file, member.filename, member.file_size, max_bytes)
      with archive.open(member) as file:
        arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
  return arrays


def read_npy(path: pathlib.Path) -> np.ndarray:
  """Reads the array of an `.npy`; raises as `read_npz` does."""
  with untrusted.reading(path, "an .npy"), open(path, "rb") as file:
    _check_npy_header(file, path.name, path.stat().st_size, MAX_BYTES)
    file.seek(0)
    array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
  return array


def _check_npy_header(file: IO[bytes], name: str, stored: int, max_bytes: int) -> None:
  """Raises RefusedError unless the header agrees with the number of stored bytes."""
  read_header = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
  }[np.lib.format.read_magic(file)]
  shape, _, dtype = read_header(file)
  if dtype.hasobject:
    raise RefusedError(f"Python objects in {name}")
  size = math.prod(shape) * dtype.itemsize
  if size > max_bytes or size != stored - file.tell():
    raise RefusedError(
      f"{name} of shape {shape}, which its {stored} bytes do not hold or which is too"
      " large"
    )
