"""The device mesh, how arrays lie on it, and batches assembled from hosts."""

from typing import cast

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mhmr_jax.batch import Batch, HostBatch
from mhmr_jax.errors import InputError


def make_mesh() -> Mesh:
  """All devices of all hosts along one axis, `data`."""
  # Flax Linen's modules know nothing of explicit axes: XLA propagates them.
  return jax.make_mesh(
    (jax.device_count(),), ("data",), axis_types=(jax.sharding.AxisType.Auto,)
  )


def replicated(mesh: Mesh) -> NamedSharding:
  """The same on every device: parameters and optimiser state."""
  return NamedSharding(mesh, PartitionSpec())


def batched(mesh: Mesh) -> NamedSharding:
  """The leading axis divided over the mesh: batches."""
  return NamedSharding(mesh, PartitionSpec("data"))


def check_batch_size(batch_size: int, mesh: Mesh) -> None:
  """Raises InputError unless the devices can share the batch equally."""
  if batch_size < 1 or batch_size % mesh.size:
    raise InputError(
      f"config.train.batch_size is {batch_size}: it must be a positive multiple of "
      f"the {mesh.size} devices."
    )


def global_batch(local: HostBatch, mesh: Mesh) -> Batch:
  """This host's rows to its part of a global, sharded batch."""
  sharding = batched(mesh)
  return cast(
    Batch,
    {
      key: jax.make_array_from_process_local_data(sharding, rows)
      for key, rows in local.items()
    },
  )
