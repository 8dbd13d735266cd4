"""Compiles the steps for a topology and reads the cost from the compiled program.

Compilers abort the whole process for a topology that does not exist, and write to the
terminal as they like. Therefore `measure` compiles in a process of its own, this module
as a program.
"""

import dataclasses
import importlib.util
import json
import os
import pathlib
import pickle
import re
import subprocess
import sys
import time
from typing import Any

import jax
import numpy as np
from jax.experimental import topologies as jax_topologies
from ml_collections import ConfigDict

from mhmr_jax.aot import exchanges, hlo, work
from mhmr_jax.aot.choices import EFFORTS
from mhmr_jax.aot.topologies import Topology
from mhmr_jax.body import smpl
from mhmr_jax.errors import InputError
from mhmr_jax.inference import eval_step
from mhmr_jax.models import motion_hmr
from mhmr_jax.runtime import sharding
from mhmr_jax.training import steps

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclasses.dataclass(frozen=True)
class Cost:
  """What one step costs on each chip.

  Attributes:
    arguments: the bytes of the inputs: state, batch and body.
    temporaries: the bytes of intermediate results.
    peak: the most bytes in use at once, the program itself included; the bytes that
      the step would need if it does not fit.
    out_of_memory: the compiler's message if the step does not fit, else ''.
    rematerialised: how many operations the compiler runs twice to save memory.
    flops: floating-point operations, all loop iterations included.
    hbm_bytes: bytes to and from main memory, all loop iterations included.
    bytes_accessed: XLA's own count of bytes, which counts a loop's body once.
    cycles: the compiler's estimate; 0 if it makes none.
    collectives: the exchanges between chips.
    loops: the number of iterations of each loop, by its path.
    parameters: the number of the model's parameters.
    seconds: the time that compiling took.
  """

  arguments: int = 0
  temporaries: int = 0
  peak: int = 0
  out_of_memory: str = ""
  rematerialised: int = 0
  flops: float = 0.0
  hbm_bytes: float = 0.0
  bytes_accessed: float = 0.0
  cycles: int = 0
  collectives: tuple[exchanges.Collective, ...] = ()
  loops: dict[str, int] = dataclasses.field(default_factory=dict)
  parameters: int = 0
  seconds: float = 0.0


def check_installed(topology: Topology) -> None:
  """Raises InputError if the compiler for these accelerators is not installed."""
  try:
    installed = importlib.util.find_spec(topology.compiler) is not None
  except ModuleNotFoundError:
    installed = False
  if not installed:
    raise InputError(
      f"--topology={topology.name} needs a compiler that is not installed: "
      f"pip install -e '.[{topology.extra}]'."
    )


def measure(
  config: ConfigDict,
  topology: Topology,
  step: str,
  effort: str,
  gpu_target: str = "",
  text_file: str = "",
) -> Cost:
  """Compiles a step of the config for a topology and returns its cost on each chip.

  Args:
    config: the config; its `train.batch_size` is the size of the global batch.
    topology: the slice; its compiler is installed.
    step: one of `choices.STEPS`.
    effort: one of `choices.EFFORTS`.
    gpu_target: XLA's description of the GPU; '' for TPUs.
    text_file: where the text of the compiled program is written; '' for nowhere.

  Raises:
    InputError: there is no such topology, or the compiler cannot compile for it.
  """
  job = {
    "config": config.copy_and_resolve_references(),
    "topology": topology,
    "step": step,
    "effort": effort,
    "gpu_target": gpu_target,
    "text_file": text_file,
  }
  environment = os.environ | {
    # This machine lacks the accelerators: whatever runs during tracing runs on its CPU.
    "JAX_PLATFORMS": "cpu",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_SKIP_MDS_QUERY": "1",
  }
  done = subprocess.run(
    [sys.executable, "-m", "mhmr_jax.aot.measure"],
    input=pickle.dumps(job),
    capture_output=True,
    env=environment,
    check=False,
  )
  if done.returncode:
    input_error = re.search(rb"^mhmr_jax\.errors\.InputError: (.*)", done.stderr, re.M)
    if input_error:
      raise InputError(input_error.group(1).decode())
    raise InputError(
      f"--topology={topology.name} cannot be compiled for: {_reason(done.stderr)}"
    )
  cost = json.loads(done.stdout.splitlines()[-1])
  collectives = tuple(exchanges.Collective(**each) for each in cost.pop("collectives"))
  return Cost(**cost, collectives=collectives)


def _reason(errors: bytes) -> str:
  """The last line that names an error in what a compiler wrote.

  A description of a GPU that it cannot parse is named by the line and the field.
  """
  unparsed = re.search(
    rb"Error parsing text-format \S+: (\d+):\d+: (.*?)\.?$", errors, re.M
  )
  if unparsed:
    line, what = (part.decode(errors="replace") for part in unparsed.groups())
    return (
      f"line {line} of --gpu_target is unknown to this version's compiler ({what}): "
      "delete that field, or take the file of an older XLA."
    )
  lines = [line.strip() for line in errors.decode(errors="replace").splitlines()]
  telling = [
    line
    for line in lines
    if re.search(r"Error\b|INVALID_ARGUMENT|Check failed|not divisible|UNKNOWN", line)
    and "TPU_WORKER_HOSTNAMES" not in line
  ]
  text = (telling or lines or ["the compiler stopped"])[-1]
  return re.sub(r"^[\w.]*(Error|Exception): ", "", text)[:400].rstrip(".") + "."


