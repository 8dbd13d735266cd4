"""Accelerators and how many of them: what `--topology` can name."""

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
    hbm_bytes: what the compiler lets a program have, from its own out-of-memory
      message (libtpu 0.0.42): less than what is sold.
    peak_flops: bfloat16 operations a second.
    hbm_bandwidth: bytes a second.
    link_bandwidth: bytes a second one way over one link of the interconnect.
    dimensions: of the torus that the links make.
    wraps: the length from which on an axis closes into a ring.
    clock: cycles a second of the compiler's estimates; None: not published.
    options: of the topology, beside its name.
    source: of the figures.
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


# A clock follows from the peak and the matrix units, 128 x 128 multiply-adds a cycle
# each: four of them in a v5e, eight in the others that have one here. Links are the
# chip's bidirectional bandwidth over twice its ports; v4's a sixth of the pod's
# all-reduce bandwidth over its chips.
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
  """A slice of TPU chips, or hosts of GPUs.

  Attributes:
    name: as given, `v5e:4x4`.
    shape: chips along each axis; of GPUs slices, hosts of a slice, GPUs of a host.
    chip: None of GPUs, whose costs are not known.
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
    """The extra of setup.cfg that has the compiler."""
    return "gpu-aot" if self.chip is None else "tpu-aot"

  @property
  def compiler(self) -> str:
    """The module that has the compiler."""
    return "jax_plugins.xla_cuda12" if self.chip is None else "libtpu"


def parse(name: str) -> Topology:
  """The topology of that name; InputError for one that cannot be.

  That a shape exists is for the compiler to say.
  """
  kind, _, text = name.partition(":")
  chip = CHIPS.get(kind)
  if chip is None and kind != GPU:
    raise InputError(
      f"--topology={name} names no accelerator that is known: use "
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
