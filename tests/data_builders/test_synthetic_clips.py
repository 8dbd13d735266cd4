import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from data_builders.synthetic_clips import synthetic_clips_dataset_builder as synthetic
from mhmr_jax.errors import InputError
from tests.synth import surreal_files

SMALL = dict(num_train=5, num_test=2, frames=4, size=64, seed=1, variant="full")


def _builder(data_dir, **changes) -> synthetic.Builder:
  config = synthetic.SyntheticClipsConfig(**{**SMALL, **changes})
  return synthetic.Builder(config=config, data_dir=data_dir)


def _clips(builder, split: str) -> dict[str, dict]:
  return {clip["sequence"]: clip for clip in builder.as_data_source(split=split)}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
  builder = _builder(tmp_path_factory.mktemp("data"), processes=2)
  builder.download_and_prepare()
  return builder


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
def test_one_process_makes_the_bytes_of_two(built, tmp_path):
  alone = _builder(tmp_path, processes=1)
  alone.download_and_prepare()
  for split in ("train", "test"):
    expected, clips = _clips(built, split), _clips(alone, split)
    assert clips.keys() == expected.keys()
    for name, clip in clips.items():
      for key, value in clip.items():
        np.testing.assert_array_equal(value, expected[name][key], err_msg=key)


@pytest.mark.slow
def test_one_process_makes_the_bytes_of_two_of_surreal_s_people(tmp_path):
  for seed, clip in enumerate(("train/run0/01_01/01_01", "test/run0/02_01/02_01")):
    scene = surreal_files.Scene(seed=seed)
    surreal_files.write(tmp_path / "surreal", f"{clip}_c0001", scene)
  files = []
  for processes in (1, 2):
    builder = _builder(
      tmp_path / str(processes), surreal=str(tmp_path / "surreal"), processes=processes
    )
    builder.download_and_prepare()
    files.append({file.name: file.read_bytes() for file in builder.data_path.iterdir()})
  assert len(files[0]) == 1 + 1 + 2  # Shards of both splits, and two of TFDS's files.
  assert files[0] == files[1]


@pytest.mark.slow
def test_splits_share_nothing(built):
  train, test = _clips(built, "train").values(), _clips(built, "test").values()
  for mine in train:
    for theirs in test:
      for key in ("betas", "pose", "intrinsics"):
        assert not np.allclose(mine[key], theirs[key])


@pytest.mark.slow
def test_bad_input_comes_out_of_the_workers_as_it_is(tmp_path):
  builder = _builder(tmp_path, backgrounds=str(tmp_path / "nowhere"), processes=1)
  with pytest.raises(InputError, match="nowhere does not exist"):
    builder.download_and_prepare()
  assert not builder.data_path.exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_killed_build_leaves_no_dataset_and_no_workers(tmp_path):
  builder = _builder(tmp_path, num_train=5000, processes=1)
  workers = _kill_a_build(tmp_path, num_train=5000)
  assert workers
  assert list(tmp_path.rglob("incomplete.*"))
  assert not builder.data_path.exists()
  for _ in range(600):  # On a busy machine it takes a while.
    if not any(_is_running(worker) for worker in workers):
      break
    time.sleep(0.1)
  assert not any(_is_running(worker) for worker in workers)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_killed_build_starts_again_and_makes_the_files_of_another(tmp_path):
  _kill_a_build(tmp_path / "killed", num_train=70)
  assert list((tmp_path / "killed").rglob("incomplete.*"))
  files = []
  for folder in ("killed", "undisturbed"):
    builder = _builder(tmp_path / folder, num_train=70, processes=2)
    builder.download_and_prepare()
    files.append({file.name: file.read_bytes() for file in builder.data_path.iterdir()})
  assert len(files[0]) == 2 + 1 + 2  # Shards of both splits, and two of TFDS's files.
  assert files[0] == files[1]
  assert not list((tmp_path / "killed").rglob("incomplete.*"))


def _kill_a_build(data_dir: pathlib.Path, num_train: int) -> list[int]:
  """Kills a build as soon as it has made clips; returns what were its workers."""
  script = f"""
if __name__ == "__main__":
  from data_builders.synthetic_clips import synthetic_clips_dataset_builder as synthetic
  config = synthetic.SyntheticClipsConfig(**{SMALL | dict(num_train=num_train)},
                                          processes=1)
  synthetic.Builder(config=config, data_dir={str(data_dir)!r}).download_and_prepare()
"""
  data_dir.mkdir(exist_ok=True)
  path = data_dir / "build.py"
  path.write_text(script)
  with subprocess.Popen(
    [sys.executable, str(path)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
  ) as process:
    assert process.stderr is not None
    seen = b""
    while b"clip/s" not in seen and b"s/clip" not in seen:
      seen += process.stderr.read(1)
      assert process.poll() is None, seen
    workers = _children(process.pid)
    process.send_signal(signal.SIGKILL)
  return workers


def _children(pid: int) -> list[int]:
  return [
    int(child)
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
    for child in (task / "children").read_text().split()
  ]


def _is_running(pid: int) -> bool:
  try:
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
  except FileNotFoundError:
    return False
  return stat.rpartition(")")[2].split()[0] != "Z"
