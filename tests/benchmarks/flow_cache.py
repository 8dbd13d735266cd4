"""Time of loading DIS flow: estimated for each window, or read from the cache.

  python -m tests.benchmarks.flow_cache

Training examples of `flow_kp` from clips of the variant `full`, at the default's sizes
and at the paper's (fewer clips a batch). Both take turns on one core, after the cache
was made; CPU seconds, medians over the rounds.
"""

import json
import os
import statistics
import tempfile
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import cv2
from ml_collections import ConfigDict

from configs import flow_kp
from mhmr_jax.data import pipeline
from mhmr_jax.data.sources import ClipSource
from mhmr_jax.synth import clips

CLIPS, ROUNDS = 16, 8


def settings(variant: str, window: int, batch_size: int) -> ConfigDict:
  config = flow_kp.get_config(variant)
  config.data.update(window=window, clip_frames=window * 2)
  config.train.batch_size = batch_size
  return config


def measure(config: ConfigDict, folder: str) -> dict[str, float]:
  """Milliseconds a frame without and with the cache."""
  size, frames = config.data.frame_size, config.data.clip_frames
  maker = clips.ClipMaker(clips.ClipSpec(0, frames, size, variant="full"))
  made = [maker.make("train", index)[0] for index in range(CLIPS)]
  source = ClipSource("made", made, folder)
  datasets = {}
  for name, cached in (("computed", False), ("cached", True)):
    config.flow.cache = cached
    datasets[name] = pipeline.training_dataset(source, config)
    datasets[name][0]  # Opens what is opened once.
  times: dict[str, list[float]] = {name: [] for name in datasets}
  count = config.train.batch_size
  for number in range(ROUNDS):
    for name, dataset in datasets.items():
      start = time.process_time()
      for index in range(number * count, (number + 1) * count):
        dataset[index]
      times[name].append(time.process_time() - start)
  a_frame = 1e3 / (count * config.data.window)
  return {name: statistics.median(spent) * a_frame for name, spent in times.items()}


def main() -> None:
  cv2.setNumThreads(1)
  ratios = {}
  print(f"{'CPU ms a frame':<16}{'computed':>12}{'cached':>12}")
  for variant, config in (
    ("default", settings("", 8, 32)),
    ("paper", settings("paper", 8, 8)),
  ):
    with tempfile.TemporaryDirectory() as folder:
      spent = measure(config, folder)
    print(f"{variant:<16}{spent['computed']:>12.2f}{spent['cached']:>12.2f}")
    ratio = spent["cached"] / spent["computed"]
    ratios[f"flow_cache_over_computed_{variant}"] = round(ratio, 3)
  print(json.dumps(ratios))


if __name__ == "__main__":
  main()
