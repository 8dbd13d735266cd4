"""The training program, run as its users run it."""

import json
import pathlib
import shutil
import time

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from tests import tiny

# The tests read checkpoints without saying where on the devices they go.
pytestmark = pytest.mark.filterwarnings("ignore:Sharding info not provided")


def losses(workdir: pathlib.Path) -> dict[int, float]:
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  return {record["step"]: record["loss"] for record in map(json.loads, lines)}


def final_arrays(workdir: pathlib.Path) -> list[np.ndarray]:
  folder = workdir / "checkpoints" / str(tiny.OVERRIDES["train.steps"])
  restored = ocp.load_checkpointables(folder)
  assert restored["data"] == {"global_next_index": 48}
  return jax.tree.leaves((restored["model"], restored["optimizer"]))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def uninterrupted(data_dir, tmp_path_factory):
  workdir = tmp_path_factory.mktemp("runs") / "uninterrupted"
  status, _, errors = tiny.run("train", *tiny.flags(data_dir), f"--workdir={workdir}")
  assert status == 0, errors
  return workdir


@pytest.mark.slow
def test_every_step_is_written_and_the_loss_falls(uninterrupted):
  curve = losses(uninterrupted)
  assert list(curve) == list(range(1, 13))
  assert np.mean([curve[10], curve[11], curve[12]]) < curve[1]


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_bits(uninterrupted, data_dir, tmp_path):
  arguments = (*tiny.flags(data_dir), f"--workdir={tmp_path}")
  process = tiny.start("train", *arguments)
  deadline = time.monotonic() + 200
  # Past the first checkpoint, and before the end.
  while not (tmp_path / "checkpoints" / "5").exists():
    assert process.poll() is None, process.communicate()[1]
    assert time.monotonic() < deadline
    time.sleep(0.01)
  process.kill()
  process.communicate()
  assert not (tmp_path / "checkpoints" / "12").exists()

  status, _, errors = tiny.run("train", *arguments, "--config.data.workers=1")
  assert status == 0, errors
  assert "Resuming" in errors
  assert losses(tmp_path) == losses(uninterrupted)
  ours, theirs = final_arrays(tmp_path), final_arrays(uninterrupted)
  assert len(ours) == len(theirs) > 50
  for left, right in zip(ours, theirs, strict=True):
    np.testing.assert_array_equal(left, right)


@pytest.mark.slow
def test_training_against_a_domain_classifier_resumes_to_the_same_bits(
  data_dir, tmp_path
):
  whole, resumed = tmp_path / "whole", tmp_path / "resumed"
  arguments = tiny.flags(data_dir, "dann")
  status, _, errors = tiny.run("train", *arguments, f"--workdir={whole}")
  assert status == 0, errors
  shutil.copytree(whole, resumed)
  shutil.rmtree(resumed / "checkpoints" / "12")
  status, _, errors = tiny.run("train", *arguments, f"--workdir={resumed}")
  assert status == 0, errors
  assert "at step 10" in errors
  assert (resumed / "metrics.jsonl").read_text().count("domain_accuracy") == 12
  assert losses(resumed) == losses(whole)
  for left, right in zip(final_arrays(resumed), final_arrays(whole), strict=True):
    np.testing.assert_array_equal(left, right)


@pytest.mark.slow
def test_four_devices_give_one_devices_losses(uninterrupted, data_dir, tmp_path):
  arguments = (*tiny.flags(data_dir), f"--workdir={tmp_path}")
  status, _, errors = tiny.run("train", *arguments, devices=4)
  assert status == 0, errors
  four, one = losses(tmp_path), losses(uninterrupted)
  for step in range(1, 11):
    assert four[step] == pytest.approx(one[step], rel=1e-5), step


