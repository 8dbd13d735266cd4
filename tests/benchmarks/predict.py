"""Time and memory of `predict` beside the detector alone.

  python -m tests.benchmarks.predict --video=VIDEO [--detector_weights=FILE]
  python -m tests.benchmarks.predict --memory

The first command runs `predict` on a video, and then seven times the detector and
`predict` in turns, each as a program of its own that begins without stored keypoints:
all runs of `predict` but the first find their compiled programs on disk. The ratios are
those of the medians of these seven, of wall time and of CPU time. With --memory it
makes videos of --minutes (160 x 90, of a moving pattern, with made-up keypoints of a
walking person), and compares the largest resident memory of `predict` on each.
"""

import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np
from absl import flags

from mhmr_jax.files import video_writer
from mhmr_jax.keypoints import keypoint_flags
from mhmr_jax.keypoints.formats import detections_npz
from mhmr_jax.runtime import program

_MEMORY = flags.DEFINE_bool("memory", False, "Measure memory in place of time.")
_MINUTES = flags.DEFINE_list("minutes", ["1", "5", "30"], "With --memory: how long.")
_FPS = 30
_ROUNDS = 7


class Cost(NamedTuple):
  """What a program took."""

  wall: float  # s.
  cpu: float  # s, of all threads and processes.
  megabytes: float  # The largest resident memory.
  output: str


def run(module: str, *arguments: str) -> Cost:
  """Runs a program of the package, which must succeed."""
  began = time.monotonic()
  process = subprocess.Popen(
    [sys.executable, "-m", f"mhmr_jax.{module}", *arguments],
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
  )
  assert process.stdout is not None
  output = process.stdout.read()
  _, status, usage = os.wait4(process.pid, 0)
  process.returncode = os.waitstatus_to_exitcode(status)
  if process.returncode:
    sys.exit(f"mhmr_jax.{module} ended with {process.returncode}")
  wall = time.monotonic() - began
  return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output)


def measure_time(video: pathlib.Path, folder: pathlib.Path) -> dict[str, float]:
  """Prints the seconds of both programs, and returns the ratios of their medians."""
  weights = keypoint_flags.weights_path()
  given = [] if weights is None else [f"--detector_weights={weights}"]
  copy = folder / f"video{video.suffix}"

  def measure(name: str, module: str, out: str) -> Cost:
    # Keypoints are kept beside a video.
    for old in folder.glob("video*"):
      old.unlink()
    shutil.copy(video, copy)
    cost = run(module, f"--video={copy}", f"--out={folder}/{out}", *given)
    for line in re.findall("^seconds: .*", cost.output, re.M):
      print(line)
    print(f"{name}: {cost.wall:.1f} s, {cost.cpu:.1f} CPU s, {cost.megabytes:.0f} MB")
    return cost

  measure("first predict", "predict", "out")
  alone, again = [], []
  for _ in range(_ROUNDS):
    alone.append(measure("detector alone", "keypoints.detect", "a.npz"))
    again.append(measure("predict", "predict", "out"))
  ratios = {}
  for key, kind in (("", "wall"), ("_cpu", "cpu")):
    ours, theirs = (
      statistics.median(getattr(cost, kind) for cost in costs)
      for costs in (again, alone)
    )
    ratios[f"predict_over_detector{key}"] = round(ours / theirs, 3)
  return ratios


def measure_memory(folder: pathlib.Path) -> dict[str, float]:
  """Prints the memory by the video's length, and returns the ratio of the extremes."""
  most = []
  for minutes in map(int, _MINUTES.value):
    video, keypoints = write_video(folder, minutes * 60 * _FPS)
    given = [f"--keypoints={keypoints}", "--keypoint_format=npz"]
    cost = run("predict", f"--video={video}", f"--out={folder}/out", *given)
    spent = f"{cost.wall:.0f} s, {cost.cpu:.0f} CPU s"
    print(f"{minutes} min: {cost.megabytes:.0f} MB, {spent}", flush=True)
    most.append(cost.megabytes)
  return {"memory_longest_over_shortest": round(most[-1] / most[0], 3)}


def write_video(folder: pathlib.Path, frames: int) -> tuple[pathlib.Path, pathlib.Path]:
  """Writes a video and the keypoints of somebody who walks to and fro in it."""
  video, keypoints = folder / "long.mp4", folder / "long.npz"
  pattern = np.random.default_rng(0).integers(0, 255, (12, 20, 3)).astype(np.uint8)
  pattern = pattern.repeat(8, axis=0).repeat(8, axis=1)[:90]
  with video_writer.writing(video, _FPS) as writer:
    for frame in range(frames):
      writer.write(np.roll(pattern, frame, axis=1))
  person = np.random.default_rng(1).uniform([70, 25], [90, 75], (17, 2))
  shift = 38 * np.sin(np.arange(frames) / 40)
  points = person + np.stack([shift, 0 * shift], axis=-1)[:, None]
  people = np.append(points, np.ones((frames, 17, 1)), axis=-1).astype(np.float32)
  detections_npz.write(keypoints, list(people[:, None]))
  return video, keypoints


def main(argv: list[str]) -> None:
  """Reads the flags and measures."""
  del argv
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    if _MEMORY.value:
      result = measure_memory(folder)
    else:
      result = measure_time(program.path_of(keypoint_flags.VIDEO), folder)
  print(json.dumps(result))


if __name__ == "__main__":
  program.run(main)
