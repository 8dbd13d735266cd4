"""Writes .npz files whose arrays need not be in memory as a whole."""

import contextlib
import pathlib
import zipfile
from collections.abc import Iterable, Iterator

import numpy as np

from mhmr_jax.files import atomic
from mhmr_jax.runtime.batching import blocks

_ROWS = 1024  # Rows that are copied at once.


class NpzWriter:
  """Adds arrays to a compressed .npz file; `writing` makes one."""

  def __init__(self, archive: zipfile.ZipFile):
    self._archive = archive

  def add(self, name: str, array: np.ndarray) -> None:
    """Adds an array."""
    count = len(array) if array.ndim else 0
    parts = [array[rows] for rows in blocks(count, _ROWS)]  # They are views.
    self.add_rows(name, parts or [array], array.shape)

  def add_rows(
    self, name: str, parts: Iterable[np.ndarray], shape: tuple[int, ...]
  ) -> None:
    """Adds an array whose rows come in parts.

    Args:
      name: the name of the array.
      parts: arrays of one type, at least one; together they have the array's numbers.
      shape: the shape of the array.
    """
    with self._archive.open(f"{name}.npy", "w", force_zip64=True) as file:
      dtype = None
      for part in parts:
        if dtype is None:
          dtype = part.dtype
          described = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": shape,
          }
          np.lib.format.write_array_header_1_0(file, described)
        if part.dtype != dtype:
          raise ValueError(f"a part of {name} is {part.dtype}, and the first {dtype}")
        file.write(part.tobytes())


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[NpzWriter]:
  """Yields a writer of a file that appears once the block has ended.

  Raises:
    InputError: the file cannot be written.
  """
  with (
    atomic.whole(path) as partial,
    zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive,
  ):
    yield NpzWriter(archive)
