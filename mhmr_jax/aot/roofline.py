"""The least time that a step can take on a slice, from what it does."""

import dataclasses
from collections.abc import Iterable

from mhmr_jax.aot.exchanges import Collective
from mhmr_jax.aot.topologies import Chip, Topology

# Seconds that a message takes from one chip to the next, however short it is:
# "about 1 us" in Austin et al. (2025), How to Scale Your Model, part 3.
HOP = 1e-6


@dataclasses.dataclass(frozen=True)
class Roofline:
  """Seconds of a step on each of a chip's resources."""

  compute: float
  hbm: float
  interconnect: float

  @property
  def seconds(self) -> float:
    """With all of them at work at once: the least that a step can take."""
    return max(self.compute, self.hbm, self.interconnect)

  @property
  def seconds_without_overlap(self) -> float:
    """With every exchange waited for."""
    return max(self.compute, self.hbm) + self.interconnect

  @property
  def rules(self) -> str:
    """The resource that takes longest."""
    terms = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
    return max(terms, key=terms.__getitem__)


def of(
  chip: Chip,
  topology: Topology,
  flops: float,
  hbm_bytes: float,
  collectives: Iterable[Collective],
) -> Roofline:
  """The roofline of a step that does this on each chip."""
  return Roofline(
    compute=flops / chip.peak_flops,
    hbm=hbm_bytes / chip.hbm_bandwidth,
    interconnect=sum(
      collective.times * exchange_seconds(chip, topology, collective)
      for collective in collectives
    ),
  )


def exchange_seconds(chip: Chip, topology: Topology, collective: Collective) -> float:
  """Seconds of one exchange over the whole slice.

  Rings along all axes at once: an all-reduce sends every byte twice (once to be summed,
  once to be shared out), all else once; an axis that is too short to close into a ring
  has half the bandwidth. A message also takes `HOP` for every chip that it passes.
  """
  if collective.devices < 2:
    return 0.0
  axes = [length for length in topology.shape if length > 1]
  links = sum(2 if length >= chip.wraps else 1 for length in axes)
  passes = 2 if collective.kind == "all-reduce" else 1
  sent = collective.bytes * (collective.devices - 1) / collective.devices
  hops = sum(length / 2 if length >= chip.wraps else length - 1 for length in axes)
  return passes * (sent / (links * chip.link_bandwidth) + hops * HOP)
