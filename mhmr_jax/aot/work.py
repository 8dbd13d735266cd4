"""What a program does on each device: memory traffic, products, cycles."""

import math
import re

from mhmr_jax.aot import hlo

_KERNEL = re.compile(r"\bdim_labels=\w+_(\w+)->")
_CONTRACTED = re.compile(r"\blhs_contracting_dims=\{([\d,]*)\}")
# What moves nothing by itself; the ends of asynchronous operations are counted at
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
  """Bytes that a run moves to and from the device's main memory.

  Every operation reads its operands and writes its result, as laid out; what the
  compiler keeps on the chip is not counted, and of an array that is only sliced or
  updated in place only that part.
  """
  return sum(run.times * _traffic(module, run) for run in hlo.executed(module))


def _traffic(module: hlo.Module, run: hlo.Run) -> float:
  instruction, computation = run.instruction, run.computation
  if instruction.opcode in _FREE or instruction.opcode.endswith(("-done", "-update")):
    return 0.0
  shapes = [
    computation[name].shape if name in computation else ""
    for name in instruction.operands
  ]
  if instruction.opcode == "copy-start":
    # Its result has the copy, what was copied, and a token.
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
      # An array updated in place is among the results: only its part is written.
      total += min(read, whole) - (whole if updated else 0.0)
    else:
      total += whole
  return max(total, 0.0)


def _part(
  use: hlo.Instruction, name: str, body: dict[str, hlo.Instruction]
) -> str | None:
  """The shape of the part of `name` that `use` touches; None for all of it."""
  if use.opcode == "dynamic-slice":
    return use.shape
  if use.opcode == "dynamic-update-slice" and use.operands[0] == name:
    return body[use.operands[1]].shape
  return None


def loop_flops(module: hlo.Module) -> float:
  """Operations of matrix products in loops beyond each loop's first turn.

  XLA's own count has a loop's body once.
  """
  return sum(
    (run.times - 1) * _product_flops(module, run)
    for run in hlo.executed(module)
    if run.loop
  )


def _product_flops(module: hlo.Module, run: hlo.Run) -> float:
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
    # The TPU's products are convolutions: all axes of the kernel but its outputs.
    labels = _KERNEL.search(instruction.attributes)
    sizes = zip(labels.group(1) if labels else "", right, strict=False)
    depth = math.prod(size for label, size in sizes if label != "o")
  return 2.0 * math.prod(hlo.arrays(instruction.shape)[0][1]) * depth


def estimated_cycles(module: hlo.Module) -> int:
  """The compiler's estimate for a run, loops as often as they turn."""
  return sum(run.times * run.instruction.cycles for run in hlo.executed(module))
