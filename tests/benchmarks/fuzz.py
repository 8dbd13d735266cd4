"""Reads hostile files of every kind for some minutes, and counts what comes of them.

  python -m tests.benchmarks.fuzz [--minutes=5] [--seed=0] [--only=BVH]

Prints a row for each kind of file: how many inputs were tried, how many were read, how
many refused in a sentence, and how many raised anything else, which is a fault; each
fault is shown with the seed that makes the input again. The last line is JSON: the
inputs tried, the faults, and the most memory that the process has taken.
"""

import argparse
import collections
import json
import logging
import os
import pathlib
import random
import resource
import tempfile
import time
import traceback

os.environ.setdefault("MHMR_JAX_TEST_RUN", tempfile.mkdtemp(prefix="mhmr_jax_fuzz_"))
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from tests import damaged_files, hostile_files

_SHOWN = 3  # Faults of a kind of file that are shown.
_NOTED = 200  # MiB that an input adds to the most that was taken.


def main() -> None:
  """Reads the flags, tries inputs until the time is over, and prints the counts."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--minutes", type=float, default=5)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--only", default="", help="A kind of file; by default all.")
  flags = parser.parse_args()
  logging.disable(logging.WARNING)
  cases = [case for case in hostile_files.CASES if case.name.startswith(flags.only)]
  counts: dict[str, collections.Counter[str]] = {
    case.name: collections.Counter() for case in cases
  }
  spent: collections.Counter[str] = collections.Counter()
  for case in cases:
    _ = case.content  # Not counted as time.
  end, seed = time.monotonic() + 60 * flags.minutes, flags.seed
  while time.monotonic() < end:
    # Each kind gets as much time as any other.
    case = min(cases, key=lambda case: spent[case.name])
    start, before = time.monotonic(), _peak()
    counts[case.name][_outcome(case, seed, counts[case.name]["fault"])] += 1
    spent[case.name] += round(1e6 * (time.monotonic() - start))
    if _peak() > before + _NOTED:
      print(f"{case.name}, seed {seed}: {before} to {_peak()} MiB", flush=True)
    seed += 1
  _print(counts)


def _peak() -> int:
  """The most memory that this process has taken, MiB."""
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _outcome(case: damaged_files.Case, seed: int, faults: int) -> str:
  try:
    sentence = damaged_files.attempt(case, random.Random(seed))
  except KeyboardInterrupt:
    raise
  except BaseException as error:
    if faults < _SHOWN:
      where = traceback.extract_tb(error.__traceback__)[-1]
      place = f"{pathlib.Path(where.filename).name}:{where.lineno}"
      print(f"{case.name}, seed {seed}: {error!r:.300} at {place}", flush=True)
    return "fault"
  return "read" if sentence == "read" else "refused"


def _print(counts: dict[str, "collections.Counter[str]"]) -> None:
  print(f"{'':28}{'tried':>8}{'read':>8}{'refused':>8}{'faults':>8}")
  for name, row in counts.items():
    numbers = (row.total(), row["read"], row["refused"], row["fault"])
    print(f"{name:28}" + "".join(f"{number:8,}" for number in numbers))
  totals = {
    "inputs": sum(row.total() for row in counts.values()),
    "faults": sum(row["fault"] for row in counts.values()),
    "peak_mib": _peak(),
  }
  print(json.dumps(totals))


if __name__ == "__main__":
  main()
