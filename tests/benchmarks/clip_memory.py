"""Resident memory while clips are made and written, of the writer and its workers.

  python -m tests.benchmarks.clip_memory

Makes 200 clips of variant `full`, 32 frames of 224 x 224 pixels, by two workers, and
writes them as a build does. Linux only.
"""

import itertools
import json
import os
import pathlib
import sys
import tempfile
from collections.abc import Iterator

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from data_builders import sharded
from data_builders.synthetic_clips import synthetic_clips_dataset_builder as synthetic
from mhmr_jax.synth import clips

CLIPS, EVERY, PROCESSES = 200, 25, 2


def resident(pid: int) -> float:
  """MiB of a process."""
  status = pathlib.Path(f"/proc/{pid}/status").read_text()
  (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
  return int(line.split()[1]) / 1024


def children() -> list[int]:
  """The processes that this one started."""
  found = [
    (task / "children").read_text().split()
    for task in pathlib.Path("/proc/self/task").iterdir()
  ]
  return sorted(int(pid) for pid in itertools.chain(*found))


def watch(
  config: synthetic.SyntheticClipsConfig, every: int
) -> Iterator[tuple[int, float, float]]:
  """Makes a split; yields clips made, MiB of this process, of the largest worker."""
  with tempfile.TemporaryDirectory() as folder, clips.workers(PROCESSES) as pool:
    writer = sharded.ShardWriter(
      synthetic.Builder(config=config, data_dir=folder).info.features
    )
    made = clips.generate(
      pool, config.spec, "train", range(config.num_train), 3 * PROCESSES
    )
    for start in range(0, config.num_train, every):
      part = ((str(index), clip) for index, clip in itertools.islice(made, every))
      count = writer.write(os.path.join(folder, str(start)), part)
      # The resource tracker of multiprocessing is the smallest.
      yield start + count, resident(os.getpid()), max(map(resident, children()))


def main() -> None:
  if sys.platform != "linux":
    raise SystemExit("This reads /proc, which only Linux has.")
  config = synthetic.SyntheticClipsConfig(
    num_train=CLIPS, frames=32, size=224, variant="full"
  )
  print(f"{'clips':>8}{'writer, MiB':>14}{'largest worker, MiB':>22}")
  seen = {}
  for count, own, worker in watch(config, EVERY):
    seen[count] = own, worker
    print(f"{count:>8}{own:>14.0f}{worker:>22.0f}", flush=True)
  growth = {
    f"{name}_growth_50_to_{CLIPS}_clips": round(seen[CLIPS][i] / seen[50][i], 3)
    for i, name in enumerate(("writer", "worker"))
  }
  print(json.dumps(growth))


if __name__ == "__main__":
  main()
