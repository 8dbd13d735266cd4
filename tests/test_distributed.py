"""Several processes as one run: real ones, on this machine, over gloo."""

import json
import os
import pathlib
import re
import signal
import sys

import pytest
from etils import epath

from tests import tiny, workdirs
from tests.launch import stubs
from tests.training import preempted_toy, toy
from tests.workdirs import losses, saved_steps

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("little_to_collect")]
STEPS = tiny.OVERRIDES["train.steps"]


def finish(processes: list[tiny.Started]) -> list[tuple[int, str]]:
  """Waits for all: exit status and standard error of each."""
  ended = [tiny.end(process) for process in processes]
  return [(status, errors) for status, _, errors in ended]


def start_toys(workdir: pathlib.Path) -> list[tiny.Started]:
  """Starts two processes that train the toy without end; they have a checkpoint."""
  started = tiny.start_together(
    "tests.training.toy_program",
    f"--workdir={workdir}",
    *("--config.steps=1000000", "--config.checkpoint_every=5"),
    processes=2,
  )
  tiny.wait_until((workdir / "checkpoints" / "5").exists, started)
  return started


def assert_one_goes_on(workdir: pathlib.Path, step: int, elsewhere: pathlib.Path):
  """One process alone goes on from that step as if there had never been another."""
  steps = {"steps": step + 4, "checkpoint_every": 1_000_000}
  elsewhere.mkdir()
  toy.run(epath.Path(elsewhere), toy.Numbers(), **steps)
  toy.run(epath.Path(workdir), toy.Numbers(), **steps)
  assert list(losses(workdir)) == list(range(1, step + 5))
  assert losses(workdir) == pytest.approx(losses(elsewhere), rel=1e-4)


@pytest.mark.parametrize("victim", [0, 1])
def test_the_loss_of_a_process_is_named_and_one_alone_goes_on(victim, tmp_path):
  workdir = tmp_path / "run"
  started = start_toys(workdir)
  killed, other = started[victim], started[1 - victim]
  killed.kill()
  _, errors = other.communicate(timeout=60)
  killed.communicate(timeout=60)
  assert other.returncode == 75, errors
  assert re.search("^error: Another process of this run.* was lost", errors, re.M)
  assert "Traceback" not in errors
  assert_one_goes_on(workdir, saved_steps(workdir)[-1], tmp_path / "alone")


def test_a_sigterm_to_all_saves_one_step_and_one_alone_goes_on(tmp_path):
  workdir = tmp_path / "run"
  started = start_toys(workdir)
  for process in started:
    process.send_signal(signal.SIGTERM)
  ended = finish(started)
  step = saved_steps(workdir)[-1]
  for status, errors in ended:
    assert status == 75, errors
    assert f"error: Stopped as asked after step {step}, which is saved" in errors
  assert_one_goes_on(workdir, step, tmp_path / "alone")


def test_a_sigterm_to_one_of_two_changes_no_loss(tmp_path):
  """launch/local.sh starts them again; the state is divided over both."""
  python = tmp_path / "python"
  python.write_text(
    "#!/usr/bin/env bash\n"
    "if [[ $1 == -m ]]; then\n"
    "  program=toy_program\n"
    # At the first start, and then no more, the second process is told to stop.
    f'  [[ ${{!#}} == --process_id=1 ]] && mkdir "{tmp_path}/told" 2>/dev/null &&\n'
    "    program=preempted_toy\n"
    f'  exec {sys.executable} -m "tests.training.$program" "${{@:3}}"\n'
    "fi\n"
    f'exec {sys.executable} "$@"\n'
  )
  python.chmod(0o755)
  run = tmp_path / "run"
  process = stubs.Stubs(tmp_path).start(
    "local.sh",
    *(f"--workdir={run}", "--config.steps=10", "--config.checkpoint_every=1000"),
    **{"VIRTUAL_ENV": sys.prefix, "PROCESSES": "2", "CUDA_VISIBLE_DEVICES": ""},
    **{key: value for key, value in os.environ.items() if key.startswith("JAX_")},
    **tiny.environment(),
  )
  try:
    _, errors = process.communicate(timeout=600)
  finally:
    process.terminate()
    process.wait(timeout=200)
  assert process.returncode == 0, errors
  stopped = r"error: Stopped as asked after step (\d+), which is saved"
  first, second = map(int, re.findall(stopped, errors))
  assert preempted_toy.TOLD_AT <= first == second < 10
  assert errors.count("going on from the last checkpoint") == 1
  assert f"Resuming {run} at step {first}" in errors
  assert saved_steps(run) == [first, 10]

  alone = tmp_path / "alone"
  alone.mkdir()
  toy.run(epath.Path(alone), toy.Numbers(), steps=10)
  assert list(losses(run)) == list(range(1, 11))
  assert losses(run) == pytest.approx(losses(alone), rel=1e-5)


def test_two_processes_of_two_devices_give_the_losses_of_one_device(tmp_path):
  """The batch and the state are divided over the four devices."""
  run = tmp_path / "run"
  started = tiny.start_together(
    "mhmr_jax.train",
    *(*tiny.flags(), f"--workdir={run}"),
    # Parameters and optimiser state, also those of a tiny network.
    *("--config.mesh.fsdp=2", "--config.mesh.fsdp_min_size=64"),
    processes=2,
    devices=2,
    start=tiny.start_alone,  # In each of them, sets have another order.
  )
  for status, errors in finish(started):
    assert status == 0, errors
  assert saved_steps(run) == [STEPS // 2, STEPS]
  many, one = losses(run), losses(workdirs.trained())
  assert list(many) == list(range(1, STEPS + 1))
  assert many == pytest.approx(one, rel=1e-5)


def test_checkpoints_do_not_depend_on_how_the_state_lies(tmp_path):
  module = "tests.training.restore_divided"
  status, _, errors = tiny.end(tiny.start_module(module, str(tmp_path), devices=4))
  assert status == 0, errors


def test_hosts_evaluate_together_what_one_does(tmp_path):
  workdir = tmp_path / "run"
  workdirs.make_untrained(workdir)
  # There are two sequences, so that one of three hosts has none.
  started = tiny.start_together(
    "mhmr_jax.evaluate",
    *(f"--workdir={workdir}", "--dataset=synthetic_clips", f"--out={tmp_path}/out"),
    processes=3,
  )
  for status, errors in finish(started):
    assert status == 0, errors
  alone = workdirs.evaluated() / "evaluation" / "synthetic_clips"
  one, three = (
    json.loads((folder / "metrics.json").read_text())
    for folder in (alone, tmp_path / "out")
  )
  assert one["num_frames"] == three["num_frames"] == 20
  for key in ("pa_mpjpe_mm", "mpjpe_mm", "pve_mm", "accel_mm_s2"):
    assert three[key] == pytest.approx(one[key], rel=1e-5), key
  assert len(three["per_sequence"]) == 2
  for ours, theirs in zip(three["per_sequence"], one["per_sequence"], strict=True):
    assert ours["sequence"] == theirs["sequence"]
    assert ours["pa_mpjpe_mm"] == pytest.approx(theirs["pa_mpjpe_mm"], rel=1e-5)
  assert (tmp_path / "out" / "report.html").exists()
