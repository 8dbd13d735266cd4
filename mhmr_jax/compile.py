"""Compiles a config's steps for TPUs or GPUs that you don't have; prints their cost.

  python -m mhmr_jax.compile --config=configs/flow_kp.py:paper --topology=v5e:4x4

The last line of the output is JSON: the figures of the train step for one chip, and
under `eval` those of the eval step. `--out=DIR` keeps the compiled programs as text.
TPUs need the extra `tpu-aot`, GPUs the extra `gpu-aot`.
"""

import json
import re
from typing import Any

from absl import flags
from etils import epy
from ml_collections import ConfigDict, config_flags

from mhmr_jax.aot import choices, topologies
from mhmr_jax.aot.topologies import Topology
from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic
from mhmr_jax.runtime import config_check, program

# Imported at their first use: `--help` does without what takes seconds to import.
with epy.lazy_imports():
  from mhmr_jax.aot import measure, report

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Experiment to compile.", **program.REDEFINED_FLAG
)
_TOPOLOGY = flags.DEFINE_string(
  "topology",
  None,
  "The accelerators: v4:AxBxC, v5e:AxB, v5p:AxBxC, v6e:AxB, or h100:SLICESxHOSTSxGPUS.",
)
_BATCH = flags.DEFINE_string(
  "batch_per_chip",
  None,
  "Clips per chip, in place of config.train.batch_size; 'auto': the most that fit.",
)
_EFFORT = flags.DEFINE_enum(
  "effort",
  "default",
  list(choices.EFFORTS),
  "The compiler's effort; low is quick, but only default shows the real exchanges.",
)
_STEPS = flags.DEFINE_multi_enum(
  "step",
  list(choices.STEPS),
  list(choices.STEPS),
  "A step to compile; may be repeated.",
)
_PRICE = flags.DEFINE_float(
  "price", None, "The price of a chip for an hour, in any currency."
)
_GPU_TARGET = flags.DEFINE_string(
  "gpu_target",
  None,
  "XLA's text description of the GPU, such as h100_sxm.txtpb in its sources.",
)
# JAX takes this part of a GPU's memory by default (XLA_PYTHON_CLIENT_MEM_FRACTION).
_GPU_FRACTION = 0.75


def _gpu_target(topology: Topology) -> str:
  """The description of the GPU; '' for TPUs, which their compiler knows."""
  if topology.chip is not None:
    return ""
  path = program.path_of(_GPU_TARGET)
  try:
    return path.read_text()
  except (OSError, UnicodeDecodeError) as error:
    raise InputError(
      f"--gpu_target: {path} cannot be read ({error}); give a text file such as "
      "h100_sxm.txtpb of XLA's sources."
    ) from error


def _limit(topology: Topology, gpu_target: str) -> float:
  """The bytes of memory that a program can have on a chip."""
  if topology.chip is not None:
    return topology.chip.hbm_bytes
  size = re.search(r"\bdevice_memory_size: (\d+)", gpu_target)
  if not size:
    raise InputError("--gpu_target: the file has no device_memory_size.")
  return _GPU_FRACTION * int(size.group(1))


