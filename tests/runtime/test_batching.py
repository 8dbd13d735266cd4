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


@pytest.mark.parametrize("count", [1, 4, 7])
def test_results_are_joined_without_the_padding(count):
  values = np.arange(2 * count).reshape(count, 2)
  sizes = []

  def doubled(rows):
    sizes.append(len(rows))
    return 2 * values[rows]

  np.testing.assert_array_equal(batching.in_batches(doubled, count, 4), 2 * values)
  assert set(sizes) == {4 if count > 1 else 1}  # Streams have a row alone.
