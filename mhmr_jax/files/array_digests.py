"""Digests of arrays, by which a reader checks that a checkpoint is what was saved.

A digest is a sum over all numbers' bits, each times an odd factor of its own, modulo
2^64: a change of any single bit changes it. A sum does not depend on how the arrays are
divided over devices and hosts. The digest is kept in the checkpoint itself, so that
there is never one without the other.
"""

import hashlib
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # Odd; 2^64 over the golden ratio.
_BLOCK = 2**20  # Numbers that are summed at a time, to save memory.


def digest(tree: Any) -> str:
  """The digest of a tree of arrays or numbers.

  It depends on their bits, shapes, types and places in the tree. If arrays lie on the
  devices of several processes, all of these must call this.

  Returns:
    16 hexadecimal digits, the same in all processes.
  """
  total = 0
  leaves = [
    (path, leaf if isinstance(leaf, jax.Array) else np.asarray(leaf))
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  ]
  # Arrays that each process has for itself are whole in each of them.
  is_shared = any(
    isinstance(leaf, jax.Array) and not leaf.is_fully_addressable for _, leaf in leaves
  )
  names_count = jax.process_index() == 0 or not is_shared
  for path, leaf in leaves:
    name = f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}"
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    # An odd factor keeps every change of the sum; the name itself counts once.
    total += (place | 1) * _sum(leaf) + (place if names_count else 0)
  total %= 2**64
  if is_shared:
    halves = np.array(divmod(total, 2**32), np.uint32)
    parts = np.asarray(multihost_utils.process_allgather(halves)).tolist()
    total = sum(high * 2**32 + low for high, low in parts) % 2**64
  return f"{total:016x}"


def _sum(leaf: jax.Array | np.ndarray) -> int:
  """The sum of the numbers that this process is the first to hold."""
  if isinstance(leaf, np.ndarray):
    return _sum_of_shard(leaf, (slice(None),) * leaf.ndim, leaf.shape)
  total = 0
  for shard in leaf.addressable_shards:
    if shard.replica_id == 0:
      total += _sum_of_shard(np.asarray(shard.data), shard.index, leaf.shape)
  return total


def _sum_of_shard(values: np.ndarray, index: Any, shape: tuple[int, ...]) -> int:
  bits = np.ascontiguousarray(values).reshape(-1).view(f"u{values.itemsize}")
  starts = [part.indices(size)[0] for part, size in zip(index, shape, strict=True)]
  total = 0
  for start in range(0, bits.size, _BLOCK):
    block = bits[start : start + _BLOCK].astype(np.uint64)
    places = np.arange(start, start + block.size)
    if values.shape != shape:
      inside = np.unravel_index(places, values.shape)
      moved = [row + offset for row, offset in zip(inside, starts, strict=True)]
      places = np.ravel_multi_index(moved, shape)
    factors = (2 * places.astype(np.uint64) + np.uint64(1)) * _FACTOR
    total += int(np.sum(block * factors, dtype=np.uint64))
  return total
