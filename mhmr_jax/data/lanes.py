"""Whole stored sequences for evaluation, several side by side, chunk after chunk."""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int
from ml_collections import ConfigDict

from mhmr_jax.data import examples, flow_cache
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.data.sources import ClipSource
from mhmr_jax.schema import HostBatch


@dataclasses.dataclass(frozen=True)
class LaneBatch:
  """One chunk of each of several sequences, padded where one has ended.

  Attributes:
    batch: inputs and targets; the leading axis is the lanes, and padded frames have
      `valid` False.
    clips: index of each lane's clip in the source, -1 for a lane without a clip.
    boxes: crop windows in image pixels, zeros where the sequence has ended.
    start: the frame of the sequences at which the chunks begin.
  """

  batch: HostBatch
  clips: Int[np.ndarray, "lanes"]
  boxes: Float[np.ndarray, "lanes 4"]
  start: int


def evaluation_groups(
  source: ClipSource,
  config: ConfigDict,
  lanes: int,
  shard: int = 0,
  shards: int = 1,
) -> Iterator[Iterator[LaneBatch]]:
  """Yields whole sequences, `lanes` at a time: each group yields its chunks in order.

  A chunk is made when it is asked for, so that memory does not grow with the length
  of sequences. A sequence's keypoint noise depends on its index alone.

  Args:
    source: the sequences.
    config: the config of the model's run.
    lanes: how many sequences lie side by side.
    shard: this host's number; the host has every `shards`-th sequence.
    shards: the number of hosts.
  """
  spec = InputSpec.from_config(config)
  clips = flow_cache.opened(source, config)
  indices = np.arange(len(source))[shard::shards]
  for begin in range(0, len(indices), lanes):
    yield _side_by_side(clips, indices[begin : begin + lanes], lanes, spec)


def _side_by_side(
  source: ClipSource | flow_cache.ClipsWithFlow,
  indices: Int[np.ndarray, "clips"],
  lanes: int,
  spec: InputSpec,
) -> Iterator[LaneBatch]:
  clips = np.full(lanes, -1)
  clips[: len(indices)] = indices
  sequences = [
    examples.clip_chunks(source[int(index)], spec, np.random.default_rng([index, 2]))
    for index in indices
  ]
  for number, own in enumerate(itertools.zip_longest(*sequences)):
    boxes = np.zeros((lanes, 4), np.float32)
    batches: list[HostBatch | None] = [None] * lanes
    for lane, example in enumerate(own):
      if example is not None:
        chunk, batches[lane] = example
        boxes[lane] = chunk.box
    yield LaneBatch(_stacked(batches), clips, boxes, number * spec.window)


def _stacked(batches: list[HostBatch | None]) -> HostBatch:
  """Puts the lanes on a leading axis, with zeros for lanes that have ended."""
  filled = next(batch for batch in batches if batch is not None)
  blank = {key: np.zeros_like(value) for key, value in filled.items()}
  rows = [batch or blank for batch in batches]
  return {key: np.stack([row[key] for row in rows]) for key in blank}
