"""The device mesh, how arrays lie on it, and batches assembled from hosts."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int

from mhmr_jax.errors import InputError
from mhmr_jax.schema import Batch, HostBatch

_AXES = ("data", "fsdp")


def make_mesh(devices: Sequence[jax.Device] | None = None, fsdp: int = 1) -> Mesh:
  """Devices (default: all of all hosts) along two axes, `data` and `fsdp`.

  Batches are divided over both; parameters and optimiser state over `fsdp` alone.

  Raises:
    InputError: the devices cannot be divided so.
  """
  devices = jax.devices() if devices is None else devices
  if fsdp < 1 or len(devices) % fsdp:
    raise InputError(
      f"config.mesh.fsdp is {fsdp}: it must divide the {len(devices)} devices."
    )
  # Flax Linen's modules know nothing of explicit axes: XLA propagates them.
  return jax.make_mesh(
    (len(devices) // fsdp, fsdp),
    _AXES,
    axis_types=(jax.sharding.AxisType.Auto,) * 2,
    devices=devices,
  )


def replicated(mesh: Mesh) -> NamedSharding:
  """The same on every device."""
  return NamedSharding(mesh, PartitionSpec())


def batched(mesh: Mesh) -> NamedSharding:
  """The leading axis divided over the mesh: batches."""
  return NamedSharding(mesh, PartitionSpec(_AXES))


def of_state(abstract_state: Any, mesh: Mesh, min_size: int) -> Any:
  """How parameters and optimiser state lie: large arrays divided over `fsdp`.

  Of an array of `min_size` numbers or more, the longest axis that divides evenly is
  divided; the rest is replicated (as big_vision's `fsdp` strategy has it).

  Returns:
    A sharding for each leaf.
  """
  ways = mesh.shape["fsdp"]

  def place(leaf: jax.ShapeDtypeStruct) -> NamedSharding:
    even = [axis for axis in range(leaf.ndim) if leaf.shape[axis] % ways == 0]
    if ways == 1 or leaf.size < min_size or not even:
      return replicated(mesh)
    longest = max(even, key=lambda axis: leaf.shape[axis])
    return NamedSharding(mesh, PartitionSpec(*[None] * longest, "fsdp"))

  return jax.tree.map(place, abstract_state)


def check_batch_size(batch_size: int, mesh: Mesh, accumulate: int = 1) -> None:
  """Raises InputError unless the devices can share the batch's parts equally."""
  parts = mesh.size * accumulate
  if batch_size < 1 or accumulate < 1 or batch_size % parts:
    of = f" times config.train.accumulate = {accumulate}" if accumulate != 1 else ""
    raise InputError(
      f"config.train.batch_size is {batch_size}: it must be a positive multiple of "
      f"the {mesh.size} devices{of}."
    )


class HostRows(NamedTuple):
  """One host of several, and the rows of a global batch that its devices hold."""

  host: int
  hosts: int
  rows: Int[np.ndarray, "rows"]


def host_rows(mesh: Mesh, batch_size: int) -> HostRows:
  """This host's rows of global batches."""
  places = batched(mesh).addressable_devices_indices_map((batch_size,))
  spans = {index[0].indices(batch_size) for index in places.values() if index}
  rows = np.concatenate([np.arange(*span) for span in sorted(spans)])
  return HostRows(jax.process_index(), jax.process_count(), rows)


def replicate(tree: Any, mesh: Mesh) -> Any:
  """The same arrays, which all hosts have, on every device."""
  whole = replicated(mesh)
  return jax.tree.map(
    lambda leaf: jax.make_array_from_process_local_data(whole, np.asarray(leaf)), tree
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
