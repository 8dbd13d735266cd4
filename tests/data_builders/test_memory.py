"""Builds of any length take the same memory."""

import sys

import pytest

from data_builders.synthetic_clips import synthetic_clips_dataset_builder as synthetic
from tests.benchmarks import clip_memory


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_clips():
  config = synthetic.SyntheticClipsConfig(num_train=200, frames=6, size=64)
  seen = {count: mib for count, *mib in clip_memory.watch(config, every=50)}
  assert list(seen) == [50, 100, 150, 200]
  for after_50, after_200 in zip(seen[50], seen[200], strict=True):
    # A writer that kept its clips would hold 150 times 40 KiB more.
    assert after_200 < 1.01 * after_50
