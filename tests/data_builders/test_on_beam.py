"""Shards made by Beam's workers are those of a plain build."""

import contextlib
import pathlib
import threading
import time
from concurrent import futures

import pytest
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter

from data_builders import sharded
from data_builders.synthetic_clips import synthetic_clips_dataset_builder as synthetic
from mhmr_jax.errors import InputError

pytest.importorskip("apache_beam", reason="needs the extra `beam`")

from apache_beam.options.pipeline_options import PipelineOptions

from data_builders.synthetic_clips import on_beam

SHARD = 2  # Clips of a shard.


def _build(folder: pathlib.Path, mode: str = "", beam_folder: str = "") -> pathlib.Path:
  """Builds by Beam in a mode of its DirectRunner; '' builds without Beam."""
  config = synthetic.SyntheticClipsConfig(
    num_train=3, num_test=1, frames=3, size=48, processes=1, beam_folder=beam_folder
  )
  builder = synthetic.Builder(config=config, data_dir=folder)
  options = [
    "--runner=DirectRunner",
    f"--direct_running_mode={mode}",
    "--direct_num_workers=2",
  ]
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(
      beam_options=PipelineOptions(options) if mode else None
    )
  )
  return pathlib.Path(builder.data_path)


def _contents(folder: pathlib.Path) -> dict[str, bytes]:
  return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> pathlib.Path:
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sharded, "EXAMPLES_PER_SHARD", SHARD)
    return _build(tmp_path_factory.mktemp("plain"))


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
  monkeypatch.setattr(sharded, "EXAMPLES_PER_SHARD", SHARD)


@pytest.mark.slow
def test_processes_make_the_same_files_to_the_byte(plain, tmp_path):
  expected = _contents(plain)
  assert len(expected) == 2 + 1 + 2  # Shards of both splits, and TFDS's two files.
  assert _contents(_build(tmp_path, "multi_processing")) == expected


@pytest.mark.slow
def test_shards_pass_through_a_folder_of_their_own(plain, tmp_path):
  handover = tmp_path / "handover"
  # A shard that an earlier pipeline finished is not made again.
  left = handover / plain.parent.name / plain.name
  left.mkdir(parents=True)
  (left / "synthetic_clips-test.array_record-00000-of-00001").write_bytes(
    (plain / "synthetic_clips-test.array_record-00000-of-00001").read_bytes()
  )
  built = _build(tmp_path / "data", "in_memory", beam_folder=str(handover))
  assert _contents(built) == _contents(plain)
  assert not list(left.iterdir())


def test_threads_of_a_process_make_one_shard_at_a_time(tmp_path, monkeypatch):
  running: list[int] = []
  most: list[int] = []

  @contextlib.contextmanager
  def workers(count):
    running.append(count)
    time.sleep(0.05)
    most.append(len(running))
    with futures.ThreadPoolExecutor(1) as pool:
      yield pool
    running.pop()

  class Writer:
    def write(self, path, examples):
      pathlib.Path(path).write_bytes(b"shard")

  monkeypatch.setattr(on_beam.clips, "workers", workers)
  job = on_beam.Job(
    spec=on_beam.clips.ClipSpec(0, 2, 32), writer=Writer(), folder=str(tmp_path)
  )
  shards = on_beam.shards("train", ["first", "second", "third"], [2, 2, 1])
  threads = [
    threading.Thread(target=on_beam.make_shard, args=(shard, job)) for shard in shards
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert most == [1, 1, 1]
  assert sorted(path.name for path in tmp_path.iterdir()) == [
    "first", "second", "third",
  ]  # fmt: skip


def test_a_shard_that_is_not_complete_is_refused(tmp_path):
  path = tmp_path / "shard"
  file = ArrayRecordWriter(str(path), "group_size:1")
  file.write(b"clip")
  file.close()
  on_beam._check(str(path), 1)
  with pytest.raises(InputError, match="holds 1 clips instead of 2"):
    on_beam._check(str(path), 2)
