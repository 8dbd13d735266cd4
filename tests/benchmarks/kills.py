"""Kills a training run at random and resumes it, again and again, to its end.

  python -m tests.benchmarks.kills [--kills=20] [--in_a_save=4] [--steps=200]

Trains a tiny config with the default number of loader workers twice: once undisturbed,
and once killed (SIGKILL) at random moments, some of them while a checkpoint is written.
After each kill it waits for the loaders to end. Prints a row a kill and, last, one line
of JSON: how many kills, whether both runs ended with the same bits and the same losses,
and how many processes and blocks of shared memory they left. The blocks of these runs
have names of their own, so that those of other programs do not count.
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

_FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="mhmr_jax_kills_"))
os.environ.setdefault("MHMR_JAX_TEST_RUN", str(_FOLDER))
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# What the undisturbed run compiled, the others read.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{_FOLDER}/compiled")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax  # noqa: E402
import numpy as np  # noqa: E402
from orbax.checkpoint import v1 as ocp  # noqa: E402

from tests import tiny  # noqa: E402
from tests.workdirs import losses, saved_steps  # noqa: E402

# What the names of the runs' blocks of shared memory begin with.
_BLOCKS = f"k{os.getpid():x}_"
# Python runs this as every process starts, the loaders too.
_SITE = f"""
from multiprocessing import shared_memory
shared_memory._SHM_NAME_PREFIX = "/{_BLOCKS}"
"""
_EVERY = 5  # Steps from one checkpoint to the next.
_WAIT_S = 20  # Loaders that live longer than this after a kill are left behind.


def flags(steps: int) -> list[str]:
  """The tiny config, but with the default's loader workers."""
  changed = ("train.steps", "train.checkpoint_every", "data.workers")
  kept = [flag for flag in tiny.flags() if not any(key in flag for key in changed)]
  return [
    *kept,
    f"--config.train.steps={steps}",
    f"--config.train.checkpoint_every={_EVERY}",
    f"--config.train.print_every={_EVERY}",
  ]


def start(workdir: pathlib.Path, steps: int) -> "subprocess.Popen[str]":
  """Starts the training program; its log goes to a file beside the work directory."""
  log = workdir.with_suffix(".log").open("a")
  site, environment = _FOLDER / "site", tiny.environment()
  site.mkdir(exist_ok=True)
  (site / "sitecustomize.py").write_text(_SITE)
  environment["PYTHONPATH"] = f"{site}:{environment['PYTHONPATH']}"
  return subprocess.Popen(
    [
      *(sys.executable, "-m", "mhmr_jax.train", *flags(steps)),
      f"--workdir={workdir}",
    ],
    cwd=tiny.ROOT,
    env=os.environ | environment,
    stdout=log,
    stderr=log,
    text=True,
  )


def step_of(workdir: pathlib.Path) -> int:
  """The last step that the run has reported."""
  path = workdir / "metrics.jsonl"
  return path.read_text().count("\n") if path.exists() else 0


def half_written(workdir: pathlib.Path) -> set[int]:
  """The folders of checkpoints that are not whole, by their numbers on the disk."""
  found = set()
  # A folder may get its final name meanwhile.
  with contextlib.suppress(OSError):
    for path in (workdir / "checkpoints").iterdir():
      found |= {path.stat().st_ino} if "tmp" in path.name else set()
  return found


def children(pid: int) -> list[int]:
  """The living processes below one."""
  found = []
  for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
    for child in map(int, task.read_text().split()):
      found += [child, *children(child)]
  return found


def blocks() -> int:
  """How many blocks of shared memory of the runs there are."""
  return len(list(pathlib.Path("/dev/shm").glob(f"{_BLOCKS}*")))


def alive(pids: list[int]) -> list[int]:
  """Those that still run; one that ended may wait for the system to notice."""
  found = []
  for pid in pids:
    with contextlib.suppress(OSError):
      state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
      found += [pid] if state != "Z" else []
  return found


def kill(
  process: "subprocess.Popen[str]",
  workdir: pathlib.Path,
  rng: random.Random,
  save: bool,
) -> str | None:
  """Kills the process at a random moment; says where. None if the run had ended."""
  before = half_written(workdir)  # By a run that was killed.
  wanted = step_of(workdir) + rng.randint(1, 2 * _EVERY)
  while process.poll() is None:
    if half_written(workdir) - before if save else step_of(workdir) >= wanted:
      break
    time.sleep(0.002)
  if not save:
    time.sleep(rng.uniform(0, 0.3))
  if process.poll() is not None:
    return None
  below, shared = children(process.pid), blocks()
  saving = bool(half_written(workdir) - before)
  where = f"step {step_of(workdir)}{', in a save' if saving else ''}"
  process.send_signal(signal.SIGKILL)
  process.wait()
  deadline = time.monotonic() + _WAIT_S
  while alive(below) and time.monotonic() < deadline:
    time.sleep(0.05)
  return (
    f"{where}, {shared} blocks and {len(below)} processes below it, "
    f"{blocks()} blocks and {len(alive(below))} left"
  )


def arrays(workdir: pathlib.Path, step: int) -> list[np.ndarray]:
  """All numbers of a checkpoint."""
  restored = ocp.load_checkpointables(workdir / "checkpoints" / str(step))
  return jax.tree.leaves((restored["model"], restored["optimizer"], restored["data"]))


def main() -> None:
  """Runs the benchmark."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--kills", type=int, default=20)
  parser.add_argument("--in_a_save", type=int, default=4)
  parser.add_argument("--steps", type=int, default=200)
  parser.add_argument("--seed", type=int, default=0)
  given = parser.parse_args()
  rng = random.Random(given.seed)
  whole, killed = _FOLDER / "whole", _FOLDER / "killed"
  undisturbed = start(whole, given.steps)
  assert undisturbed.wait() == 0, whole.with_suffix(".log").read_text()
  in_a_save = set(rng.sample(range(given.kills), given.in_a_save))
  count, saves, shared, left = 0, 0, 0, 0
  while True:
    process = start(killed, given.steps)
    if count == given.kills:
      assert process.wait() == 0, killed.with_suffix(".log").read_text()
      break
    where = kill(process, killed, rng, count in in_a_save)
    if where is None:
      print("the run ended before all kills: give more --steps")
      break
    print(f"kill {count + 1}: {where}, saved {saved_steps(killed)}", flush=True)
    saves += "in a save" in where
    shared += int(where.split(", ")[-2].split()[0])
    left += int(where.split(" and ")[-1].split()[0])
    count += 1
  pairs = zip(arrays(whole, given.steps), arrays(killed, given.steps), strict=True)
  undisturbed_log = whole.with_suffix(".log").read_text()
  logs = undisturbed_log + killed.with_suffix(".log").read_text()
  result = {
    "kills": count,
    "in_a_save": saves,
    "same_bits": all(np.array_equal(ours, theirs) for ours, theirs in pairs),
    "same_losses": losses(whole) == losses(killed),
    "processes_left": left,
    "shared_memory_when_killed": shared,
    "shared_memory_left": blocks(),
    "tracebacks": logs.count("Traceback"),
    # After a kill Python's resource tracker frees the blocks, and says so.
    "leak_warnings_undisturbed": undisturbed_log.count("leaked shared_memory"),
  }
  print(json.dumps(result))


if __name__ == "__main__":
  main()
