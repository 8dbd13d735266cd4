"""Training examples that one core loads, by inputs, against the least it would take.

  python -m tests.benchmarks.loader

Of `:paper`'s examples (31 frames, crops of 224 x 224) from stored clips of 256 x 256,
through the iterator that `train` reads, without worker processes. The floor decodes
the same frames, resizes them and computes the flow between them, each by one call of
OpenCV. Loader and floor take turns. Times are CPU seconds, so that other processes on
the machine change little, and medians over the rounds.
"""

import importlib
import json
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Any

# Read when NumPy is loaded.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import cv2
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from mhmr_jax.data import pipeline, sources
from mhmr_jax.data.sources import ClipSource

INPUTS = ("kp", "rgb", "flow", "flow_kp", "rgb_flow_kp")
CLIPS, CLIP_FRAMES, EXAMPLES, ROUNDS = 12, 48, 12, 5


def make_config(name: str, folder: pathlib.Path) -> ConfigDict:
  """The paper's config of these inputs, on a few rendered clips under `folder`."""
  config = importlib.import_module(f"configs.{name}").get_config("paper")
  config.update_from_flattened_dict(
    {
      "train.batch_size": 1,
      "data.dir": str(folder),
      "data.people": "rendered",
      "data.num_clips": CLIPS,
      "data.clip_frames": CLIP_FRAMES,
      "data.test_fraction": 0.1,
      "data.processes": 1,
      "data.workers": 0,
    }
  )
  return config


class Floor:
  """The least work for the frames of an example: decode, resize, flow."""

  def __init__(self, config: ConfigDict, source: ClipSource):
    self._config = config
    self._clips = [source[index]["frames"] for index in range(len(source))]
    preset = cv2.DISOPTICAL_FLOW_PRESET_FAST
    self._dis = cv2.DISOpticalFlow.create(preset)

  def run(self) -> None:
    """Makes `EXAMPLES` examples."""
    inputs, size = self._config.model.inputs, self._config.data.size
    colour = "rgb" in inputs
    mode = cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE
    if not colour and "flow" not in inputs:
      return
    for index in range(EXAMPLES):
      before = None
      frames = self._clips[index % len(self._clips)]
      for data in frames[: self._config.data.window]:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
        crop = cv2.resize(image, (size, size))
        grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY) if colour else crop
        if "flow" in inputs and before is not None:
          self._dis.calc(grey, before, None)
        before = grey


def spent(run: Any) -> float:
  """CPU seconds of a call, all threads."""
  start = time.process_time()
  run()
  return time.process_time() - start


def measure(name: str, folder: pathlib.Path) -> tuple[float, float]:
  """CPU seconds an example of the loader and of the floor."""
  config = make_config(name, folder)
  source = sources.open_training(config)
  assert isinstance(source, ClipSource)
  floor = Floor(config, source)
  iterator: Iterator[Any] = pipeline.training_iterator(source, config)
  load = lambda: [next(iterator) for _ in range(EXAMPLES)]
  spent(load)  # Warms up: files, threads and what is read ahead.
  rounds = [(spent(load), spent(floor.run)) for _ in range(ROUNDS)]
  loader, least = (statistics.median(times) for times in zip(*rounds, strict=True))
  return loader / EXAMPLES, least / EXAMPLES


def main() -> None:
  cv2.setNumThreads(1)
  flags.FLAGS.mark_as_parsed()  # Grain reads flags.
  results = {}
  with tempfile.TemporaryDirectory() as folder:
    sources.open_training(make_config(INPUTS[0], pathlib.Path(folder)))  # Makes clips.
    print(f"{'inputs':<14}{'loader, ms':>12}{'floor, ms':>12}{'clips/s a core':>18}")
    for name in INPUTS:
      loader, floor = measure(name, pathlib.Path(folder))
      print(f"{name:<14}{1e3 * loader:>12.1f}{1e3 * floor:>12.1f}{1 / loader:>18.1f}")
      if floor > 1e-4:
        results[f"loader_{name}_over_floor"] = round(loader / floor, 2)
      results[f"loader_{name}_clips_per_second_a_core"] = round(1 / loader, 1)
  print(json.dumps(results))


if __name__ == "__main__":
  main()
