"""Trains two steps of the tiny run with flow by a network, and evaluates it.

  python -m tests.data.train_and_evaluate WORKDIR WEIGHTS

tests/data/test_device_flow.py runs it with two virtual devices.
"""

import sys

from absl import flags
from etils import epath

from mhmr_jax import evaluate, train
from mhmr_jax.data import config_paths
from tests import tiny


def main(workdir: str, weights: str) -> None:
  config = tiny.config(flow__source="flownets", flow__weights=weights, train__steps=2)
  train.train(config, epath.Path(workdir))
  flags.FLAGS(["evaluate", f"--workdir={workdir}", "--dataset=synthetic_clips"])
  # Both programs have a flag of that name.
  evaluate._CONFIG = tiny.config_flag(config_paths.local_paths())
  evaluate.main([])


if __name__ == "__main__":
  main(*sys.argv[1:])
