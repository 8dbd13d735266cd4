"""Reads the text of a program that XLA optimised: what runs, and how often.

The text is read with regular expressions because jaxlib's parsed `HloModule` has no
shapes, layouts or attributes of instructions (version 0.10 exposes only names, opcodes,
operands and, again, text). Its serialised `HloModuleProto` has all of them, but no
package on PyPI that we could depend on ships Python bindings of hlo.proto.
"""

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
  shape: str  # The result's shape, with layouts.
  opcode: str
  operands: tuple[str, ...]  # Their names.
  argument: str  # The text in the brackets of the operands.
  attributes: str  # The text after these brackets.

  @property
  def op_name(self) -> str:
    """The path of the operation in the traced program; '' if it has no path."""
    match = re.search(r'\bop_name="([^"]*)"', self.attributes)
    return match.group(1) if match else ""

  @property
  def cycles(self) -> int:
    """The compiler's estimate of the cycles of one run; 0 if there is none."""
    match = _CYCLES.search(self.attributes)
    return int(match.group(1)) if match else 0

  @property
  def kind(self) -> str:
    """The opcode; for the start of an asynchronous operation, that of the operation."""
    return self.opcode.removesuffix("-start")


@dataclasses.dataclass(frozen=True)
class Module:
  """A program: its computations by name, and the name of the one that runs first."""

  computations: dict[str, dict[str, Instruction]]
  entry: str


@dataclasses.dataclass(frozen=True)
class Run:
  """An instruction that a program runs.

  Attributes:
    instruction: the instruction.
    computation: the computation that holds it.
    times: how often the program runs it.
    loop: the path of the innermost loop that holds it; '' for none.
  """

  instruction: Instruction
  computation: dict[str, Instruction]
  times: int
  loop: str


def parse(text: str) -> Module:
  """Parses the text that `Compiled.as_text()` returns."""
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
  """Parses one line; None if it holds no instruction."""
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
  """The index after the bracket that closes the one at `begin`."""
  depth = 0
  for index in range(begin, len(line)):
    depth += {"(": 1, ")": -1}.get(line[index], 0)
    if depth == 0:
      return index + 1
  return len(line)


def item_bytes(dtype: str) -> float:
  """The bytes of one number of a type that XLA names, such as bf16; 0 for tokens."""
  if dtype == "pred":
    return 1.0
  bits = re.match(r"[a-z]+(\d+)", dtype)
  return int(bits.group(1)) / 8 if bits else 0.0


def arrays(shape: str) -> list[tuple[str, list[int], str]]:
  """The element type, dimensions and layout of every array of a printed shape."""
  return [
    (dtype, [int(size) for size in dims.split(",") if size], layout or "")
    for dtype, dims, layout in _ARRAY.findall(shape)
  ]


def _padded_bytes(dtype: str, dims: list[int], layout: str) -> float:
  """The bytes of an array with its padding: a layout's tiles are always full."""
  order, _, rest = layout.partition(":")
  tile = re.match(r"T\(([\d,]+)\)", rest)
  if tile and order:
    dims = [dims[int(axis)] for axis in reversed(order.split(","))]
    for back, size in enumerate(reversed(tile.group(1).split(",")), 1):
      if back <= len(dims):
        dims[-back] = -(-dims[-back] // int(size)) * int(size)
  return math.prod(dims) * item_bytes(dtype)


def hbm_bytes(shape: str, first: int | None = None) -> float:
  """The bytes that arrays take in the device's main memory.

  Args:
    shape: a printed shape. Arrays in another memory space than 0, such as the chip's
      own memory, take none.
    first: how many of the shape's arrays count; None for all.
  """
  return sum(
    (
      _padded_bytes(dtype, dims, layout)
      for dtype, dims, layout in arrays(shape)[:first]
      if not re.search(r"S\([1-9]\d*\)", layout)
    ),
    start=0.0,
  )


def executed(module: Module) -> Iterator[Run]:
  """Yields every instruction that a program runs, a fusion as one instruction."""
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
  """How often a loop's body runs; 1 if the text does not tell.

  XLA's CPU and GPU backends write the number down. The TPU backend leaves a condition
  `i < constant`, where i begins at a constant and grows by one.
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
  """A loop variable's first value; 0, where scans begin, if it is not a constant."""
  state = computation[loop.operands[0]]
  if state.opcode != "tuple":
    return 0
  value = computation[state.operands[place]]
  while value.opcode in ("copy", "bitcast"):
    value = computation[value.operands[0]]
  return int(value.argument) if value.opcode == "constant" else 0
