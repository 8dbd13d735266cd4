"""Shards made by Beam's workers are those of a plain build."""

import pathlib

import pytest
import tensorflow_datasets as tfds

from data_builders import sharded
from data_builders.synthetic_clips import synthetic_clips_dataset_builder as synthetic

pytest.importorskip("apache_beam", reason="needs the extra `beam`")
pytestmark = pytest.mark.slow

from apache_beam.options.pipeline_options import PipelineOptions  # noqa: E402


def _build(folder: pathlib.Path, *options: str, beam_folder: str = "") -> pathlib.Path:
  config = synthetic.SyntheticClipsConfig(
    num_train=5, num_test=2, frames=3, size=48, processes=2, beam_folder=beam_folder
  )
  builder = synthetic.Builder(config=config, data_dir=folder)
  beam_options = PipelineOptions(list(options)) if options else None
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(beam_options=beam_options)
  )
  return pathlib.Path(builder.data_path)


def _contents(folder: pathlib.Path) -> dict[str, bytes]:
  return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> pathlib.Path:
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sharded, "EXAMPLES_PER_SHARD", 2)
    return _build(tmp_path_factory.mktemp("plain"))


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
  monkeypatch.setattr(sharded, "EXAMPLES_PER_SHARD", 2)


@pytest.mark.parametrize("mode", ["in_memory", "multi_threading", "multi_processing"])
def test_files_are_the_same_to_the_byte(plain, tmp_path, mode):
  options = [f"--direct_running_mode={mode}", "--direct_num_workers=2"]
  made = _build(tmp_path, "--runner=DirectRunner", *options)
  expected = _contents(plain)
  assert len(expected) == 3 + 1 + 2  # Shards of both splits, and two of TFDS's files.
  assert _contents(made) == expected


def test_shards_pass_through_a_folder_of_their_own(plain, tmp_path):
  handover = tmp_path / "handover"
  # A shard that an earlier pipeline finished is not made again.
  left = handover / plain.parent.name / plain.name
  left.mkdir(parents=True)
  (left / "synthetic_clips-test.array_record-00000-of-00001").write_bytes(
    (plain / "synthetic_clips-test.array_record-00000-of-00001").read_bytes()
  )
  made = _build(tmp_path / "data", "--runner=DirectRunner", beam_folder=str(handover))
  assert _contents(made) == _contents(plain)
  assert not list(left.iterdir())
