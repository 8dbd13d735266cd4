"""What a compiled step costs, as lines of text and as one JSON object."""

import collections
import dataclasses
from typing import Any

from mhmr_jax.aot import roofline
from mhmr_jax.aot.exchanges import Collective
from mhmr_jax.aot.measure import Cost
from mhmr_jax.aot.topologies import GIB, Topology

GB = 1e9
_MB = 1e6
# An exchange of at most so many numbers is of losses and measures only, or of batch
# norm's statistics: an exchange that XLA merged has the name of only one of its parts.
_SCALARS = 64
_STATISTICS = 2**14
_REDUCING = ("all-reduce", "reduce-scatter")
_BOUND = {
  "compute": "compute-bound",
  "hbm": "HBM-bound",
  "interconnect": "interconnect-bound",
}


def owner(collective: Collective) -> str:
  """What an exchange is for, from the path and the size of its operation."""
  if "/norm" in collective.op_name and collective.elements <= _STATISTICS:
    backward = "transpose(" in collective.op_name
    return f"batch norm, {'backward' if backward else 'forward'}"
  if collective.elements <= _SCALARS:
    return "scalars"
  if collective.kind in _REDUCING:
    return "gradients"
  parts = [part for part in collective.op_name.split("/") if "(" not in part]
  return "/".join(parts[-3:]) or "not named"


