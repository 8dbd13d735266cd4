"""How processes stop and end, in this process; tests.test_distributed has real ones."""

import ctypes
import os
import signal
import time

import jax
import pytest
from jax.experimental import multihost_utils

from mhmr_jax.errors import RESTART, InputError, RestartError
from mhmr_jax.runtime import processes


def _several(monkeypatch, index=0):
  monkeypatch.setattr(jax, "process_count", lambda: 2)
  monkeypatch.setattr(jax, "process_index", lambda: index)
  monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)


@pytest.fixture
def terminated():
  """Counts the SIGTERMs that nothing else takes."""
  received = []
  before = signal.signal(signal.SIGTERM, lambda *_: received.append(None))
  yield received
  signal.signal(signal.SIGTERM, before)


def test_sigterm_asks_to_stop_while_it_is_watched_for(terminated):
  with processes.StopRequest() as stop:
    assert not stop.is_due(1)
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.is_due(2)
    assert stop.is_due(3)
  assert not terminated
  os.kill(os.getpid(), signal.SIGTERM)
  assert len(terminated) == 1
  with processes.StopRequest() as stop:
    assert not stop.is_due(1)


def test_several_processes_agree_on_the_step(terminated, monkeypatch):
  _several(monkeypatch)
  monkeypatch.setattr(
    multihost_utils, "reached_preemption_sync_point", lambda step: step == 3
  )
  with processes.StopRequest() as stop:
    assert [stop.is_due(step) for step in (1, 2, 3)] == [False, False, True]
    # JAX's handler, which tells the others, must stay in its place.
    os.kill(os.getpid(), signal.SIGTERM)
  assert len(terminated) == 1


LOSS = "Gloo all-reduce failed: Connection closed by peer\nmore"


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    (LOSS, True),
    ("UNAVAILABLE: Failed to connect", True),
    ("DEADLINE_EXCEEDED: barrier", True),
    ("heartbeat timeout", True),
    ("shapes do not match", False),
    ("", False),
  ],
)
def test_errors_of_lost_processes_are_told_from_others(monkeypatch, text, expected):
  assert not processes.is_loss(RuntimeError(text))
  _several(monkeypatch)
  assert processes.is_loss(RuntimeError(text)) == expected


def _raise(error):
  with processes.watched():
    raise error


def test_the_loss_of_a_process_asks_for_a_restart(monkeypatch):
  with pytest.raises(RuntimeError, match="Gloo"):
    _raise(RuntimeError(LOSS))
  _several(monkeypatch)
  with pytest.raises(RestartError, match=r"was lost: .*\(Gloo.* by peer\)$"):
    _raise(RuntimeError(LOSS))
  for error in (ValueError("another"), InputError("connection"), OSError("gloo")):
    with pytest.raises(type(error)) as kept:
      _raise(error)
    assert kept.value is error


@pytest.fixture
def ended(monkeypatch):
  """The waits and the exits of this process, which goes on."""
  events = []
  monkeypatch.setattr(time, "sleep", lambda _: events.append("waited"))
  monkeypatch.setattr(os, "_exit", events.append)
  return events


def test_a_process_alone_ends_at_once_with_an_error(ended):
  assert processes.leave(0) == 0
  assert ended == []
  processes.leave(1)
  assert ended == [1]


@pytest.mark.parametrize(
  ("index", "status", "expected"),
  [(0, 0, []), (1, 0, []), (0, 1, ["waited", 1]), (1, RESTART, [RESTART])],
)
def test_an_error_among_several_ends_at_once(
  monkeypatch, ended, index, status, expected
):
  _several(monkeypatch, index)
  processes.leave(status)
  assert ended == expected


def test_processes_that_cannot_be_joined_are_one_sentence(monkeypatch):
  def refuse(*_, **__):
    raise RuntimeError("DEADLINE_EXCEEDED: no answer\nC++ trace")

  monkeypatch.setattr(jax.distributed, "initialize", refuse)
  with pytest.raises(InputError, match=r"cannot be joined \(.*: no answer\): check "):
    processes.connect("host:1", 2, 0)


def test_an_abort_of_xla_prints_a_reason_and_asks_for_a_restart(monkeypatch, ended):
  joined, handlers, written = [], [], []

  class Library:
    def __init__(self, name):
      assert name is None

    def signal(self, number, handler):
      assert number == signal.SIGABRT
      handlers.append(handler)

  monkeypatch.setattr(
    jax.distributed, "initialize", lambda *arguments, **_: joined.append(arguments)
  )
  monkeypatch.setattr(ctypes, "CDLL", Library)
  processes.connect(None, 2, None)
  assert joined == [(None, 2, None)]
  (handler,) = handlers
  with monkeypatch.context() as patched:
    patched.setattr(os, "write", lambda file, data: written.append((file, data)))
    handler(int(signal.SIGABRT))
  ((file, data),) = written
  assert file == 2
  assert data.startswith(b"error: Another process of this run")
  assert ended == [RESTART]


def test_a_process_alone_waits_for_nobody():
  assert processes.is_first()
  processes.wait_for_all("nothing")
  processes.disconnect()