@pytest.mark.slow
def test_another_configs_workdir_is_refused(uninterrupted, data_dir):
  before = (uninterrupted / "metrics.jsonl").read_bytes()
  status, _, errors = tiny.run(
    "train",
    *tiny.flags(data_dir),
    f"--workdir={uninterrupted}",
    "--config.train.learning_rate=0.5",
  )
  assert status == 1
  assert "config.train.learning_rate = 0.001, not 0.5" in errors
  assert (uninterrupted / "metrics.jsonl").read_bytes() == before


@pytest.mark.slow
def test_full_disk_ends_in_one_sentence_and_earlier_checkpoints_stay(
  uninterrupted, data_dir, tmp_path
):
  workdir = tmp_path / "full"
  shutil.copytree(uninterrupted, workdir)
  shutil.rmtree(workdir / "checkpoints" / "12")
  # Writing a checkpoint fails as on a full disk.
  status, _, errors = tiny.run(
    "train", *tiny.flags(data_dir), f"--workdir={workdir}", largest_file=16
  )
  assert status == 1
  last = errors.strip().splitlines()[-1]
  assert last.startswith("error: A checkpoint cannot be written")
  assert "Traceback" not in errors

  status, _, errors = tiny.run("train", *tiny.flags(data_dir), f"--workdir={workdir}")
  assert status == 0, errors
  assert "at step 10" in errors
  for left, right in zip(
    final_arrays(workdir), final_arrays(uninterrupted), strict=True
  ):
    np.testing.assert_array_equal(left, right)


@pytest.mark.slow
def test_training_that_diverges_stops_and_keeps_the_state_before(data_dir, tmp_path):
  status, _, errors = tiny.run(
    "train",
    *tiny.flags(data_dir),
    f"--workdir={tmp_path}",
    "--config.train.learning_rate=1e38",
  )
  assert status == 1
  last = errors.strip().splitlines()[-1]
  assert "not finite at step" in last
  kept = ocp.load_checkpointables(tmp_path / "not_finite")
  step = int(kept["optimizer"]["step"])
  assert f"at step {step + 1}:" in last
  assert kept["data"] == {"global_next_index": 4 * step}
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(kept["model"]))


@pytest.mark.slow
def test_damaged_clips_are_named(data_dir, uninterrupted, tmp_path):
  copy = tmp_path / "data"
  shutil.copytree(data_dir, copy)
  records = list(copy.rglob("*train.array_record*"))
  assert records
  for record in records:
    content = bytearray(record.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4096] = bytes(4096)
    record.write_bytes(content)
  status, _, errors = tiny.run("train", *tiny.flags(copy), f"--workdir={tmp_path}/run")
  assert status == 1
  last = errors.strip().splitlines()[-1]
  assert last.startswith("error: ")
  assert str(copy) in last


@pytest.mark.slow
def test_paper_without_data_names_the_paths_and_makes_nothing(tmp_path):
  workdir = tmp_path / "paper"
  status, output, errors = tiny.run(
    "train", "--config=configs/flow_kp.py:paper", f"--workdir={workdir}"
  )
  assert status == 1
  last = errors.strip().splitlines()[-1]
  for key in ("config.body.path", "config.surreal.dir", "config.kinetics.dir"):
    assert key in last
  assert "Traceback" not in output + errors
  assert not workdir.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
  ("flag", "words"),
  [
    ("--config.train.speed=3", "speed"),
    ("--config=configs/flow_kp.py:papper", "papper"),
    ("--config=configs/absent.py", "absent.py"),
    ("--config.train.batch_size=0", "batch_size"),
    ("--config.flow.source=magic", "magic"),
    ("--config.model.inputs=('depth',)", "depth"),
    ("--wrkdir=x", "wrkdir"),
    ("--config.data.people=statues", "statues"),
  ],
)
def test_bad_flags_end_in_one_sentence(flag, words, tmp_path):
  workdir = tmp_path / "run"
  status, output, errors = tiny.run(
    "train", "--config=configs/flow_kp.py", f"--workdir={workdir}", flag
  )
  assert status == 1
  assert words in errors.strip().splitlines()[-1]
  assert "Traceback" not in output + errors
  assert not workdir.exists()