@dataclasses.dataclass(frozen=True)
class Report:
  """The cost of one step.

  Attributes:
    topology: the slice that the step was compiled for.
    cost: what the step costs on each chip.
    limit: the bytes of memory that a program can have on a chip.
    clips: the size of the global batch.
    price: the price of a chip for an hour, in any currency; None if not known.
    training: whether the step updates parameters.
  """

  topology: Topology
  cost: Cost
  limit: float
  clips: int
  price: float | None
  training: bool

  @property
  def fits(self) -> bool:
    """Whether the step fits into a chip's memory."""
    return not self.cost.out_of_memory and self.cost.peak <= self.limit

  def lines(self) -> list[str]:
    """The report as text."""
    if self.cost.out_of_memory:
      return [
        f"HBM a chip    does not fit: {self.cost.out_of_memory}",
        "              A smaller batch may, or --config.model.encoder.remat=True.",
      ]
    return self._memory_lines() + self._exchange_lines() + self._time_lines()

  def _memory_lines(self) -> list[str]:
    cost, limit = self.cost, self.limit
    remat = (
      f"only as the compiler computes {cost.rematerialised} operations twice, so that "
      "--config.model.encoder.remat=True may be faster"
      if cost.rematerialised
      else "without rematerialisation"
    )
    text = [
      f"HBM a chip    arguments {cost.arguments / GB:.2f} GB, temporaries "
      f"{cost.temporaries / GB:.2f} GB, peak {cost.peak / GB:.2f} GB of "
      f"{limit / GB:.2f} GB ({limit / GIB:.2f} GiB): "
      f"{f'fits, {remat}' if self.fits else 'does not fit'}",
    ]
    if self.topology.chip is not None:
      text.append(
        f"Work a chip   {cost.flops / 1e12:.2f} TFLOP, {cost.hbm_bytes / GB:.1f} GB to "
        f"and from HBM (XLA counts {cost.bytes_accessed / GB:.1f} GB, on-chip copies "
        "among them, and of loops one turn)"
      )
    return text

  def _exchange_lines(self) -> list[str]:
    groups: dict[tuple[str, str, str], list[Collective]] = collections.defaultdict(list)
    for each in self.cost.collectives:
      groups[each.kind, owner(each), each.loop].append(each)
    text = ["Exchanges     " + ("none" if not groups else "")]
    for (kind, what, loop), members in groups.items():
      times = sum(each.times for each in members)
      total = sum(each.times * each.bytes for each in members) / _MB
      where = f"in the loop {loop}" if loop else "outside loops"
      text.append(f"  {kind:<20}{what:<24}{times:>5} times{total:>12.3f} MB  {where}")
    if self.training and self.cost.collectives:
      text.append(
        f"  Gradients: {self._summed_gradients() / 1e6:.2f} million numbers are "
        f"summed, of {self.cost.parameters / 1e6:.2f} million parameters."
      )
    turns = ", ".join(f"{name} {count}" for name, count in self.cost.loops.items())
    return [*text, f"Loops         {turns or 'none'}"]

  def _summed_gradients(self) -> int:
    """How many numbers the exchanges of gradients sum in a step."""
    return sum(
      each.times * each.elements
      for each in self.cost.collectives
      if owner(each) == "gradients"
    )

  def _roofline(self) -> roofline.Roofline | None:
    """The least time of the step; None for GPUs and for steps that don't fit."""
    cost, chip = self.cost, self.topology.chip
    if chip is None or cost.out_of_memory:
      return None
    return roofline.of(
      chip, self.topology, cost.flops, cost.hbm_bytes, cost.collectives
    )

  def _time_lines(self) -> list[str]:
    line, chip = self._roofline(), self.topology.chip
    if line is None or chip is None:
      return ["Time          not known: the compiler has no costs for GPUs"]
    cycles = self.cost.cycles
    at = (
      f", {cycles / chip.clock * 1e3:.2f} ms at {chip.clock / 1e9:.2f} GHz"
      if chip.clock
      else ""
    )
    rate = self.clips / line.seconds
    text = [
      f"Roofline      {line.seconds * 1e3:.2f} ms: {_BOUND[line.bound_by]} (compute "
      f"{line.compute * 1e3:.2f}, HBM {line.hbm * 1e3:.2f}, interconnect "
      f"{line.interconnect * 1e3:.2f}); {line.seconds_without_overlap * 1e3:.2f} ms if "
      "nothing is exchanged meanwhile",
      f"Compiler      estimates {cycles / 1e6:.1f} million cycles{at}",
      f"Speed         at most {rate:,.0f} clips/s, "
      f"{rate / self.topology.chips:.1f} a chip",
    ]
    if self.price is not None:
      least = self._per_million(self.price, rate)
      text.append(f"Price         at least {least:.2f} a million clips")
    return text

  def _per_million(self, price: float, rate: float) -> float:
    """The price of a million clips at `rate` clips per second."""
    return price * self.topology.chips / 3600 / rate * 1e6

  def summary(self) -> dict[str, Any]:
    """The figures for other programs: of one chip, bytes in GB (1e9) or MB (1e6)."""
    cost = self.cost
    reduced = [each for each in cost.collectives if each.kind == "all-reduce"]
    figures: dict[str, Any] = {
      "chips": self.topology.chips,
      "batch_per_chip": self.clips // self.topology.chips,
      "fits": self.fits,
      "hbm_peak_gb": round(cost.peak / GB, 3),
      "hbm_limit_gb": round(self.limit / GB, 3),
      "rematerialised": cost.rematerialised,
      "collectives": sum(each.times for each in cost.collectives),
      "collectives_in_loop": sum(each.times for each in cost.collectives if each.loop),
      "allreduce_mb": round(sum(e.times * e.bytes for e in reduced) / _MB, 3),
      "gradients_over_parameters": round(self._summed_gradients() / cost.parameters, 3),
      "flops_per_step": None,
      "hbm_gb_per_step": None,
      "roofline_s": None,
      "bound_by": None,
      "compile_s": round(cost.seconds),
    }
    return figures | self._time_figures()

  def _time_figures(self) -> dict[str, Any]:
    line = self._roofline()
    if line is None:
      return {}
    rate = self.clips / line.seconds
    figures = {
      "flops_per_step": self.cost.flops,
      "hbm_gb_per_step": round(self.cost.hbm_bytes / GB, 2),
      "compute_s": round(line.compute, 6),
      "hbm_s": round(line.hbm, 6),
      "interconnect_s": round(line.interconnect, 6),
      "roofline_s": round(line.seconds, 6),
      "bound_by": line.bound_by,
      "estimated_cycles": self.cost.cycles,
      "clips_per_s": round(rate, 1),
    }
    if self.price is not None:
      price = self._per_million(self.price, rate)
      figures["price_per_million_clips"] = round(price, 2)
    return figures
