"""Compiles a small program with exchanges in and out of a loop; writes what XLA prints.

  XLA_FLAGS=--xla_force_host_platform_device_count=4 JAX_PLATFORMS=cpu \
    ALLOW_MULTIPLE_LIBTPU_LOAD=1 python -m tests.aot.goldens.make

Needs the extra `tpu-aot`. Four devices; 5 turns of a loop, each with a product
[4, 128] x [128, 256] and an all-reduce of [4, 256]; then an all-reduce of [256].
"""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, PartitionSpec

TURNS, ROWS, WIDTH, FEATURES = 5, 4, 128, 256


def step(kernel: jax.Array, inputs: jax.Array) -> jax.Array:
  """A loss of `inputs` [TURNS, rows, WIDTH], rows divided over the devices."""

  def turn(total: jax.Array, row: jax.Array) -> tuple[jax.Array, None]:
    return jnp.tanh(total + jax.lax.psum(row @ kernel, "data")), None

  first = jnp.zeros((ROWS, FEATURES), jnp.float32)
  total, _ = jax.lax.scan(turn, first, inputs)
  return jax.lax.psum(jnp.sum(total * inputs[0, :, :1], axis=0), "data")


def compiled_text(devices: list[jax.Device]) -> str:
  """The optimised program for these devices."""
  mesh = Mesh(np.array(devices), ("data",))
  split = PartitionSpec(None, "data")
  mapped = jax.shard_map(
    step, mesh=mesh, in_specs=(PartitionSpec(), split), out_specs=PartitionSpec(),
    check_vma=False,
  )  # fmt: skip
  shapes = (
    jax.ShapeDtypeStruct((WIDTH, FEATURES), jnp.float32),
    jax.ShapeDtypeStruct((TURNS, 4 * ROWS, WIDTH), jnp.float32),
  )
  text = str(jax.jit(mapped).lower(*shapes).compile().as_text())
  # Its tables of source files hold this machine's paths.
  return re.sub(r"\nFileNames\n.*?\n\n\n", "\n", text, flags=re.DOTALL)


def main() -> None:
  """Writes the texts beside this file."""
  folder = pathlib.Path(__file__).parent
  slice_ = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2")
  for name, devices in (("cpu", jax.devices()), ("tpu", list(slice_.devices))):
    (folder / f"scan_{name}.hlo").write_text(compiled_text(devices))


if __name__ == "__main__":
  main()
