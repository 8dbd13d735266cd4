"""Work directories in a bucket, of a file system in memory that answers to gs://."""

import json

import fsspec
import pytest
from etils import epath
from fsspec.implementations.memory import MemoryFileSystem

from mhmr_jax.errors import InputError
from mhmr_jax.files import workdirs
from mhmr_jax.runtime import program
from mhmr_jax.training import checkpoints, metric_writer
from tests import tiny


class Bucket(MemoryFileSystem):
  """A file system in memory that, like a bucket, cannot append to a file."""

  protocol = "gs"
  store = {}  # noqa: RUF012
  pseudo_dirs = [""]  # noqa: RUF012

  def _open(self, path, mode="rb", **options):
    assert not mode.startswith("a")
    return super()._open(path, mode, **options)


@pytest.fixture
def workdir(monkeypatch):
  fsspec.register_implementation("gcs", Bucket, clobber=True)
  monkeypatch.setattr(Bucket, "store", {})
  return program.any_path("gs://bucket/runs/one")


def test_a_buckets_path_stays_one(workdir):
  assert str(workdir / "metrics.jsonl") == "gs://bucket/runs/one/metrics.jsonl"
  assert program.any_path("runs/one").is_absolute()


def test_the_config_is_kept_and_another_one_refused(workdir, tmp_path):
  config = tiny.config(tmp_path)
  checkpoints.prepare_workdir(workdir, config)
  stored = workdirs.load_config(workdir)
  assert stored.train.steps == config.train.steps
  checkpoints.prepare_workdir(workdir, config)
  config.train.learning_rate = 0.5
  with pytest.raises(InputError, match=r"config.train.learning_rate = 0.001, not 0.5"):
    checkpoints.prepare_workdir(workdir, config)


def test_metrics_are_written_anew_and_a_resumed_run_goes_on(workdir):
  writer = metric_writer.MetricWriter(workdir, 0)
  for step in (1, 2):
    writer.write(step, {"loss": step / 2})
  writer.keep()
  writer.write(3, {"loss": 1.5})  # The run is killed before the next `keep`.
  resumed = metric_writer.MetricWriter(workdir, 1)
  resumed.write(2, {"loss": 9.0})
  resumed.close()
  lines = epath.Path(workdir / "metrics.jsonl").read_text().splitlines()
  assert [json.loads(line) for line in lines] == [
    {"step": 1, "loss": 0.5},
    {"step": 2, "loss": 9.0},
  ]
