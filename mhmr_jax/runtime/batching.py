"""Batches of one size, so that one compilation serves any number of rows."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped


def padded_batches(
  count: int, size: int
) -> Iterator[tuple[Int[np.ndarray, "size"], int]]:
  """Yields the row indices of each batch, and how many of them are not padding.

  The last batch is padded by repeating the last row.

  Args:
    count: the number of rows.
    size: the number of rows in each batch.
  """
  for start in range(0, count, size):
    yield (
      np.minimum(np.arange(start, start + size), count - 1),
      min(size, count - start),
    )


def in_batches(
  function: Callable[[Int[np.ndarray, "size"]], Any], count: int, size: int
) -> Shaped[np.ndarray, "count *rest"]:
  """Joins what a function returns for the rows of each batch.

  Compilation and the memory for what a jitted function computes are then those of one
  batch. A row alone, as streams have them, is a batch by itself.

  Args:
    function: takes row indices, and returns an array with a row for each.
    count: the number of rows, at least 1.
    size: as in `padded_batches`.
  """
  batches = padded_batches(count, size if count > 1 else 1)
  parts = [np.asarray(function(rows))[:real] for rows, real in batches]
  return np.concatenate(parts)


def blocks(count: int, size: int) -> Iterator[slice]:
  """Yields slices that cut rows into blocks, of which the last one may be smaller."""
  for start in range(0, count, size):
    yield slice(start, min(start + size, count))
