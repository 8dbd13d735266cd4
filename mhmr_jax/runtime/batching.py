"""Rows in batches of one size, for one compilation, and in blocks, to save memory."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int


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


def blocks(count: int, size: int) -> Iterator[slice]:
  """Yields slices that cut rows into blocks, of which the last one may be smaller."""
  for start in range(0, count, size):
    yield slice(start, min(start + size, count))
