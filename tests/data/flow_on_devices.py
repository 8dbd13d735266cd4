"""Estimates the flow of one batch on one device, and divided over all: it is the same.

  python -m tests.data.flow_on_devices WEIGHTS

tests/data/test_device_flow.py runs it with two virtual devices.
"""

import sys

import jax
import numpy as np

from mhmr_jax.data import device_flow, pipeline
from mhmr_jax.runtime import sharding
from tests import tiny
from tests.data.clips import make_source


def main(weights: str) -> None:
  config = tiny.config(flow__source="flownets", flow__weights=weights)
  iterator = pipeline.training_iterator(make_source([10] * 4), config)
  batch = next(iterator)
  iterator.close()
  flows = []
  for count in (1, jax.device_count()):
    mesh = sharding.make_mesh(jax.devices()[:count])
    flow = device_flow.make(config, mesh)(sharding.global_batch(batch, mesh))["flow"]
    assert flow.sharding.is_equivalent_to(sharding.batched(mesh), flow.ndim)
    flows.append(np.asarray(flow, np.float32))
  assert np.abs(flows[0]).max() > 0.1
  np.testing.assert_allclose(flows[1], flows[0], rtol=1e-2, atol=1e-3)


if __name__ == "__main__":
  main(sys.argv[1])
