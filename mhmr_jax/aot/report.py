"""What a compiled step costs, in words and as one JSON object."""

import collections
from typing import Any

from mhmr_jax.aot import roofline
from mhmr_jax.aot.exchanges import Collective
from mhmr_jax.aot.measure import Cost
from mhmr_jax.aot.topologies import GIB, Topology

GB = 1e9
_MB = 1e6
# Numbers of an exchange of losses and measures alone; of statistics alone, at most:
# merged exchanges carry the name of one of them.
_SCALARS = 64
_STATISTICS = 2**14
_REDUCING = ("all-reduce", "reduce-scatter")


def owner(collective: Collective) -> str:
  """What an exchange is for, from the paths of its operations."""
  if "/norm" in collective.op_name and collective.elements <= _STATISTICS:
    backward = "transpose(" in collective.op_name
    return f"batch norm, {'backward' if backward else 'forward'}"
  if collective.elements <= _SCALARS:
    return "scalars"
  if collective.kind in _REDUCING:
    return "gradients"
  parts = [part for part in collective.op_name.split("/") if "(" not in part]
  return "/".join(parts[-3:]) or "not named"


def _gradients(cost: Cost) -> list[Collective]:
  return [each for each in cost.collectives if owner(each) == "gradients"]


def lines(
  topology: Topology,
  cost: Cost,
  limit: float,
  clips: int,
  price: float | None,
  training: bool,
) -> list[str]:
  """The report of a step.

  Args:
    topology: what it was compiled for.
    cost: of one chip.
    limit: bytes of memory that a program can have on a chip.
    clips: of the global batch.
    price: of a chip for an hour; None if not given.
    training: it updates parameters.
  """
  if cost.out_of_memory:
    return [
      f"HBM a chip    does not fit: {cost.out_of_memory}",
      "              A smaller batch may, or --config.model.encoder.remat=True.",
    ]
  remat = (
    f"only as the compiler computes {cost.rematerialised} operations twice, so that "
    "--config.model.encoder.remat=True may be faster"
    if cost.rematerialised
    else "without rematerialisation"
  )
  fits = f"fits, {remat}" if cost.peak <= limit else "does not fit"
  text = [
    f"HBM a chip    arguments {cost.arguments / GB:.2f} GB, temporaries "
    f"{cost.temporaries / GB:.2f} GB, peak {cost.peak / GB:.2f} GB of "
    f"{limit / GB:.2f} GB ({limit / GIB:.2f} GiB): {fits}",
  ]
  if topology.chip is not None:
    text.append(
      f"Work a chip   {cost.flops / 1e12:.2f} TFLOP, {cost.hbm_bytes / GB:.1f} GB to "
      f"and from HBM (XLA counts {cost.bytes_accessed / GB:.1f} GB, on-chip copies "
      "among them, and of loops one turn)"
    )
  text += _exchange_lines(cost, training)
  return text + _time_lines(topology, cost, clips, price)


def _exchange_lines(cost: Cost, training: bool) -> list[str]:
  groups: dict[tuple[str, str, str], list[Collective]] = collections.defaultdict(list)
  for each in cost.collectives:
    groups[each.kind, owner(each), each.loop].append(each)
  text = ["Exchanges     " + ("none" if not groups else "")]
  for (kind, what, loop), members in groups.items():
    times = sum(each.times for each in members)
    total = sum(each.times * each.bytes for each in members) / _MB
    where = f"in the loop {loop}" if loop else "outside loops"
    text.append(f"  {kind:<20}{what:<24}{times:>5} times{total:>12.3f} MB  {where}")
  if training and cost.collectives:
    summed = sum(each.times * each.elements for each in _gradients(cost))
    text.append(
      f"  Gradients: {summed / 1e6:.2f} million numbers are summed, of "
      f"{cost.parameters / 1e6:.2f} million parameters."
    )
  turns = ", ".join(f"{name} {count}" for name, count in cost.loops.items())
  return [*text, f"Loops         {turns or 'none'}"]


def _time_lines(
  topology: Topology, cost: Cost, clips: int, price: float | None
) -> list[str]:
  if topology.chip is None:
    return ["Time          not known: the compiler has no costs for GPUs"]
  line = roofline.of(
    topology.chip, topology, cost.flops, cost.hbm_bytes, cost.collectives
  )
  text = [
    f"Roofline      {line.seconds * 1e3:.2f} ms: {line.rules} rules (compute "
    f"{line.compute * 1e3:.2f}, HBM {line.hbm * 1e3:.2f}, interconnect "
    f"{line.interconnect * 1e3:.2f}); {line.seconds_without_overlap * 1e3:.2f} ms if "
    "nothing is exchanged meanwhile",
  ]
  clock = topology.chip.clock
  at = f", {cost.cycles / clock * 1e3:.2f} ms at {clock / 1e9:.2f} GHz" if clock else ""
  text.append(f"Compiler      estimates {cost.cycles / 1e6:.1f} million cycles{at}")
  rate = clips / line.seconds
  text.append(
    f"Speed         at most {rate:,.0f} clips/s, {rate / topology.chips:.1f} a chip"
  )
  if price is not None:
    least = _per_million(price, topology, rate)
    text.append(f"Price         at least {least:.2f} a million clips")
  return text


def _per_million(price: float, topology: Topology, rate: float) -> float:
  return price * topology.chips / 3600 / rate * 1e6


def summary(
  topology: Topology, cost: Cost, limit: float, clips: int, price: float | None
) -> dict[str, Any]:
  """The figures of a step for other programs: bytes in GB (1e9) or MB, of one chip."""
  reduced = [each for each in cost.collectives if each.kind == "all-reduce"]
  found: dict[str, Any] = {
    "chips": topology.chips,
    "batch_per_chip": clips // topology.chips,
    "fits": not cost.out_of_memory and cost.peak <= limit,
    "hbm_peak_gb": round(cost.peak / GB, 3),
    "hbm_limit_gb": round(limit / GB, 3),
    "rematerialised": cost.rematerialised,
    "collectives": sum(each.times for each in cost.collectives),
    "collectives_in_loop": sum(each.times for each in cost.collectives if each.loop),
    "allreduce_mb": round(sum(e.times * e.bytes for e in reduced) / _MB, 3),
    "gradients_over_parameters": round(
      sum(each.times * each.elements for each in _gradients(cost)) / cost.parameters, 3
    ),
    "flops_per_step": None,
    "hbm_gb_per_step": None,
    "roofline_s": None,
    "rules": None,
    "compile_s": round(cost.seconds),
  }
  if topology.chip is None or cost.out_of_memory:
    return found
  line = roofline.of(
    topology.chip, topology, cost.flops, cost.hbm_bytes, cost.collectives
  )
  rate = clips / line.seconds
  found |= {
    "flops_per_step": cost.flops,
    "hbm_gb_per_step": round(cost.hbm_bytes / GB, 2),
    "compute_s": round(line.compute, 6),
    "hbm_s": round(line.hbm, 6),
    "interconnect_s": round(line.interconnect, 6),
    "roofline_s": round(line.seconds, 6),
    "rules": line.rules,
    "estimated_cycles": cost.cycles,
    "clips_per_s": round(rate, 1),
  }
  if price is not None:
    found["price_per_million_clips"] = round(_per_million(price, topology, rate), 2)
  return found
