"""How much a program does on each device: memory traffic, products, cycles."""

import math
import re

from mhmr_jax.aot import hlo

_KERNEL = re.compile(r"\bdim_labels=\w+_(\w+)->")
_CONTRACTED = re.compile(r"\blhs_contracting_dims=\{([\d,]*)\}")
# These operations move nothing by themselves. Asynchronous operations are counted at
# their starts.
_FREE = (
  "after-all",
  "bitcast",
  "call",
  "conditional",
  "constant",
  "get-tuple-element",
  "opt-barrier",
  "parameter",
  "partition-id",
  "replica-id",
  "tuple",
  "while",
)


def hbm_traffic(module: hlo.Module) -> float:
  """The bytes that a program moves to and from the device's main memory.

  Every operation reads its operands and writes its result, padding included. Arrays
  that the compiler keeps on the chip are not counted. If an operation only slices an
  array, or updates it in place, only that part of it counts.
  """
  return sum(
    (run.times * _traffic(module, run) for run in hlo.executed(module)), start=0.0
  )


def _traffic(module: hlo.Module, run: hlo.Run) -> float:
  """The bytes that one run of an instruction moves."""
  instruction, computation = run.instruction, run.computation
  if instruction.opcode in _FREE or instruction.opcode.endswith(("-done", "-update")):
    return 0.0
  shapes = [
    computation[name].shape if name in computation else ""
    for name in instruction.operands
  ]
  if instruction.opcode == "copy-start":
    # Its result holds the copy, the original, and a token.
    return hlo.hbm_bytes(instruction.shape, first=2)
  if instruction.opcode == "dynamic-slice":
    return 2 * hlo.hbm_bytes(instruction.shape)
  if instruction.opcode == "dynamic-update-slice":
    return 2 * hlo.hbm_bytes(shapes[1])
  if instruction.opcode == "fusion":
    return _fusion_traffic(module, instruction, shapes)
  return hlo.hbm_bytes(instruction.shape) + sum(map(hlo.hbm_bytes, shapes))


def _fusion_traffic(
  module: hlo.Module, fusion: hlo.Instruction, shapes: list[str]
) -> float:
  """The bytes that a fusion moves; `shapes` are those of its operands."""
  body = module.computations[hlo.CALLED.findall(fusion.attributes)[0]]
  users: dict[str, list[hlo.Instruction]] = {}
  for instruction in body.values():
    for operand in instruction.operands:
      users.setdefault(operand, []).append(instruction)
  total = hlo.hbm_bytes(fusion.shape)
  for parameter in body.values():
    if parameter.opcode != "parameter":
      continue
    whole = hlo.hbm_bytes(shapes[int(parameter.argument)])
    parts = [_part(use, parameter.name, body) for use in users.get(parameter.name, [])]
    if whole and parts and all(part is not None for part in parts):
      updated = [
        use for use in users[parameter.name] if use.opcode == "dynamic-update-slice"
      ]
      read = sum(hlo.hbm_bytes(part) for part in parts if part)
      # An array that is updated in place is also counted as a result, as a whole.
      total += min(read, whole) - (whole if updated else 0.0)
    else:
      total += whole
  return max(total, 0.0)


def _part(
  use: hlo.Instruction, name: str, body: dict[str, hlo.Instruction]
) -> str | None:
  """The shape of the part of the array `name` that `use` touches; None for all."""
  if use.opcode == "dynamic-slice":
    return use.shape
  if use.opcode == "dynamic-update-slice" and use.operands[0] == name:
    return body[use.operands[1]].shape
  return None


def loop_flops(module: hlo.Module) -> float:
  """The floating-point operations of products in loops, after the first iterations.

  XLA's own cost analysis counts a loop's body once.
  """
  return sum(
    (
      (run.times - 1) * _product_flops(module, run)
      for run in hlo.executed(module)
      if run.loop
    ),
    start=0.0,
  )


def _product_flops(module: hlo.Module, run: hlo.Run) -> float:
  """The operations of the products in one run of an instruction."""
  instruction = run.instruction
  if instruction.opcode == "fusion":
    total = 0.0
    for name in hlo.CALLED.findall(instruction.attributes):
      inside = module.computations[name]
      total += sum(
        _product_flops(module, hlo.Run(fused, inside, 1, ""))
        for fused in inside.values()
      )
    return total
  if instruction.opcode not in ("dot", "convolution"):
    return 0.0
  left, right = (
    hlo.arrays(run.computation[name].shape)[0][1] for name in instruction.operands[:2]
  )
  if instruction.opcode == "dot":
    contracted = _CONTRACTED.search(instruction.attributes)
    axes = contracted.group(1).split(",") if contracted else []
    depth = math.prod(left[int(axis)] for axis in axes if axis)
  else:
    # The TPU's matrix products are convolutions too. They sum over all axes of the
    # kernel but its output features.
    labels = _KERNEL.search(instruction.attributes)
    sizes = zip(labels.group(1) if labels else "", right, strict=False)
    depth = math.prod(size for label, size in sizes if label != "o")
  return 2.0 * math.prod(hlo.arrays(instruction.shape)[0][1]) * depth


def estimated_cycles(module: hlo.Module) -> int:
  """The compiler's estimate of the cycles of a run, all loop iterations included."""
  return sum(run.times * run.instruction.cycles for run in hlo.executed(module))
