"""A change of any bit changes a digest; where arrays lie does not."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mhmr_jax.files import array_digests

TREE = {
  "weights": np.arange(6, dtype=np.float32).reshape(2, 3),
  "half": np.array([0.5, -2.0], ml_dtypes.bfloat16),
  "step": np.array(7, np.int32),
  "finite": np.array(True),
  "none": np.zeros((0, 3), np.float32),
}


def digest(tree) -> str:
  return array_digests.digest(jax.tree.map(jnp.asarray, tree))


def test_every_single_bit_counts():
  seen = {digest(TREE)}
  for name, values in TREE.items():
    flips = range(values.nbytes * 8) if name != "finite" else [0]
    for bit in flips:
      changed = bytearray(values.tobytes())
      changed[bit // 8] ^= 1 << bit % 8
      array = np.frombuffer(bytes(changed), values.dtype).reshape(values.shape)
      seen.add(digest({**TREE, name: array}))
  assert len(seen) == 1 + 6 * 32 + 2 * 16 + 32 + 1


@pytest.mark.parametrize(
  "change",
  [
    lambda tree: tree | {"weights": tree["weights"].T},
    lambda tree: tree | {"weights": tree["weights"].reshape(3, 2)},
    lambda tree: tree | {"other": tree["none"]},
    lambda tree: {name: tree[name] for name in list(tree)[1:]},
    lambda tree: tree | {"step": np.array(7, np.uint32)},
  ],
)
def test_places_shapes_and_types_count(change):
  assert digest(change(dict(TREE))) != digest(TREE)


def test_exchanged_arrays_have_another_digest():
  first, second = np.ones(3, np.float32), np.zeros(3, np.float32)
  one, other = {"a": first, "b": second}, {"a": second, "b": first}
  assert digest(one) != digest(other)


def test_blocks_do_not_matter(monkeypatch):
  whole = digest(TREE)
  monkeypatch.setattr(array_digests, "_BLOCK", 5)
  assert digest(TREE) == whole


def test_the_sum_of_a_part_is_that_of_its_places():
  """What hosts that hold parts of an array add up is the sum of the whole array."""
  values = np.arange(24, dtype=np.float32).reshape(4, 6)
  slices = [(slice(0, 4), slice(0, 2)), (slice(0, 4), slice(2, 6))]
  parts = [array_digests._sum_of_shard(values[i], i, values.shape) for i in slices]
  whole = (slice(None), slice(None))
  expected = array_digests._sum_of_shard(values, whole, values.shape)
  assert sum(parts) % 2**64 == expected % 2**64


def test_an_array_on_a_mesh_has_the_same_digest():
  mesh = Mesh(np.array(jax.devices()[:1]), ("data",))
  sharding = NamedSharding(mesh, PartitionSpec("data"))
  placed = {"weights": jax.device_put(TREE["weights"], sharding)}
  assert array_digests.digest(placed) == digest({"weights": TREE["weights"]})
