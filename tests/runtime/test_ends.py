"""Processes end with the one that started them, and aborts are told apart."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mhmr_jax.runtime import processes
from tests import tiny

STARTER = """
import multiprocessing
import time
from tests.runtime import test_ends

if __name__ == "__main__":
  context = multiprocessing.get_context("spawn")
  context.Process(target=test_ends.load, daemon=True).start()
  time.sleep(600)
"""


def load() -> None:
  """What a process that loads does: its work, in a thread of its own."""
  processes.end_with_parent()
  print("loading", flush=True)
  time.sleep(600)


@pytest.mark.slow
def test_a_loader_ends_when_its_trainer_is_killed(tmp_path):
  script = tmp_path / "starter.py"
  script.write_text(STARTER)
  with subprocess.Popen(
    [sys.executable, str(script)],
    env=os.environ | {"PYTHONPATH": str(tiny.ROOT)},
    stdout=subprocess.PIPE,
    text=True,
  ) as trainer:
    assert trainer.stdout.readline() == "loading\n"
    trainer.kill()
    # The pipe ends when the last process that could write to it has ended.
    assert trainer.communicate(timeout=60)[0] == ""


def test_a_process_that_was_not_started_by_another_goes_on():
  processes.end_with_parent()


@pytest.mark.parametrize("is_known", [True, False])
def test_only_the_loss_of_a_process_asks_for_a_restart(monkeypatch, is_known):
  """The handler of SIGABRT, called as the C library does."""
  handlers, written, sent, ended = [], [], [], []

  class Library:
    def __init__(self, _):
      pass

    def signal(self, number, handler):
      assert number == signal.SIGABRT
      handlers.append(handler)

  monkeypatch.setattr(processes.ctypes, "CDLL", Library)
  processes._explain_aborts()
  monkeypatch.setattr(processes, "_others_answer", lambda: is_known)
  with monkeypatch.context() as patched:
    patched.setattr(os, "write", lambda _, data: written.append(data))
    patched.setattr(os, "kill", lambda _, number: sent.append(number))
    patched.setattr(os, "_exit", ended.append)
    handlers[0](int(signal.SIGABRT))
  if is_known:
    assert written == [
      b"error: This process aborted by itself; what it printed says why.\n"
    ]
    assert (sent, ended) == ([signal.SIGABRT], [])
    assert handlers[1] is None  # The default: the process ends by the signal.
  else:
    assert written[0].startswith(b"error: Another process of this run, or the conn")
    assert (sent, ended) == ([], [75])


def test_a_process_alone_has_nobody_who_answers():
  assert not processes._others_answer()
