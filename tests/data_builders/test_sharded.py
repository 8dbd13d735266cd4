"""A dataset that is written once, by one process, whole or not at all."""

import json
import os
import resource
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordReader

from data_builders import sharded
from mhmr_jax.errors import InputError


class Numbers(sharded.ShardedBuilder):
  """Counts up to seven."""

  VERSION = tfds.core.Version("1.0.0")
  count, text = 7, b"text"
  generated = 0  # Examples of all builders.
  may_go_on = threading.Event()
  may_go_on.set()

  def _info(self) -> tfds.core.DatasetInfo:
    features = {"number": np.int64, "text": tfds.features.Text()}
    return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

  def _split_generators(self, dl_manager):
    return {"train": self._generate_examples()}

  def _generate_examples(self) -> Iterator[tuple[str, dict]]:
    for number in range(self.count):
      self.may_go_on.wait()
      Numbers.generated += 1
      yield str(number), {"number": number, "text": self.text}


def _numbers(builder) -> list[int]:
  return [int(example["number"]) for example in builder.as_data_source(split="train")]


def test_shards_hold_all_examples_in_order(tmp_path, monkeypatch):
  monkeypatch.setattr(sharded, "EXAMPLES_PER_SHARD", 3)
  builder = Numbers(data_dir=tmp_path)
  builder.download_and_prepare()
  files = sorted(builder.data_path.glob("*array_record*"))
  assert [file.name for file in files] == [
    f"numbers-train.array_record-{index:05d}-of-00003" for index in range(3)
  ]
  assert [ArrayRecordReader(str(file)).num_records() for file in files] == [3, 3, 1]
  assert sharded.lengths(7) == [3, 3, 1]
  assert sharded.lengths(6) == [3, 3]
  (split,) = json.loads((builder.data_path / "dataset_info.json").read_text())["splits"]
  assert split["shardLengths"] == ["3", "3", "1"]
  assert int(split["numBytes"]) == sum(file.stat().length for file in files)
  assert _numbers(Numbers(data_dir=tmp_path)) == list(range(7))


def test_a_new_build_removes_what_dead_ones_of_its_dataset_left(tmp_path):
  own = tmp_path / "numbers" / "incomplete.AB12CD_1.0.0"
  others = [
    tmp_path / "numbers" / "incomplete.AB12CD_2.0.0",
    tmp_path / "numbers" / "1.0.1",
    tmp_path / "letters" / "incomplete.AB12CD_1.0.0",
  ]
  for folder in (own, *others):
    folder.mkdir(parents=True)
    (folder / "file").touch()
  Numbers(data_dir=tmp_path).download_and_prepare()
  assert not own.exists()
  assert all((folder / "file").exists() for folder in others)


def test_one_builds_while_another_waits(tmp_path, monkeypatch):
  monkeypatch.setattr(Numbers, "may_go_on", threading.Event())
  monkeypatch.setattr(Numbers, "generated", 0)
  builders = [Numbers(data_dir=tmp_path) for _ in range(2)]
  threads = [threading.Thread(target=b.download_and_prepare) for b in builders]
  for thread in threads:
    thread.start()
  threads[0].join(0.2)
  assert all(thread.is_alive() for thread in threads)
  Numbers.may_go_on.set()
  for thread in threads:
    thread.join(30)
  assert Numbers.generated == 7
  assert [_numbers(builder) for builder in builders] == [list(range(7))] * 2


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
  monkeypatch.setattr(Numbers, "text", os.urandom(10**5))
  builder = Numbers(data_dir=tmp_path)
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, before[1]))
  try:
    with pytest.raises(InputError, match=r"cannot be written .*too large"):
      builder.download_and_prepare()
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
  assert not builder.data_path.exists()
  assert not list(tmp_path.rglob("incomplete.*"))


def test_a_file_in_the_folders_place_and_an_empty_split_are_refused(
  tmp_path, monkeypatch
):
  (tmp_path / "numbers").touch()
  with pytest.raises(InputError, match="numbers cannot be written"):
    Numbers(data_dir=tmp_path).download_and_prepare()
  monkeypatch.setattr(Numbers, "count", 0)
  with pytest.raises(InputError, match="'train' of numbers would have no examples"):
    Numbers(data_dir=tmp_path / "elsewhere").download_and_prepare()
