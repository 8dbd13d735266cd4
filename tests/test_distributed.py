"""Several processes as one run: real ones, on this machine, over gloo."""

import json
import pathlib
import re
import signal
import subprocess
import time

import pytest

from tests import tiny

pytestmark = pytest.mark.slow
STEPS = 20


def losses(workdir: pathlib.Path) -> dict[int, float]:
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  return {record["step"]: record["loss"] for record in map(json.loads, lines)}


def saved_steps(workdir: pathlib.Path) -> list[int]:
  folders = (workdir / "checkpoints").iterdir()
  return sorted(int(folder.name) for folder in folders if folder.name.isdigit())


def finish(processes: list["subprocess.Popen[str]"]) -> list[tuple[int, str]]:
  """Waits for all: exit status and standard error of each."""
  ended = []
  for process in processes:
    _, errors = process.communicate(timeout=300)
    ended.append((process.returncode, errors))
  return ended


def wait_for(path: pathlib.Path, processes: list["subprocess.Popen[str]"]) -> None:
  deadline = time.monotonic() + 200
  while not path.exists():
    for process in processes:
      assert process.poll() is None, process.communicate()[1]
    assert time.monotonic() < deadline
    time.sleep(0.01)


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("data")
  return (*tiny.flags(data_dir), f"--config.train.steps={STEPS}")


@pytest.fixture(scope="module")
def alone(arguments, tmp_path_factory):
  """One process with four devices."""
  workdir = tmp_path_factory.mktemp("runs") / "alone"
  status, _, errors = tiny.run("train", *arguments, f"--workdir={workdir}", devices=4)
  assert status == 0, errors
  return workdir


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_give_the_losses_of_one(processes, alone, arguments, tmp_path):
  started = tiny.start_together(
    "train",
    *arguments,
    f"--workdir={tmp_path}",
    processes=processes,
    devices=4 // processes,
  )
  for status, errors in finish(started):
    assert status == 0, errors
  many, one = losses(tmp_path), losses(alone)
  assert list(many) == list(range(1, STEPS + 1))
  for step in many:
    assert many[step] == pytest.approx(one[step], rel=1e-5), step


@pytest.mark.parametrize("victim", [0, 1])
def test_the_loss_of_a_process_is_named_and_one_alone_goes_on(
  victim, alone, arguments, tmp_path
):
  shared = (*arguments, f"--workdir={tmp_path}")
  started = tiny.start_together("train", *shared, processes=2, devices=2)
  wait_for(tmp_path / "checkpoints" / "5", started)
  killed, other = started[victim], started[1 - victim]
  killed.kill()
  _, errors = other.communicate(timeout=60)
  killed.communicate()
  assert other.returncode == 75, errors
  assert re.search("^error: Another process of this run.* was lost", errors, re.M)
  assert "Traceback" not in errors

  latest = saved_steps(tmp_path)[-1]
  assert 5 <= latest < STEPS
  status, _, errors = tiny.run("train", *shared, devices=4)
  assert status == 0, errors
  assert f"at step {latest}" in errors
  # The examples that remain, in the order that they would have had.
  resumed, one = losses(tmp_path), losses(alone)
  assert list(resumed) == list(range(1, STEPS + 1))
  for step in resumed:
    assert resumed[step] == pytest.approx(one[step], rel=1e-5), step


@pytest.mark.parametrize("processes", [1, 2])
def test_sigterm_to_one_has_all_save_the_same_step(
  processes, alone, arguments, tmp_path
):
  shared = (*arguments, "--config.train.checkpoint_every=1000", f"--workdir={tmp_path}")
  if processes == 1:
    started = [tiny.start("train", *shared, devices=4)]
  else:
    started = tiny.start_together("train", *shared, processes=2, devices=2)
  deadline = time.monotonic() + 200
  metrics = tmp_path / "metrics.jsonl"
  while not (metrics.exists() and metrics.read_text().count("\n") >= 2):
    assert time.monotonic() < deadline
    time.sleep(0.01)
  started[-1].send_signal(signal.SIGTERM)
  ended = finish(started)
  (step,) = saved_steps(tmp_path)
  assert 2 <= step < STEPS
  for status, errors in ended:
    assert status == 75, errors
    assert f"error: Stopped as asked after step {step}, which is saved" in errors

  status, _, errors = tiny.run("train", *shared, devices=4)
  assert status == 0, errors
  resumed, one = losses(tmp_path), losses(alone)
  for number in resumed:
    assert resumed[number] == pytest.approx(one[number], rel=1e-5), number


def test_a_divided_state_gives_the_same_losses(alone, arguments, tmp_path):
  status, _, errors = tiny.run(
    "train",
    *arguments,
    # Parameters and optimiser state, also those of a tiny network.
    *("--config.mesh.fsdp=2", "--config.mesh.fsdp_min_size=64"),
    f"--workdir={tmp_path}",
    devices=4,
  )
  assert status == 0, errors
  whole, parts = losses(alone), losses(tmp_path)
  for step in whole:
    assert parts[step] == pytest.approx(whole[step], rel=1e-5), step


def test_checkpoints_do_not_depend_on_how_the_state_lies(tmp_path):
  module = "tests.training.restore_divided"
  process = tiny.start_module(module, str(tmp_path), devices=4)
  _, errors = process.communicate(timeout=300)
  assert process.returncode == 0, errors


def test_hosts_evaluate_together_what_one_does(alone, tmp_path):
  # Of two sequences, one host has none.
  shared = (f"--workdir={alone}", "--dataset=synthetic_clips")
  status, _, errors = tiny.run("evaluate", *shared, f"--out={tmp_path}/one")
  assert status == 0, errors
  started = tiny.start_together(
    "evaluate", *shared, f"--out={tmp_path}/three", processes=3
  )
  for status, errors in finish(started):
    assert status == 0, errors
  one, three = (
    json.loads((tmp_path / name / "metrics.json").read_text())
    for name in ("one", "three")
  )
  assert one["num_frames"] == three["num_frames"] == 20
  for key in ("pa_mpjpe_mm", "mpjpe_mm", "pve_mm", "accel_mm_s2"):
    assert three[key] == pytest.approx(one[key], rel=1e-5), key
  assert len(three["per_sequence"]) == 2
  for ours, theirs in zip(three["per_sequence"], one["per_sequence"], strict=True):
    assert ours["sequence"] == theirs["sequence"]
    assert ours["pa_mpjpe_mm"] == pytest.approx(theirs["pa_mpjpe_mm"], rel=1e-5)
  assert (tmp_path / "three" / "report.html").exists()


def test_incomplete_flags_end_in_one_sentence(arguments, tmp_path):
  status, _, errors = tiny.run(
    "train", *arguments, f"--workdir={tmp_path}/run", "--num_processes=2"
  )
  assert status == 1
  assert errors.strip().splitlines()[-1].startswith("error: --coordinator, ")
  assert not (tmp_path / "run").exists()
