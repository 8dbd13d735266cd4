"""Reads .npz and .npy files, whose headers are checked before arrays are allocated."""

import math
import pathlib
import zipfile
from collections.abc import Collection
from typing import IO

import numpy as np

from mhmr_jax.files import untrusted
from mhmr_jax.files.untrusted import RefusedError

# The most memory that the arrays of a file may take; SMPL-X's take 240 MB.
MAX_BYTES = 1 << 29
# Above this size, arrays that are compressed by more than the ratio are refused: those
# of real numbers are not, and a small file could fill the memory.
_COMPRESSIBLE = 1 << 25
_MAX_RATIO = 100


def read_npz(
  path: pathlib.Path,
  keys: Collection[str] | None = None,
  max_bytes: int = MAX_BYTES,
) -> dict[str, np.ndarray]:
  """Reads the arrays of an `.npz`, none of which may hold Python objects.

  Args:
    path: the path of the file.
    keys: the arrays to read, as far as the file has them; None reads all.
    max_bytes: the most memory that these arrays may take together.

  Raises:
    InputError: the file is missing or damaged, its arrays are too large, or a header
      and the stored bytes differ.
  """
  arrays = {}
  with untrusted.reading(path, "an .npz"), zipfile.ZipFile(path) as archive:
    members = {m.filename.removesuffix(".npy"): m for m in archive.infolist()}
    if keys is not None:
      members = {name: members[name] for name in keys if name in members}
    for member in members.values():
      _check_ratio(member)
      with archive.open(member) as file:
        max_bytes -= _check_npy_header(
          file, member.filename, member.file_size, max_bytes
        )
    for name, member in members.items():
      with archive.open(member) as file:
        arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
  return arrays


def _check_ratio(member: zipfile.ZipInfo) -> None:
  size = member.file_size
  if size > max(_COMPRESSIBLE, _MAX_RATIO * member.compress_size):
    raise RefusedError(
      f"{member.filename} of {size:,} bytes in {member.compress_size:,}"
    )


def read_npy(path: pathlib.Path) -> np.ndarray:
  """Reads the array of an `.npy`; raises as `read_npz` does."""
  with untrusted.reading(path, "an .npy"), open(path, "rb") as file:
    _check_npy_header(file, path.name, path.stat().st_size, MAX_BYTES)
    file.seek(0)
    array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
  return array


def _check_npy_header(file: IO[bytes], name: str, stored: int, max_bytes: int) -> int:
  """The bytes of an array; RefusedError unless its header agrees with those stored."""
  read_header = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
  }[np.lib.format.read_magic(file)]
  shape, _, dtype = read_header(file)
  if dtype.hasobject:
    raise RefusedError(f"Python objects in {name}")
  size = math.prod(shape) * dtype.itemsize
  # Axes of length zero and types without bytes store nothing, and may claim any length.
  claimed = math.prod(max(length, 1) for length in shape) * max(dtype.itemsize, 1)
  if claimed > max_bytes or size != stored - file.tell():
    raise RefusedError(
      f"{name} of shape {shape}, which its {stored} bytes do not hold or which is too"
      " large"
    )
  return size
