"""Metrics as lines of JSON, and the progress that is shown."""

import io
import json
import re
import sys

import pytest
from etils import epath

from mhmr_jax.training import metric_writer


@pytest.fixture
def workdir(tmp_path):
  return epath.Path(tmp_path)


def lines(workdir):
  return (workdir / "metrics.jsonl").read_text().splitlines()


def write(workdir, first_step, *steps):
  writer = metric_writer.MetricWriter(workdir, first_step)
  for step in steps:
    writer.write(step, {"loss": step / 3, "grad_norm": 1e-9 / 3})
  writer.close()


def test_numbers_are_rounded_to_six_digits(workdir):
  write(workdir, 0, 1)
  (line,) = lines(workdir)
  expected = {"step": 1, "loss": 0.333333, "grad_norm": 3.33333e-10}
  assert json.loads(line) == expected


def test_a_line_is_on_disk_as_soon_as_it_is_written(workdir):
  writer = metric_writer.MetricWriter(workdir, 0)
  writer.write(1, {"loss": 1.0})
  assert len(lines(workdir)) == 1
  writer.close()


def test_a_resumed_run_drops_the_steps_that_it_repeats(workdir):
  write(workdir, 0, 1, 2, 3, 4)
  kept = lines(workdir)[:2]
  write(workdir, 2, 3)
  assert lines(workdir)[:2] == kept
  assert [json.loads(line)["step"] for line in lines(workdir)] == [1, 2, 3]
  names = {path.name for path in workdir.iterdir()} - {"tensorboard"}
  assert names == {"metrics.jsonl"}


def test_half_a_line_of_a_killed_run_is_dropped(workdir):
  write(workdir, 0, 1, 2)
  path = workdir / "metrics.jsonl"
  path.write_text(path.read_text()[:-20])
  write(workdir, 5, 6)
  assert [json.loads(line)["step"] for line in lines(workdir)] == [1, 6]


class Clock:
  """tqdm's clock; it stands still until it is set."""

  def __init__(self, monkeypatch):
    self.now = 0.0
    monkeypatch.setattr("tqdm.std.time", lambda: self.now)


class Terminal(io.StringIO):
  def isatty(self):
    return True


def show(clock, first, last, steps, print_every, seconds=0.5):
  """Steps one after the other; the first takes 100 s, as it compiles."""
  progress = metric_writer.Progress(
    steps, 32, print_every, "PA-MPJPE {pa_mpjpe_mm:.1f} mm"
  )
  for step in range(first, last + 1):
    clock.now += 100 if step == first else seconds
    progress.update(step, {"loss": 1 / step, "pa_mpjpe_mm": 85.25 + step})
  progress.close()


def test_off_a_terminal_a_plain_line_comes_every_few_steps(monkeypatch, capsys):
  show(Clock(monkeypatch), first=1, last=10, steps=10, print_every=4)
  output, errors = capsys.readouterr()
  assert output == ""
  assert "\r" not in errors
  assert errors.splitlines() == [
    "step 4/10, loss 0.2500, PA-MPJPE 89.2 mm, 64 frames/s, 00:03 left",
    "step 8/10, loss 0.1250, PA-MPJPE 93.2 mm, 64 frames/s, 00:01 left",
    "step 10/10, loss 0.1000, PA-MPJPE 95.2 mm, 64 frames/s, 00:00 left",
  ]


def test_a_resumed_run_starts_where_it_is(monkeypatch, capsys):
  # It compiles anew, and its speed is that of its own steps.
  show(Clock(monkeypatch), first=7, last=8, steps=100, print_every=2)
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith("step 8/100, ")
  assert line.endswith(", 64 frames/s, 00:46 left")


def test_on_a_terminal_there_is_one_bar(monkeypatch):
  terminal = Terminal()
  monkeypatch.setattr(sys, "stderr", terminal)
  show(Clock(monkeypatch), first=1, last=5, steps=10, print_every=100)
  shown = terminal.getvalue()
  assert shown.count("\n") == 1
  assert shown.endswith("\n")
  states = shown.strip().split("\r")
  assert len(states) >= 5
  last = states[-1]
  assert re.match(r" *50%\|.*\| step 5/10, loss 0\.2000, PA-MPJPE 90\.2 mm, ", last)
  assert "64 frames/s, 00:02 left" in last
