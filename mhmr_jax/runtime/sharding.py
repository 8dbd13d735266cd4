"""The device mesh, how arrays are placed on it, and batches assembled from hosts."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int

from mhmr_jax.errors import InputError
from mhmr_jax.schema import Batch, HostBatch

_AXES = ("data", "fsdp")


def make_mesh(devices: Sequence[jax.Device] | None = None, fsdp: int = 1) -> Mesh:
  """Arranges devices (default: all of all hosts) along two axes, `data` and `fsdp`.

  Batches are divided over both axes, parameters and optimiser state over `fsdp` alone.

  Raises:
    InputError: the number of devices is not a multiple of `fsdp`.
  """
  devices = jax.devices() if devices is None else devices
  if fsdp < 1 or len(devices) % fsdp:
    raise InputError(
      f"config.mesh.fsdp is {fsdp}: it must divide the {len(devices)} devices."
    )
  # Flax Linen's modules do not support explicit axes; XLA propagates automatic ones.
  return jax.make_mesh(
    (len(devices) // fsdp, fsdp),
    _AXES,
    axis_types=(jax.sharding.AxisType.Auto,) * 2,
    devices=devices,
  )


def replicated(mesh: Mesh | AbstractMesh) -> NamedSharding:
  """The sharding that puts the same array on every device."""
  return NamedSharding(mesh, PartitionSpec())


def batched(mesh: Mesh | AbstractMesh) -> NamedSharding:
  """The sharding of batches, which divides the leading axis over the whole mesh."""
  return NamedSharding(mesh, PartitionSpec(_AXES))


def of_state(abstract_state: Any, mesh: Mesh | AbstractMesh, min_size: int) -> Any:
  """The shardings of parameters and optimiser state; `fsdp` divides large arrays.

  An array of `min_size` numbers or more is divided along its longest axis that divides
  evenly; all others are replicated (big_vision's `fsdp` strategy).

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


def check_batch_size(
  batch_size: int, mesh: Mesh | AbstractMesh, accumulate: int = 1
) -> None:
  """Raises InputError unless each of `accumulate` parts divides over the devices."""
  parts = mesh.size * accumulate
  if batch_size < 1 or accumulate < 1 or batch_size % parts:
    of = f" times config.train.accumulate = {accumulate}" if accumulate != 1 else ""
    raise InputError(
      f"config.train.batch_size is {batch_size}: it must be a positive multiple of "
      f"the {mesh.size} devices{of}."
    )


class HostRows(NamedTuple):
  """A host's number, how many hosts there are, and its rows of each global batch."""

  host: int
  hosts: int
  rows: Int[np.ndarray, "rows"]


def host_rows(mesh: Mesh, batch_size: int) -> HostRows:
  """Returns which rows of global batches this host's devices hold."""
  places = batched(mesh).addressable_devices_indices_map((batch_size,))
  spans = {index[0].indices(batch_size) for index in places.values() if index}
  rows = np.concatenate([np.arange(*span) for span in sorted(spans)])
  return HostRows(jax.process_index(), jax.process_count(), rows)


def replicate(tree: Any, mesh: Mesh) -> Any:
  """Copies arrays, which must be the same on all hosts, to every device."""
  whole = replicated(mesh)
  return jax.tree.map(
    lambda leaf: jax.make_array_from_process_local_data(whole, np.asarray(leaf)), tree
  )


def global_batch(local: HostBatch, mesh: Mesh) -> Batch:
  """Makes the global, sharded batch of which `local` is this host's rows."""
  sharding = batched(mesh)
  return cast(
    Batch,
    {
      key: jax.make_array_from_process_local_data(sharding, rows)
      for key, rows in local.items()
    },
  )