def _main() -> None:
  cost = compile_step(**pickle.loads(sys.stdin.buffer.read()))
  print(json.dumps(dataclasses.asdict(cost)))


def compile_step(
  config: ConfigDict,
  topology: Topology,
  step: str,
  effort: str,
  gpu_target: str = "",
  text_file: str = "",
) -> Cost:
  """Does the work of `measure` in this process; the arguments are the same."""
  jax.config.update("jax_exec_time_optimization_effort", EFFORTS[effort])
  begin = time.monotonic()
  lowered, parameters = _lower(config, _devices(topology, gpu_target), step)
  try:
    compiled = lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" not in str(error):
      raise
    return Cost(
      out_of_memory=" ".join(str(error).split("\n\n")[0].split()),
      peak=wanted_bytes(str(error)),
      parameters=parameters,
      seconds=time.monotonic() - begin,
    )
  seconds = time.monotonic() - begin
  text = str(compiled.as_text())
  if text_file:
    pathlib.Path(text_file).write_text(text)
  return _read(compiled, text, parameters, seconds)


def _devices(topology: Topology, gpu_target: str) -> list[jax.Device]:
  """The described devices of a topology, for which a step can only be compiled."""
  if topology.chip is None:
    description = jax_topologies.get_topology_desc(
      "",
      platform="cuda",
      topology="x".join(map(str, topology.shape)),
      target_config=gpu_target,
    )
  else:
    options = dict(topology.chip.options)
    if topology.chips < 4:
      # A host has four chips unless the options say otherwise.
      bounds = (*topology.shape, 1, 1)[:3]
      options["chips_per_host_bounds"] = bounds
    description = jax_topologies.get_topology_desc(
      platform="tpu", topology_name=topology.name, **options
    )
  return list(description.devices)


def _lower(
  config: ConfigDict, devices: list[jax.Device], step: str
) -> tuple[jax.stages.Lowered, int]:
  """The step as lowered for the devices, and the number of parameters."""
  with config.unlocked():
    # 'auto' would choose the form of convolution that suits this machine.
    form = "fused" if devices[0].platform == "tpu" else "plain"
    config.model.encoder.conv_form = form
  mesh = sharding.make_mesh(devices, config.mesh.fsdp)
  sharding.check_batch_size(config.train.batch_size, mesh, config.train.accumulate)
  train = steps.make_train_step(config, mesh)
  state, key = train.state_shapes, jax.eval_shape(lambda: jax.random.key(0))
  parameters = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(state.params))
  batch = dict(steps.batch_shapes(config))
  if step == "train":
    body = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype),
      smpl.load(config.body.path or None),
    )
    return train.step.lower(state, batch, key, body), parameters
  names = (*motion_hmr.input_shapes(config), "valid")
  read = {name: batch[name] for name in names}
  model = motion_hmr.from_config(config)
  carry = jax.eval_shape(lambda: model.initial_carry(config.train.batch_size))
  return eval_step.make(config, mesh).lower(state.variables, read, carry), parameters


def wanted_bytes(message: str) -> int:
  """The bytes that a program needs, from an out-of-memory message; 0 if not stated."""
  found = re.search(r"Used ([\d.]+)([KMGT]?) of|\(([\d.]+)([KMGT]?)\) exceeds", message)
  if not found:
    return 0
  number, unit = (group for group in found.groups() if group is not None)
  return round(float(number) * _UNITS[unit])


def _read(
  compiled: jax.stages.Compiled, text: str, parameters: int, seconds: float
) -> Cost:
  """Reads the cost from a compiled step and its text."""
  memory: Any = compiled.memory_analysis()
  costs = compiled.cost_analysis() or {}
  module = hlo.parse(text)
  loops = {
    run.instruction.op_name: hlo.trip_count(module, run.computation, run.instruction)
    for run in hlo.executed(module)
    if run.instruction.opcode == "while"
  }
  resident = (
    memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    - memory.alias_size_in_bytes
  )
  peak = resident + memory.temp_size_in_bytes + memory.generated_code_size_in_bytes
  return Cost(
    arguments=memory.argument_size_in_bytes,
    temporaries=memory.temp_size_in_bytes,
    peak=peak,
    rematerialised=len(re.findall(r"^\s+%[\w.\-]+\.remat\d*\S* = ", text, re.M)),
    flops=costs.get("flops", 0.0) + work.loop_flops(module),
    hbm_bytes=work.hbm_traffic(module),
    bytes_accessed=costs.get("bytes accessed", 0.0),
    cycles=work.estimated_cycles(module),
    collectives=tuple(exchanges.collectives(module)),
    loops=loops,
    parameters=parameters,
    seconds=seconds,
  )


if __name__ == "__main__":
  _main()