def _batch_per_chip(config: ConfigDict, topology: Topology) -> int:
  """The clips per chip that the flag or else the config asks for."""
  if _BATCH.value is None:
    total = config.train.batch_size
    if total % topology.chips:
      raise InputError(
        f"config.train.batch_size is {total}, which {topology.chips} chips cannot "
        "share equally: give --batch_per_chip."
      )
    return int(total // topology.chips)
  if not re.fullmatch(r"[1-9]\d*", _BATCH.value):
    raise InputError(
      f"--batch_per_chip={_BATCH.value}: give a positive number, or auto."
    )
  return int(_BATCH.value)


class Compiler:
  """Compiles a config's steps for a topology with any batch size."""

  def __init__(self, config: ConfigDict, topology: Topology):
    self._config = config
    self.topology = topology
    self._target = _gpu_target(topology)
    self.limit = _limit(topology, self._target)

  def cost(
    self, step: str, batch_per_chip: int, effort: str, text_file: str = ""
  ) -> "measure.Cost":
    """Compiles a step, and writes the program to `text_file` unless that is ''."""
    config = self._config.copy_and_resolve_references()
    with config.unlocked():
      config.train.batch_size = batch_per_chip * self.topology.chips
    return measure.measure(config, self.topology, step, effort, self._target, text_file)

  def fits(self, batch_per_chip: int) -> bool:
    """Whether the train step fits into memory; compiles it at low effort to know."""
    cost = self.cost("train", batch_per_chip, "low")
    fits = not cost.out_of_memory and cost.peak <= self.limit
    print(
      f"{batch_per_chip} clips a chip: {'fits' if fits else 'does not fit'} "
      f"({cost.peak / report.GB:.2f} GB of {self.limit / report.GB:.2f} GB)",
      flush=True,
    )
    return fits

  def largest_batch(self) -> int:
    """The most clips per chip with which the train step fits, by bisection.

    Raises:
      InputError: not even one clip fits.
    """
    fitting, too_large = 0, 8
    while self.fits(too_large):
      fitting, too_large = too_large, 2 * too_large
    while too_large - fitting > 1:
      middle = (fitting + too_large) // 2
      if self.fits(middle):
        fitting = middle
      else:
        too_large = middle
    if not fitting:
      raise InputError(
        f"Not one clip of config.data.window frames fits on a chip of "
        f"{self.topology.name}: try --config.model.encoder.remat=True."
      )
    return fitting


def _report(compiler: Compiler, step: str, batch_per_chip: int) -> dict[str, Any]:
  """Compiles one step, prints its report and returns its figures."""
  topology, effort = compiler.topology, _EFFORT.value
  clips = batch_per_chip * topology.chips
  text_file = ""
  if program.OUT.value:
    text_file = str(program.path_of(program.OUT) / f"{step}.hlo")
  cost = compiler.cost(step, batch_per_chip, effort, text_file)
  print(
    f"\n{step} step on {topology.name}, {topology.chips} chips, {batch_per_chip} clips "
    f"a chip, {clips} in all; compiled at {effort} effort in {cost.seconds:.0f} s"
  )
  if effort == "low":
    print("  At low effort memory is right within some per cent, exchanges are not.")
  written = report.Report(
    topology, cost, compiler.limit, clips, _PRICE.value, training=step == "train"
  )
  print("\n".join(written.lines()), flush=True)
  return written.summary()


def _reports(compiler: Compiler, batch_per_chip: int) -> dict[str, dict[str, Any]]:
  """Compiles and reports the steps of `--step`; returns their figures by step."""
  return {
    step: _report(compiler, step, batch_per_chip)
    for step in choices.STEPS
    if step in _STEPS.value
  }


def main(argv: list[str]) -> None:
  """Reads the flags, compiles and reports."""
  del argv
  config = program.config_of(_CONFIG)
  config_check.check(config)
  topology = topologies.parse(program.require(_TOPOLOGY))
  if _PRICE.value is not None and not 0 < _PRICE.value < float("inf"):
    raise InputError(f"--price={_PRICE.value}: give what a chip costs for an hour.")
  if program.OUT.value:
    atomic.make_folder(program.path_of(program.OUT))
  measure.check_installed(topology)
  compiler = Compiler(config, topology)
  auto = _BATCH.value == "auto"
  batch_per_chip = (
    compiler.largest_batch() if auto else _batch_per_chip(config, topology)
  )
  figures = _reports(compiler, batch_per_chip)
  # The search compiles at low effort, which gives the memory only approximately.
  while (
    auto and batch_per_chip > 1 and not all(each["fits"] for each in figures.values())
  ):
    batch_per_chip -= 1
    figures = _reports(compiler, batch_per_chip)
  print()
  first = next(iter(figures))
  result = {"topology": topology.name, "effort": _EFFORT.value, "step": first}
  print(json.dumps(result | figures.pop(first) | figures))


if __name__ == "__main__":
  program.run(main, usual=("config", "topology", "out"))
