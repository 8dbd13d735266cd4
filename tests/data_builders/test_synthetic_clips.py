import contextlib
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from data_builders import sharded
from data_builders.synthetic_clips import synthetic_clips_dataset_builder as synthetic
from mhmr_jax.errors import InputError
from mhmr_jax.synth import clips
from tests.synth import surreal_files

SMALL = dict(num_train=5, num_test=2, frames=4, size=64, seed=1, variant="full")
SHARD = 2  # Clips of a shard.


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
  monkeypatch.setattr(sharded, "EXAMPLES_PER_SHARD", SHARD)


def _builder(data_dir, **changes) -> synthetic.Builder:
  config = synthetic.SyntheticClipsConfig(**{**SMALL, **changes})
  return synthetic.Builder(config=config, data_dir=data_dir)


@pytest.fixture(scope="module")
def pools():
  """Pools of one and of two processes by their size: processes take long to start."""
  with clips.workers(1) as one, clips.workers(2) as two:
    yield {1: one, 2: two}


@pytest.fixture
def shared_pools(pools, monkeypatch):
  """Has builds use these pools."""
  monkeypatch.setattr(
    clips, "workers", lambda count: contextlib.nullcontext(pools[count])
  )


@pytest.fixture(scope="module")
def built(tmp_path_factory, pools):
  """A build by two processes."""
  builder = _builder(tmp_path_factory.mktemp("data"), processes=2)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sharded, "EXAMPLES_PER_SHARD", SHARD)
    patch.setattr(clips, "workers", lambda count: contextlib.nullcontext(pools[count]))
    builder.download_and_prepare()
  return builder


def _clips(builder, split: str) -> dict[bytes, dict]:
  return {clip["sequence"]: clip for clip in builder.as_data_source(split=split)}


def _files(builder) -> dict[str, bytes]:
  return {file.name: file.read_bytes() for file in builder.data_path.iterdir()}


def test_settings_name_the_folder_and_processes_do_not():
  def name(**changes):
    return synthetic.SyntheticClipsConfig(**{**SMALL, **changes}).name

  assert name(processes=1) == name(processes=7)
  changes = dict(
    num_train=6, num_test=3, frames=5, size=96, seed=2, motion="m", backgrounds="b",
    body="c.npz", textures="t", variant="plain",
  )  # fmt: skip
  names = {name(), *(name(**{key: value}) for key, value in changes.items())}
  assert len(names) == 1 + len(changes)
  assert name(motion="folder") == name(motion=str(pathlib.Path("folder").absolute()))


@pytest.mark.slow
def test_reads_back_what_was_asked_for(built):
  train, test = _clips(built, "train"), _clips(built, "test")
  assert sorted(train) == [b"train_%06d" % i for i in range(5)]
  assert sorted(test) == [b"test_%06d" % i for i in range(2)]
  clip = train[b"train_000003"]
  assert clip["pose"].shape == (4, 24, 3)
  assert clip["pose"].dtype == np.float32
  assert clip["fps"] == 30
  assert clip["valid"].all()
  assert [type(frame) for frame in clip["frames"]] == [bytes] * 4
  assert clip["frames"][0].startswith(b"\xff\xd8")
  assert clip["flow"][0].startswith(b"\x89PNG")


@pytest.mark.slow
def test_splits_share_nothing(built):
  for train in _clips(built, "train").values():
    for test in _clips(built, "test").values():
      for key in ("betas", "pose", "intrinsics"):
        assert not np.allclose(train[key], test[key])


@pytest.mark.slow
def test_one_process_makes_the_bytes_of_two_of_surreal_s_people(tmp_path, shared_pools):
  for seed, clip in enumerate(("train/run0/01_01/01_01", "test/run0/02_01/02_01")):
    scene = surreal_files.Scene(seed=seed)
    surreal_files.write(tmp_path / "surreal", f"{clip}_c0001", scene)
  files = []
  for processes in (1, 2):
    builder = _builder(
      tmp_path / str(processes), surreal=str(tmp_path / "surreal"), processes=processes
    )
    builder.download_and_prepare()
    files.append(_files(builder))
  assert len(files[0]) == 3 + 1 + 2  # Shards of both splits, and TFDS's two files.
  assert files[0] == files[1]


@pytest.mark.slow
def test_bad_input_comes_out_of_the_workers_as_it_is(tmp_path, shared_pools):
  builder = _builder(tmp_path, backgrounds=str(tmp_path / "nowhere"), processes=1)
  with pytest.raises(InputError, match="nowhere does not exist"):
    builder.download_and_prepare()
  assert not builder.data_path.exists()


# Builds the dataset, prints its workers' process ids after three clips, and waits to be
# killed.
_INTERRUPTED = """
import os, pathlib, sys, time
if __name__ == "__main__":
  from data_builders.synthetic_clips import synthetic_clips_dataset_builder as synthetic
  from mhmr_jax.synth import clips

  generate = clips.generate

  def interrupted(*arguments):
    for number, clip in enumerate(generate(*arguments)):
      if number == 3:
        for task in pathlib.Path("/proc/self/task").iterdir():
          print((task / "children").read_text(), end=" ")
        print(flush=True)
        time.sleep(600)
      yield clip

  clips.generate = interrupted
  config = synthetic.SyntheticClipsConfig(**{settings}, processes=1)
  synthetic.Builder(config=config, data_dir={data_dir!r}).download_and_prepare()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_killed_build_leaves_no_workers_and_the_next_one_is_not_disturbed(
  tmp_path, built, shared_pools
):
  data_dir = tmp_path / "data"
  workers = _kill_a_build(tmp_path / "build.py", data_dir)
  assert workers
  builder = _builder(data_dir, processes=1)
  assert list(data_dir.rglob("incomplete.*"))
  assert not builder.data_path.exists()
  deadline = time.monotonic() + 60  # On a busy machine it takes a while.
  while any(map(_is_running, workers)) and time.monotonic() < deadline:
    time.sleep(0.1)
  assert not any(map(_is_running, workers))
  # The next build starts again, and one process makes the bytes of two.
  builder.download_and_prepare()
  assert len(_files(built)) == 3 + 1 + 2  # Shards of both splits, and TFDS's two files.
  assert _files(builder) == _files(built)
  assert not list(data_dir.rglob("incomplete.*"))


def _kill_a_build(script: pathlib.Path, data_dir: pathlib.Path) -> list[int]:
  """Kills a build once it has made clips; returns what were its child processes."""
  script.write_text(
    _INTERRUPTED.replace("{settings}", repr(SMALL)).replace(
      "{data_dir!r}", repr(str(data_dir))
    )
  )
  with subprocess.Popen(
    [sys.executable, str(script)], stdout=subprocess.PIPE, text=True
  ) as process:
    assert process.stdout is not None
    workers: list[int] = []
    for line in process.stdout:  # TFDS prints lines of its own.
      if line.strip() and all(word.isdigit() for word in line.split()):
        workers = [int(word) for word in line.split()]
        break
    process.send_signal(signal.SIGKILL)
  return workers


def _is_running(pid: int) -> bool:
  try:
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
  except FileNotFoundError:
    return False
  return stat.rpartition(")")[2].split()[0] != "Z"
