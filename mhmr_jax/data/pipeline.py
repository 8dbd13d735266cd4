"""The Grain graph of training, from stored clips to NumPy batches of one host.

  clips -> shuffle, repeat -> one stream a dataset, mixed by their shares
        -> `examples.TrainingExample`: window, noise, crop, flow, flip
        -> every other example of the target domain, if there is one
        -> batches of this host's rows

Evaluation does not shuffle and needs no Grain: see `lanes`.
"""

import functools
from collections.abc import Callable
from typing import Any

import grain
import grain.experimental
import numpy as np
from jaxtyping import Int
from ml_collections import ConfigDict

from mhmr_jax.data import flow_cache, target_domain
from mhmr_jax.data.examples import TrainingExample
from mhmr_jax.data.flow_cache import ClipsWithFlow
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.data.sources import ClipSource, Generated, Mixture
from mhmr_jax.runtime import processes
from mhmr_jax.runtime.sharding import HostRows
from mhmr_jax.schema import Clip, HostBatch

# The key of an iterator's state: examples taken from the stream, over all hosts.
POSITION = "global_next_index"
# The first number of the generated examples of a seed is this times the seed.
_SEED_STRIDE = 2_654_435_761


def training_iterator(
  source: ClipSource | Mixture | Generated,
  config: ConfigDict,
  host: HostRows | None = None,
  target: ClipSource | None = None,
) -> grain.experimental.ElasticIterator:
  """This host's part of every global batch.

  Args:
    source: labelled clips, or examples that `device_examples` makes from numbers.
    config: of the run.
    host: the rows that this host holds; None for all.
    target: clips of the target domain, which then make up half of each batch.
  """
  if isinstance(source, Generated):
    dataset = example_numbers(source)
  else:
    dataset = training_dataset(source, config, target)
  return elastic_iterator(dataset, config, host)


def training_dataset(
  source: ClipSource | Mixture, config: ConfigDict, target: ClipSource | None = None
) -> grain.MapDataset:
  """The endless, shuffled stream of examples, the same for any number of hosts.

  A mixture's sources take turns in proportion to their weights, each in an order of
  its own. Seed and position alone decide which example comes.
  """
  spec = InputSpec.from_config(config)
  make_example = _ReadAndMake(
    TrainingExample(spec, config.data.jitter_scale, config.data.jitter_shift)
  )

  def shuffled(clips: ClipSource, seed: int = config.seed) -> grain.MapDataset:
    unread = UnreadClips(flow_cache.opened(clips, config))
    return grain.MapDataset.source(unread).seed(seed).shuffle().repeat()

  if isinstance(source, ClipSource):
    labelled = shuffled(source).random_map(make_example)
  else:
    streams = [shuffled(clips) for clips in source.sources]
    mixed = grain.MapDataset.mix(streams, source.weights)
    labelled = mixed.seed(config.seed).random_map(make_example)
  if target is None:
    return labelled
  # Another seed: two kinds of synthetic clips show the same motions under the same
  # numbers, and would otherwise come in pairs.
  unlabelled = shuffled(target, config.seed + 1).random_map(make_example)
  return target_domain.take_turns(labelled, unlabelled)


class UnreadClips:
  """Random access to functions that read clips.

  As the source of Grain's graph, where clips themselves would have every field of every
  clip counted by Grain, which takes as long as reading it.
  """

  def __init__(self, clips: ClipSource | ClipsWithFlow):
    self._clips = clips

  def __len__(self) -> int:
    return len(self._clips)

  def __repr__(self) -> str:
    return f"UnreadClips({self._clips!r})"

  def __getitem__(self, index: int) -> Callable[[], Clip]:
    return functools.partial(self._clips.__getitem__, index)


class _ReadAndMake(grain.transforms.RandomMap):
  """Makes an example of a clip that is not read yet."""

  def __init__(self, example: TrainingExample):
    self._example = example

  def random_map(
    self, element: Callable[[], Clip], rng: np.random.Generator
  ) -> HostBatch:
    return self._example.random_map(element(), rng)


def example_numbers(source: Generated) -> grain.MapDataset:
  """The endless stream of the numbers of generated examples."""

  def record(number: int) -> HostBatch:
    own = (number + _SEED_STRIDE * source.seed) % 2**32
    return {"number": np.array(own, np.uint32)}

  return grain.MapDataset.range(2**31).map(record)


def elastic_iterator(
  dataset: grain.MapDataset, config: ConfigDict, host: HostRows | None = None
) -> grain.experimental.ElasticIterator:
  """This host's part (None: all) of every global batch of a stream of examples.

  The state is the position in the stream alone, so a run resumes exactly with
  another number of workers, devices or hosts.
  """
  dataset = EndingWithTrainer(dataset)
  shard = grain.sharding.ShardOptions(0, 1)
  if host is not None and host.hosts > 1:
    dataset = RowsOfHost(dataset, config.train.batch_size, host.rows)
    shard = grain.sharding.ShardOptions(host.host, host.hosts)
  workers = config.data.workers
  parallel = grain.MultiprocessingOptions(num_workers=workers) if workers else None
  return grain.experimental.ElasticIterator(
    dataset,
    config.train.batch_size,
    shard,
    read_options=grain.ReadOptions(num_threads=1, prefetch_buffer_size=2),
    multiprocessing_options=parallel,
  )


class EndingWithTrainer(grain.MapDataset):
  """The same stream; a process that loads it ends when the trainer has ended.

  A trainer that is killed cannot end its loaders. They would wait for it, with its
  examples in shared memory.
  """

  def __len__(self) -> int:
    return len(self._parent)

  def __getitem__(self, index: Any) -> Any:
    """The example at a place in the stream."""
    if isinstance(index, slice):
      return self.slice(index)
    return self._parent[index]

  def __setstate__(self, state: dict[str, Any]) -> None:
    """Arrives in a process that loads."""
    self.__dict__.update(state)
    processes.end_with_parent()


class RowsOfHost(grain.MapDataset):
  """A stream reordered so that a host's turns are the batch's rows that it holds.

  `ElasticIterator` deals the examples of a batch out to P hosts in turns: this host
  gets every P-th one. Its devices hold other rows of the batch. Here every P-th example
  is one of these rows, so that a batch has its examples in the stream's order for any
  number of hosts.
  """

  def __init__(
    self, parent: grain.MapDataset, batch_size: int, rows: Int[np.ndarray, "rows"]
  ):
    super().__init__(parent)
    self._batch_size = batch_size
    self._rows = rows

  def __len__(self) -> int:
    return len(self._parent)

  def __getitem__(self, index: Any) -> Any:
    """The example for a turn; only this host's own turns have a meaning."""
    if isinstance(index, slice):
      return self.slice(index)
    batch, turn = divmod(index, self._batch_size)
    row = self._rows[turn * len(self._rows) // self._batch_size]
    return self._parent[batch * self._batch_size + int(row)]
