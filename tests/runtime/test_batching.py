"""Batches of one size."""

import numpy as np
import pytest

from mhmr_jax.runtime import batching


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 11])
def test_every_row_comes_once_in_order_and_all_batches_have_one_size(count):
  batches = list(batching.padded_batches(count, 4))
  rows = [row for index, real in batches for row in index[:real].tolist()]
  assert rows == list(range(count))
  assert all(len(index) == 4 for index, _ in batches)
  assert all((index[real:] == count - 1).all() for index, real in batches)


def test_blocks_are_all_rows_in_order():
  rows = np.arange(11)
  parts = [rows[block] for block in batching.blocks(11, 4)]
  assert [len(part) for part in parts] == [4, 4, 3]
  np.testing.assert_array_equal(np.concatenate(parts), rows)
  assert not list(batching.blocks(0, 4))
