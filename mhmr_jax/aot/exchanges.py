"""The exchanges between devices (collectives) in a compiled program."""

import dataclasses
import math
import re
from collections.abc import Iterator

from mhmr_jax.aot import hlo

KINDS = (
  "all-reduce",
  "all-gather",
  "reduce-scatter",
  "all-to-all",
  "collective-permute",
  "collective-broadcast",
  "ragged-all-to-all",
)


@dataclasses.dataclass(frozen=True)
class Collective:
  """One exchange between devices.

  Attributes:
    kind: one of `KINDS`.
    bytes: the bytes that one device reduces or gathers.
    elements: the numbers that one device reduces or gathers.
    devices: how many devices take part in one exchange.
    op_name: the path of the operation that it belongs to; if XLA merged several
      exchanges, the path of one of them.
    times: how often a step runs it.
    loop: the path of the loop that it is in; '' for none.
  """

  kind: str
  bytes: int
  elements: int
  devices: int
  op_name: str
  times: int
  loop: str


def collectives(module: hlo.Module) -> list[Collective]:
  """Finds every exchange of a program, including those within fusions."""
  return [each for run in hlo.executed(module) for each in _collectives_of(module, run)]


def _collectives_of(module: hlo.Module, run: hlo.Run) -> Iterator[Collective]:
  """Yields the exchange that an instruction is, or those that a fusion contains."""
  instruction = run.instruction
  if instruction.opcode == "fusion":
    for name in hlo.CALLED.findall(instruction.attributes):
      inside = module.computations[name]
      for fused in inside.values():
        yield from _collectives_of(module, hlo.Run(fused, inside, run.times, run.loop))
  if instruction.kind not in KINDS:
    return
  sent = [
    array
    for name in instruction.operands
    if name in run.computation
    for array in hlo.arrays(run.computation[name].shape)
  ]
  if instruction.kind == "all-gather":
    # The start of an asynchronous all-gather returns its operands first.
    whole = hlo.arrays(instruction.shape)
    sent = whole[len(sent) :] if instruction.opcode.endswith("-start") else whole
  yield Collective(
    kind=instruction.kind,
    bytes=int(sum(math.prod(dims) * hlo.item_bytes(dtype) for dtype, dims, _ in sent)),
    elements=sum(math.prod(dims) for _, dims, _ in sent),
    devices=_group_size(instruction.attributes),
    op_name=instruction.op_name,
    times=run.times,
    loop=run.loop,
  )


def _group_size(attributes: str) -> int:
  """How many devices a group has.

  XLA prints groups as a list of devices, as `[groups,size]<=[n]`, or as axes of a mesh.
  """
  listed = re.search(r"\breplica_groups=\{\{([\d,]+)\}", attributes)
  if listed:
    return listed.group(1).count(",") + 1
  iota = re.search(r"\breplica_groups=\[\d+,(\d+)\]", attributes)
  if iota:
    return int(iota.group(1))
  mesh = re.search(r"\breplica_groups=mesh\[([^\]]*)\] ?\{([^{}]*)\}", attributes)
  if mesh:
    sizes = dict(re.findall(r"'([^']+)'=(\d+)", mesh.group(1)))
    return math.prod(int(sizes[a]) for a in re.findall(r"'([^']+)'", mesh.group(2)))
  return 1
