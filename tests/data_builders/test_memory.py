"""Builds of any length take the same memory."""

import sys

import pytest

from data_builders.synthetic_clips import synthetic_clips_dataset_builder as synthetic
from mhmr_jax.synth import clips
from tests.benchmarks import clip_memory


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_of_the_writer_does_not_grow_with_the_clips():
  config = synthetic.SyntheticClipsConfig(
    num_train=80, frames=8, size=160, variant="alone"
  )
  clip, _ = clips.ClipMaker(config.spec).make("train", 0)
  encoded = [*clip["frames"], *clip["flow"], *clip["mask"]]
  kept = 60 * sum(map(len, encoded)) / 2**20
  assert kept > 10
  resident = {count: mib for count, mib, _ in clip_memory.watch(config, every=20)}
  assert list(resident) == [20, 40, 60, 80]
  # A writer that kept its clips would grow by `kept` MiB.
  assert resident[80] - resident[20] < kept / 2
