"""Datasets written shard by shard, by one process at a time, whole or not at all.

TFDS's own writer holds up to 1000 MiB of a split in memory, and what is larger it
hands to TensorFlow, which this project does without: it fails after the last example.
"""

import contextlib
import itertools
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds
from absl import logging
from array_record.python import array_record_module
from tensorflow_datasets.core import example_serializer

from mhmr_jax.errors import InputError
from mhmr_jax.files import locks

EXAMPLES_PER_SHARD = 64
FILE_FORMAT = "array_record"  # The only one of TFDS's that needs no TensorFlow.

Examples = Iterable[tuple[str | int, Mapping[str, Any]]]


def lengths(count: int) -> list[int]:
  """How many of `count` examples each shard holds."""
  full, rest = divmod(count, EXAMPLES_PER_SHARD)
  return [EXAMPLES_PER_SHARD] * full + [rest] * (rest > 0)


class ShardWriter:
  """Writes the examples of one dataset to files; can be sent to other machines."""

  def __init__(self, features: Any):
    self._features = features
    info = features.get_serialized_info()
    self._serializer = example_serializer.ExampleSerializer(info)

  def write(self, path: str, examples: Examples) -> int:
    """Writes one file in the order given; returns how many there were.

    Raises:
      InputError: when it cannot be written.
    """
    count = 0
    with _writing(path):
      file = array_record_module.ArrayRecordWriter(path, "group_size:1")
    for _, example in examples:
      encoded = self._features.encode_example(example)
      # Otherwise the fields are in another order in each process.
      record = self._serializer.get_tf_example(encoded).SerializeToString(
        deterministic=True
      )
      with _writing(path):
        file.write(record)
      count += 1
    with _writing(path):
      file.close()
    return count


@contextlib.contextmanager
def _writing(path: str) -> Iterator[None]:
  try:
    yield
  except RuntimeError as error:
    cause = str(error).partition(";")[0]
    raise InputError(
      f"{path} cannot be written ({cause}): make room there, or name another folder "
      "for generated data."
    ) from error


class ShardedBuilder(tfds.core.GeneratorBasedBuilder):
  """Each split is an iterator of (key, example), stored in the order they come.

  Several processes may ask for the same dataset: one makes it, the others wait.
  """

  def download_and_prepare(self, **kwargs: Any) -> None:
    """As TFDS's own, in array_record files; what a dead process left is removed.

    Raises:
      InputError: when the folder cannot be written.
    """
    was_there = self.data_path.exists()
    with locks.exclusive(pathlib.Path(self.data_path).parent) as is_alone:
      if self.data_path.exists() and not was_there:
        self.info.set_file_format(FILE_FORMAT, override=True)
        self.info.read_from_directory(self.data_path)
        return
      if is_alone:
        _remove_leftovers(pathlib.Path(self.data_path))
      super().download_and_prepare(**{**kwargs, "file_format": FILE_FORMAT})

  def _generate_splits(
    self, dl_manager: tfds.download.DownloadManager, download_config: Any
  ) -> list[Any]:
    limit = download_config.max_examples_per_split
    return [
      self._write_split(split, itertools.islice(examples, limit))
      for split, examples in self._split_generators(dl_manager).items()
    ]

  def _write_split(self, split: str, examples: Examples) -> Any:
    writer = ShardWriter(self.info.features)
    folder = pathlib.Path(self.data_path)
    rest = iter(examples)
    partial: list[pathlib.Path] = []
    lengths: list[int] = []
    for first in rest:
      chunk = itertools.chain([first], itertools.islice(rest, EXAMPLES_PER_SHARD - 1))
      partial.append(folder / f"{split}_{len(partial)}.partial")
      lengths.append(writer.write(str(partial[-1]), chunk))
    if not lengths:
      raise InputError(f"The split {split!r} of {self.name} would have no examples.")
    # How many shards there are is part of their names.
    for path, name in zip(partial, self._shard_names(split, len(lengths)), strict=True):
      path.rename(folder / name)
    return self._split_info(split, lengths)

  def _shard_names(self, split: str, count: int) -> list[str]:
    template = self._get_filename_template(split_name=split)
    return [
      template.sharded_filepath(shard_index=index, num_shards=count).name
      for index in range(count)
    ]

  def _split_info(self, split: str, lengths: Sequence[int]) -> Any:
    """What TFDS keeps of a split whose files are all there."""
    folder = pathlib.Path(self.data_path)
    names = self._shard_names(split, len(lengths))
    return tfds.core.SplitInfo(
      name=split,
      shard_lengths=list(lengths),
      num_bytes=sum((folder / name).stat().st_size for name in names),
      filename_template=self._get_filename_template(split_name=split),
    )


def _remove_leftovers(data_path: pathlib.Path) -> None:
  """Removes what builds of this very dataset left behind when they were killed."""
  # tfds.core.utils.incomplete_dir: a random name of six characters.
  for left in data_path.parent.glob(f"incomplete.??????_{data_path.name}"):
    logging.info("Removing %s, which a killed process left.", left)
    shutil.rmtree(left)
