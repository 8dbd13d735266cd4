import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, PartitionSpec

from mhmr_jax.errors import InputError
from mhmr_jax.runtime import sharding

MESH = AbstractMesh((2, 4), ("data", "fsdp"))


def _spec(shape, min_size=64, mesh=MESH):
  leaf = jax.ShapeDtypeStruct(shape, jnp.float32)
  return sharding.of_state({"a": leaf}, mesh, min_size)["a"].spec


def test_large_arrays_are_divided_along_their_longest_even_axis():
  assert _spec((8, 32)) == PartitionSpec(None, "fsdp")
  assert _spec((32, 8)) == PartitionSpec("fsdp")
  assert _spec((33, 8)) == PartitionSpec(None, "fsdp")
  assert _spec((3, 3, 16, 12)) == PartitionSpec(None, None, "fsdp")


def test_small_and_odd_arrays_are_whole_everywhere():
  assert _spec((8, 4)) == PartitionSpec()
  assert _spec((33, 7)) == PartitionSpec()
  assert _spec(()) == PartitionSpec()
  assert _spec((64, 64), mesh=AbstractMesh((8, 1), ("data", "fsdp"))) == PartitionSpec()


@pytest.mark.parametrize("ways", [0, 2, -1])
def test_devices_that_cannot_be_divided_are_refused(ways):
  with pytest.raises(InputError, match=f"config.mesh.fsdp is {ways}"):
    sharding.make_mesh(jax.devices()[:1], ways)


@pytest.mark.parametrize(
  ("batch", "parts"), [(0, 1), (-8, 1), (12, 1), (24, 2), (8, 0)]
)
def test_batches_that_cannot_be_shared_are_refused(batch, parts):
  sharding.check_batch_size(32, MESH, 4)
  with pytest.raises(InputError, match=f"config.train.batch_size is {batch}"):
    sharding.check_batch_size(batch, MESH, parts)


def test_one_host_holds_all_rows():
  rows = sharding.host_rows(sharding.make_mesh(jax.devices()[:1]), 6)
  assert rows[:2] == (0, 1)
  np.testing.assert_array_equal(rows.rows, np.arange(6))
