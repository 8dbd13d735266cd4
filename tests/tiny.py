"""The default experiments shrunk to seconds: what the tests of the programs train."""

import importlib
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from absl import flags as flags_lib
from ml_collections import ConfigDict, config_flags

from tests import forked

ROOT = pathlib.Path(__file__).parents[1]

# The folder of this test run, which tests/conftest.py makes.
RUN = pathlib.Path(os.environ["MHMR_JAX_TEST_RUN"])
DATA = RUN / "data"  # The clips of the config below; the first program generates them.

Started: TypeAlias = "forked.Program | subprocess.Popen[str]"

OVERRIDES = {
  "train.steps": 10,
  "train.batch_size": 4,
  "train.warmup_steps": 4,
  "train.checkpoint_every": 5,
  "data.num_clips": 6,
  "data.test_fraction": 0.34,
  "data.clip_frames": 10,
  "data.frame_size": 64,
  "data.window": 4,
  "data.size": 32,
  "data.processes": 1,
  "data.workers": 0,
  "model.lstm_features": 16,
  "model.encoder.stage_blocks": (1,),
  "model.encoder.stage_widths": (8,),
  "model.encoder.stem_width": 8,
  "model.encoder.stem_kernel": 4,
  "model.encoder.stem_stride": 4,
  "model.encoder.features": 16,
  "model.encoder.pool_grid": 2,
  "model.regressor.hidden": (32, 32),
  "model.regressor.rounds": 1,
}


def experiment(name: str, variant: str = "") -> ConfigDict:
  """The config of that name and variant as its users have it, not tiny."""
  config: ConfigDict = importlib.import_module(f"configs.{name}").get_config(variant)
  return config


def _overrides(name: str, data_dir: pathlib.Path) -> dict[str, Any]:
  values = {**OVERRIDES, "data.dir": str(data_dir)}
  if not experiment(name).model.lstm_features:
    del values["model.lstm_features"]
  return values


def config(
  data_dir: pathlib.Path = DATA, name: str = "flow_kp", **overrides: object
) -> ConfigDict:
  """The config of that name, tiny; its clips are generated under `data_dir`."""
  tiny = experiment(name)
  tiny.update_from_flattened_dict(_overrides(name, data_dir))
  tiny.update_from_flattened_dict(
    {key.replace("__", "."): value for key, value in overrides.items()}
  )
  return tiny


def flags(data_dir: pathlib.Path = DATA, name: str = "flow_kp") -> list[str]:
  """The same as command-line flags."""
  values = _overrides(name, data_dir)
  return [f"--config=configs/{name}.py"] + [
    f"--config.{key}={value}" for key, value in values.items()
  ]


def config_flag(config: ConfigDict) -> flags_lib.FlagHolder:
  """A flag that gives a program this config, in a test's own process."""
  values = flags_lib.FlagValues()
  flag = config_flags.DEFINE_config_dict("config", config, flag_values=values)
  values.mark_as_parsed()
  return flag


def start(program: str, *arguments: str, **options: Any) -> forked.Program:
  """Starts `python -m mhmr_jax.<program>`; options: `start_module`."""
  return start_module(f"mhmr_jax.{program}", *arguments, **options)


def start_module(
  module: str,
  *arguments: str,
  devices: int = 1,
  folder: pathlib.Path = ROOT,
  variables: Mapping[str, str] | None = None,
) -> forked.Program:
  """Starts `python -m MODULE` on so many virtual devices, as `forked` does.

  `variables` are of the environment, besides those that this process has.
  """
  all_variables = os.environ | environment(devices) | (variables or {})
  return forked.Program(module, arguments, folder, all_variables)


def start_alone(
  module: str, *arguments: str, devices: int = 1, largest_file: int | None = None
) -> "subprocess.Popen[str]":
  """Starts `python -m MODULE` as a user would, on so many virtual devices.

  No file that it writes can grow beyond `largest_file` KiB.
  """
  variables = os.environ | environment(devices)
  command = [sys.executable, "-m", module, *arguments]
  if largest_file is not None:
    # It reads what others compiled, and does not leave half of a file.
    variables["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "1e9"
    variables["PYTHONDONTWRITEBYTECODE"] = "1"
    command = ["bash", "-c", f'ulimit -f {largest_file}; exec "$@"', "bash", *command]
  return subprocess.Popen(
    command,
    cwd=ROOT,
    env=variables,
    text=True,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
  )


def environment(devices: int = 1) -> dict[str, str]:
  """The variables of programs that tests start, on so many virtual devices."""
  return {
    "PYTHONPATH": str(ROOT / "tests" / "without_torch"),
    "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} "
    f"--xla_force_host_platform_device_count={devices}",
  }


def start_together(
  module: str,
  *arguments: str,
  processes: int,
  devices: int = 1,
  start: Callable[..., Started] = start_module,
) -> list[Started]:
  """Starts several processes of one run, each with `devices`."""
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{free.getsockname()[1]}"
  return [
    start(
      module,
      *arguments,
      f"--coordinator={address}",
      f"--num_processes={processes}",
      f"--process_id={index}",
      devices=devices,
    )
    for index in range(processes)
  ]


def wait_until(condition: Callable[[], bool], processes: list[Started]) -> None:
  """Returns once the condition holds; fails if a process ends, or after 10 minutes."""
  deadline = time.monotonic() + 600
  while not condition():
    for process in processes:
      assert process.poll() is None, process.communicate(timeout=60)[1]
    assert time.monotonic() < deadline
    time.sleep(0.01)


def run(program: str, *arguments: str, **options: Any) -> tuple[int, str, str]:
  """Runs it to its end: exit status, standard output, standard error."""
  return end(start(program, *arguments, **options))


def end(process: Started) -> tuple[int, str, str]:
  """Waits for a program: exit status, standard output, standard error."""
  output, errors = process.communicate(timeout=300)
  return process.returncode, output, errors


def help_of(program: str) -> tuple[str, set[str]]:
  """What `python -m mhmr_jax.<program> --help` prints, and the modules it imports.

  It is started alone: another program might have imported some of them.
  """
  code = (
    "import atexit, runpy, sys; atexit.register(lambda: print(*sys.modules)); "
    f"runpy.run_module('mhmr_jax.{program}', run_name='__main__', alter_sys=True)"
  )
  output = subprocess.check_output(
    [sys.executable, "-c", code, "--help"], cwd=ROOT, text=True
  )
  shown, _, modules = output.rstrip().rpartition("\n")
  return shown, set(modules.split())
