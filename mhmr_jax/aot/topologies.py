"""The accelerators that `--topology` can name, and their published figures."""

import dataclasses
import math
import re
from typing import Any

from mhmr_jax.errors import InputError

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
  """Published figures of one TPU chip.

  Attributes:
    hbm_bytes: the memory that the compiler gives a program, from its out-of-memory
      message (libtpu 0.0.42); it is less than the chip's nominal memory.
    peak_flops: bfloat16 operations per second.
    hbm_bandwidth: bytes per second.
    link_bandwidth: bytes per second, one way over one link of the interconnect.
    dimensions: the dimensions of the torus that the links form.
    wraps: the shortest axis that closes into a ring, in chips.
    clock: cycles per second, for the compiler's estimates; None if not published.
    options: options of JAX's topology description.
    source: the page with the figures.
  """

  hbm_bytes: float
  peak_flops: float
  hbm_bandwidth: float
  link_bandwidth: float
  dimensions: int
  wraps: int
  clock: float | None
  options: dict[str, Any]
  source: str


# The clock is the peak over the matrix units' operations per cycle: each unit makes
# 128 x 128 multiply-adds, and a chip has four units (v5e) or eight (v4 and v5p). A
# link's bandwidth is the chip's bidirectional bandwidth over twice its ports, but for
# v4 a sixth of the pod's all-reduce bandwidth over its chips.
CHIPS = {
  "v4": Chip(
    hbm_bytes=30.75 * GIB,
    peak_flops=275e12,
    hbm_bandwidth=1.2e12,
    link_bandwidth=45e9,
    dimensions=3,
    wraps=4,
    clock=1.05e9,
    # Both cores of a chip as one device.
    options={"chip_config_name": "megacore"},
    source="https://cloud.google.com/tpu/docs/v4",
  ),
  "v5e": Chip(
    hbm_bytes=15.75 * GIB,
    peak_flops=197e12,
    hbm_bandwidth=819e9,
    link_bandwidth=50e9,
    dimensions=2,
    wraps=16,
    clock=1.5e9,
    options={},
    source="https://cloud.google.com/tpu/docs/v5e",
  ),
  "v5p": Chip(
    hbm_bytes=95.74 * GIB,
    peak_flops=459e12,
    hbm_bandwidth=2.765e12,
    link_bandwidth=100e9,
    dimensions=3,
    wraps=4,
    clock=1.75e9,
    options={},
    source="https://cloud.google.com/tpu/docs/v5p",
  ),
  "v6e": Chip(
    hbm_bytes=31.25 * GIB,
    peak_flops=918e12,
    hbm_bandwidth=1.638e12,
    link_bandwidth=100e9,
    dimensions=2,
    wraps=16,
    clock=None,
    options={},
    source="https://cloud.google.com/tpu/docs/v6e",
  ),
}
GPU = "h100"


@dataclasses.dataclass(frozen=True)
class Topology:
  """A slice of TPU chips, or hosts with GPUs.

  Attributes:
    name: the name, such as `v5e:4x4`.
    shape: TPUs: chips along each axis; GPUs: slices, hosts of a slice, GPUs of a host.
    chip: the chip's figures; None for GPUs, for which the compiler has no costs.
  """

  name: str
  shape: tuple[int, ...]
  chip: Chip | None

  @property
  def chips(self) -> int:
    """How many devices there are."""
    return math.prod(self.shape)

  @property
  def extra(self) -> str:
    """The extra of setup.cfg that installs the compiler."""
    return "gpu-aot" if self.chip is None else "tpu-aot"

  @property
  def compiler(self) -> str:
    """The name of the module that holds the compiler."""
    return "jax_plugins.xla_cuda12" if self.chip is None else "libtpu"


def parse(name: str) -> Topology:
  """Reads the name of a topology. Only the compiler knows which shapes exist.

  Raises:
    InputError: the accelerator is unknown, or the shape has another number of
      dimensions.
  """
  kind, _, text = name.partition(":")
  chip = CHIPS.get(kind)
  if chip is None and kind != GPU:
    raise InputError(
      f"--topology={name} names no known accelerator: use "
      f"{', '.join(CHIPS)} or {GPU}, such as v5e:4x4."
    )
  dimensions = 3 if chip is None else chip.dimensions
  if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", text) or (
    text.count("x") != dimensions - 1
  ):
    example = f"{kind}:{'1x2x8' if chip is None else 'x'.join('4' * dimensions)}"
    meaning = "slices x hosts x GPUs" if chip is None else "chips along each axis"
    raise InputError(
      f"--topology={name} has no shape of {dimensions} numbers ({meaning}), such as "
      f"{example}."
    )
  return Topology(name, tuple(map(int, text.split("x"))), chip)
