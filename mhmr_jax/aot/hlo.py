"""Reads the optimised program that XLA prints: what runs, and how often."""

import dataclasses
import math
import re
from collections.abc import Iterator

_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_NAME = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = ")
_OPCODE = re.compile(r" ?([a-z][\w\-]*)\(")
_ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\](?:\{([^{}]*)\})?")
CALLED = re.compile(r"\b(?:body|condition|calls|to_apply)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"\bbranch_computations=\{([^{}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One line of a computation."""

  name: str
  shape: str  # With layouts, as printed.
  opcode: str
  operands: tuple[str, ...]
  argument: str  # What is between the operands' brackets.
  attributes: str  # What follows them.

  @property
  def op_name(self) -> str:
    """The path of the operation in the traced program; '' if it has none."""
    match = re.search(r'\bop_name="([^"]*)"', self.attributes)
    return match.group(1) if match else ""

  @property
  def cycles(self) -> int:
    """The compiler's estimate for one run; 0 where it made none."""
    match = _CYCLES.search(self.attributes)
    return int(match.group(1)) if match else 0

  @property
  def kind(self) -> str:
    """The opcode; of the start of an asynchronous operation that of the operation."""
    return self.opcode.removesuffix("-start")


@dataclasses.dataclass(frozen=True)
class Module:
  """A program: computations by name, and which of them is run."""

  computations: dict[str, dict[str, Instruction]]
  entry: str


@dataclasses.dataclass(frozen=True)
class Run:
  """An instruction that is run, `times` times, in the loop `loop` ('' for none)."""

  instruction: Instruction
  computation: dict[str, Instruction]
  times: int
  loop: str


def parse(text: str) -> Module:
  """Reads what `Compiled.as_text()` returns."""
  computations: dict[str, dict[str, Instruction]] = {}
  entry = ""
  current: dict[str, Instruction] | None = None
  for line in text.splitlines():
    header = _HEADER.match(line)
    if header and not line.startswith("HloModule"):
      current = computations.setdefault(header.group(2), {})
      entry = header.group(2) if header.group(1) else entry
    elif line.startswith("}"):
      current = None
    elif current is not None and (instruction := _instruction(line)):
      current[instruction.name] = instruction
  return Module(computations, entry)


def _instruction(line: str) -> Instruction | None:
  name = _NAME.match(line)
  if not name:
    return None
  begin = name.end()
  end = _closing(line, begin) if line[begin] == "(" else line.index(" ", begin)
  opcode = _OPCODE.match(line, end)
  if not opcode:
    return None
  close = _closing(line, opcode.end() - 1)
  argument = line[opcode.end() : close - 1]
  return Instruction(
    name=name.group(1),
    shape=line[begin:end],
    opcode=opcode.group(1),
    operands=tuple(re.findall(r"%([\w.\-]+)", argument)),
    argument=argument,
    attributes=line[close:],
  )


def _closing(line: str, begin: int) -> int:
  """Behind the bracket that closes the one at `begin`."""
  depth = 0
  for index in range(begin, len(line)):
    depth += {"(": 1, ")": -1}.get(line[index], 0)
    if depth == 0:
      return index + 1
  return len(line)


def item_bytes(dtype: str) -> float:
  """Bytes of one number of a type, as XLA names it."""
  if dtype == "pred":
    return 1
  bits = re.match(r"[a-z]+(\d+)", dtype)
  return int(bits.group(1)) / 8 if bits else 0


def arrays(shape: str) -> list[tuple[str, list[int], str]]:
  """Element type, dimensions and layout of every array of a shape."""
  return [
    (dtype, [int(size) for size in dims.split(",") if size], layout or "")
    for dtype, dims, layout in _ARRAY.findall(shape)
  ]


def _padded_bytes(dtype: str, dims: list[int], layout: str) -> float:
  """Bytes as laid out: tiles are full, so that small axes take more than they hold."""
  order, _, rest = layout.partition(":")
  tile = re.match(r"T\(([\d,]+)\)", rest)
  if tile and order:
    dims = [dims[int(axis)] for axis in reversed(order.split(","))]
    for back, size in enumerate(reversed(tile.group(1).split(",")), 1):
      if back <= len(dims):
        dims[-back] = -(-dims[-back] // int(size)) * int(size)
  return math.prod(dims) * item_bytes(dtype)


def hbm_bytes(shape: str, first: int | None = None) -> float:
  """Bytes of a shape (of its first arrays alone) in the device's main memory."""
  return sum(
    _padded_bytes(dtype, dims, layout)
    for dtype, dims, layout in arrays(shape)[:first]
    if not re.search(r"S\([1-9]\d*\)", layout)
  )


def executed(module: Module) -> Iterator[Run]:
  """Every instruction that a run executes; fused ones are part of their fusion."""
  yield from _executed(module, module.entry, 1, "")


def _executed(module: Module, name: str, times: int, loop: str) -> Iterator[Run]:
  computation = module.computations[name]
  for instruction in computation.values():
    yield Run(instruction, computation, times, loop)
    called = CALLED.findall(instruction.attributes)
    if instruction.opcode == "while":
      inner = times * trip_count(module, computation, instruction)
      for body in called:
        yield from _executed(module, body, inner, instruction.op_name or "a loop")
    elif instruction.opcode in ("call", "async-start"):
      for body in called:
        yield from _executed(module, body, times, loop)
    elif branches := _BRANCHES.search(instruction.attributes):
      for body in re.findall(r"[\w.\-]+", branches.group(1)):
        yield from _executed(module, body, times, loop)


def trip_count(
  module: Module, computation: dict[str, Instruction], loop: Instruction
) -> int:
  """How often a loop's body runs; 1 where the text does not say.

  XLA's CPU and GPU backends write it down. The TPU's leave `i < constant`, of an i
  that begins at a constant and grows by one.
  """
  known = _TRIPS.search(loop.attributes)
  if known:
    return int(known.group(1))
  condition = re.search(r"\bcondition=%?([\w.\-]+)", loop.attributes)
  if not condition:
    return 1
  tests = module.computations[condition.group(1)]
  for test in tests.values():
    if test.opcode == "compare" and "direction=LT" in test.attributes:
      index, limit = (tests[name] for name in test.operands)
      place = re.search(r"\bindex=(\d+)", index.attributes)
      if place and limit.opcode == "constant":
        start = _initial(computation, loop, int(place.group(1)))
        return int(limit.argument) - start
  return 1


def _initial(computation: dict[str, Instruction], loop: Instruction, place: int) -> int:
  """A loop variable's first value; 0, what a scan begins with, if that is computed."""
  state = computation[loop.operands[0]]
  if state.opcode != "tuple":
    return 0
  value = computation[state.operands[place]]
  while value.opcode in ("copy", "bitcast"):
    value = computation[value.operands[0]]
  return int(value.argument) if value.opcode == "constant" else 0
