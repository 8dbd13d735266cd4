"""The least time that a step can take on a slice, by the roofline model.

A step takes at least as long as the busiest of three resources of a chip: its matrix
units, its main memory (HBM), and its links to other chips (interconnect).
"""

import dataclasses
from collections.abc import Iterable

from mhmr_jax.aot.exchanges import Collective
from mhmr_jax.aot.topologies import Chip, Topology

# The latency of a message from one chip to the next, in seconds: "about 1 us" in
# Austin et al. (2025), How to Scale Your Model, part 3.
HOP = 1e-6


@dataclasses.dataclass(frozen=True)
class Roofline:
  """The seconds for which a step keeps each of a chip's resources busy."""

  compute: float
  hbm: float
  interconnect: float

  @property
  def seconds(self) -> float:
    """The least time of a step: all resources work at once."""
    return max(self.compute, self.hbm, self.interconnect)

  @property
  def seconds_without_overlap(self) -> float:
    """The time of a step in which nothing else runs during an exchange."""
    return max(self.compute, self.hbm) + self.interconnect

  @property
  def bound_by(self) -> str:
    """The resource that is busy for longest: compute, hbm or interconnect."""
    terms = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
    return max(terms, key=terms.__getitem__)


def of(
  chip: Chip,
  topology: Topology,
  flops: float,
  hbm_bytes: float,
  collectives: Iterable[Collective],
) -> Roofline:
  """The roofline of a step.

  Args:
    chip: the published figures of a chip.
    topology: the slice.
    flops: operations of the step on each chip.
    hbm_bytes: bytes that the step moves to and from main memory on each chip.
    collectives: the step's exchanges.
  """
  return Roofline(
    compute=flops / chip.peak_flops,
    hbm=hbm_bytes / chip.hbm_bandwidth,
    interconnect=sum(
      (
        collective.times * exchange_seconds(chip, topology, collective)
        for collective in collectives
      ),
      start=0.0,
    ),
  )


def exchange_seconds(chip: Chip, topology: Topology, collective: Collective) -> float:
  """The seconds of one exchange over the whole slice.

  The chips send along rings on all axes at once. An all-reduce sends every byte twice
  (once to sum it, once to share the sum), any other exchange once. An axis that is too
  short to close into a ring has half the bandwidth. A message also takes `HOP` for
  every chip that it passes.
  """
  if collective.devices < 2:
    return 0.0
  axes = [length for length in topology.shape if length > 1]
  links = sum(2 if length >= chip.wraps else 1 for length in axes)
  passes = 2 if collective.kind == "all-reduce" else 1
  sent = collective.bytes * (collective.devices - 1) / collective.devices
  hops = sum(length / 2 if length >= chip.wraps else length - 1 for length in axes)
  return passes * (sent / (links * chip.link_bandwidth) + hops * HOP)
