"""Datasets that are written shard by shard, by one process at a time, whole or not.

TFDS's own writer holds up to 1000 MiB of a split in memory and hands larger splits to
TensorFlow, which this project does without, so `_generate_splits` is replaced here by a
few lines that write array_record files. Writing the JSON files without a
`GeneratorBasedBuilder`, too, would not be shorter: the naming of folders, the temporary
folder that is renamed at the end, and reading would have to be written again.
"""

import contextlib
import errno
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
from mhmr_jax.files import atomic, locks

EXAMPLES_PER_SHARD = 64
FILE_FORMAT = "array_record"  # TFDS's only format that can be read without TensorFlow.
_ADVICE = "make room there, or name another folder for generated data"

Examples = Iterable[tuple[str | int, Mapping[str, Any]]]


def lengths(count: int) -> list[int]:
  """How many of `count` examples each shard holds."""
  full, rest = divmod(count, EXAMPLES_PER_SHARD)
  return [EXAMPLES_PER_SHARD] * full + [rest] * (rest > 0)


@contextlib.contextmanager
def writing(path: str | pathlib.Path) -> Iterator[None]:
  """Turns the errors of writing a file into an InputError with one sentence."""
  try:
    yield
  except OSError as error:
    raise atomic.not_writable(pathlib.Path(path), error, _ADVICE) from error
  except RuntimeError as error:  # array_record's error, with a stack of C++ calls.
    cause = OSError(errno.EIO, str(error).partition(";")[0])
    raise atomic.not_writable(pathlib.Path(path), cause, _ADVICE) from error


class ShardWriter:
  """Writes examples of one dataset to files; it can be sent to other machines."""

  def __init__(self, features: tfds.features.FeaturesDict):
    self._features = features
    info = features.get_serialized_info()
    self._serializer = example_serializer.ExampleSerializer(info)

  def write(self, path: str, examples: Examples) -> int:
    """Writes one file of examples in their order; returns how many there were.

    Raises:
      InputError: the file cannot be written.
    """
    count = 0
    with writing(path):
      file = array_record_module.ArrayRecordWriter(path, "group_size:1")
    for _, example in examples:
      encoded = self._features.encode_example(example)
      # Without `deterministic` the fields' order differs between processes.
      record = self._serializer.get_tf_example(encoded).SerializeToString(
        deterministic=True
      )
      with writing(path):
        file.write(record)
      count += 1
    with writing(path):
      file.close()
    return count


class ShardedBuilder(tfds.core.GeneratorBasedBuilder):
  """A TFDS builder whose splits are iterators of (key, example), stored in their order.

  Where several processes ask for the same dataset, one makes it and the others wait.
  """

  def download_and_prepare(self, **kwargs: Any) -> None:
    """Makes the dataset; removes what a killed process has left of it before.

    Args:
      **kwargs: as for TFDS's own method; the file format is always array_record.

    Raises:
      InputError: the folder cannot be written.
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
    self,
    dl_manager: tfds.download.DownloadManager,
    download_config: tfds.download.DownloadConfig,
  ) -> list[tfds.core.SplitInfo]:
    limit = download_config.max_examples_per_split
    return [
      self._write_split(split, itertools.islice(examples, limit))
      for split, examples in self._split_generators(dl_manager).items()
    ]

  def _write_split(self, split: str, examples: Examples) -> tfds.core.SplitInfo:
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
    # The files' names say how many shards there are, which is known only now.
    for path, name in zip(partial, self._shard_names(split, len(lengths)), strict=True):
      path.rename(folder / name)
    return self._split_info(split, lengths)

  def _shard_names(self, split: str, count: int) -> list[str]:
    template = self._get_filename_template(split_name=split)
    return [
      template.sharded_filepath(shard_index=index, num_shards=count).name
      for index in range(count)
    ]

  def _split_info(self, split: str, lengths: Sequence[int]) -> tfds.core.SplitInfo:
    """What TFDS stores about a split whose files are written."""
    folder = pathlib.Path(self.data_path)
    names = self._shard_names(split, len(lengths))
    return tfds.core.SplitInfo(
      name=split,
      shard_lengths=list(lengths),
      num_bytes=sum((folder / name).stat().st_size for name in names),
      filename_template=self._get_filename_template(split_name=split),
    )


def _remove_leftovers(data_path: pathlib.Path) -> None:
  """Removes the temporary folders of this dataset's builds that were killed."""
  # tfds.core.utils.incomplete_dir adds six random characters.
  for left in data_path.parent.glob(f"incomplete.??????_{data_path.name}"):
    logging.info("Removing %s, which a killed process has left.", left)
    shutil.rmtree(left)
