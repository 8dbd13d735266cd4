"""Several processes as one run: how they join, and what happens when one of them stops.

SIGTERM to any of them has all of them save the same step and end with status 75. Those
that lose another process end with status 75 too, without saving. Started again, in any
number, they continue from the latest checkpoint.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from etils import epy

from mhmr_jax.errors import RESTART, InputError, RestartError

# Imported at their first use: programs import this module for their flags, too.
with epy.lazy_imports():
  import jax
  import numpy as np
  from jax._src import distributed
  from jax.experimental import multihost_utils

HEARTBEAT_S = 30  # A process that is silent for this long counts as lost.
_SHUTDOWN_S = 30  # At the end, processes wait this long for each other.
_LAST_S = 3
_ANSWER_S = 5  # An abort waits this long for the process that coordinates the others.
_LOST = (
  "Another process of this run, or the connection to it, was lost: run the same "
  "command again to go on from the latest checkpoint."
)
# Words in the errors of collectives whose other side is gone.
_SIGNS_OF_LOSS = ("gloo", "unavailable", "connection", "heartbeat", "deadline_exceeded")


def connect(
  coordinator: str | None, num_processes: int | None, process_id: int | None
) -> None:
  """Joins the other processes; missing arguments come from the environment.

  Args:
    coordinator: HOST:PORT of process 0.
    num_processes: the number of processes in this run.
    process_id: the number of this process, from 0.

  Raises:
    InputError: the other processes cannot be reached.
  """
  try:
    jax.distributed.initialize(
      coordinator,
      num_processes,
      process_id,
      heartbeat_timeout_seconds=HEARTBEAT_S,
      shutdown_timeout_seconds=_SHUTDOWN_S,
    )
  except (ValueError, RuntimeError) as error:
    raise InputError(
      f"The other processes cannot be joined ({_first_line(error)}): check "
      "--coordinator, --num_processes and --process_id, and that all of them were "
      "started."
    ) from error
  _explain_aborts()


def _explain_aborts() -> None:
  """Prints a reason when this process aborts; after a loss the status is `RESTART`.

  XLA calls abort() from a thread of its own once it knows that another process died.
  Any other abort is an error of this process, which a restart would only repeat.
  """

  def explain(_: int) -> None:
    if _others_answer():
      os.write(2, b"error: This process aborted by itself; what it printed says why.\n")
      ctypes.CDLL(None).signal(int(signal.SIGABRT), None)  # None is the default, 0.
      os.kill(os.getpid(), signal.SIGABRT)
      return
    os.write(2, f"error: {_LOST}\n".encode())
    os._exit(RESTART)

  # The C library keeps only a pointer: the handler must outlive this function.
  global _ABORT_HANDLER
  _ABORT_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int)(explain)
  ctypes.CDLL(None).signal(int(signal.SIGABRT), _ABORT_HANDLER)


_ABORT_HANDLER: Any = None


def _others_answer() -> bool:
  """Whether this process still is one of several that know of no loss."""
  answers: list[bool] = []

  def ask() -> None:
    # JAX's client of the coordinating process refuses once any process is lost.
    with contextlib.suppress(Exception):
      client: Any = distributed.global_state.client
      client.key_value_set(f"abort_of_{os.getpid()}", "", allow_overwrite=True)
      answers.append(True)

  asking = threading.Thread(target=ask, daemon=True)
  asking.start()
  asking.join(_ANSWER_S)
  return bool(answers)


def is_first() -> bool:
  """Whether this process is the one that prints and writes for all."""
  return jax.process_index() == 0


def wait_for_all(name: str) -> None:
  """Returns when all processes have called this with the same name."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


def any_of_all(value: bool) -> bool:
  """Whether the value is True in any process; all of them must call this."""
  if jax.process_count() == 1:
    return value
  return bool(np.any(multihost_utils.process_allgather(np.array(value))))


def end_with_parent() -> None:
  """Ends this process when the one that started it has ended, in whatever way.

  Does nothing in a process that multiprocessing did not start.
  """
  parent = multiprocessing.parent_process()
  if parent is None:
    return

  def wait() -> None:
    parent.join()
    os._exit(1)

  threading.Thread(target=wait, daemon=True, name="parent watcher").start()


def is_loss(error: Exception) -> bool:
  """Whether an error was raised because another process is gone."""
  text = str(error).lower()
  return jax.process_count() > 1 and any(sign in text for sign in _SIGNS_OF_LOSS)


@contextlib.contextmanager
def watched() -> Iterator[None]:
  """Turns the errors that the loss of another process causes into `RestartError`."""
  try:
    yield
  except (ValueError, RuntimeError) as error:
    if not is_loss(error):
      raise
    raise RestartError(f"{_LOST} ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
  return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


class _Stopped(BaseException):
  """SIGTERM came. It is no `Exception`, because readers of files would explain that."""


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
  """Turns SIGTERM into a `RestartError`, where no `StopRequest` is entered.

  In processes that have joined others, JAX's handler takes its place.
  """

  def stop(*_: object) -> None:
    raise _Stopped

  previous = signal.signal(signal.SIGTERM, stop)
  try:
    yield
  except _Stopped as stopped:
    raise RestartError(
      "Stopped as asked: run the same command again to go on."
    ) from stopped
  finally:
    if not jax.distributed.is_initialized():
      signal.signal(signal.SIGTERM, previous)


class StopRequest:
  """Notices SIGTERM, to this or any other process, while it is entered."""

  def __enter__(self) -> "StopRequest":
    self._is_asked = False
    self._previous: Callable[..., Any] | int | None = None
    # Where there are several processes, JAX has a handler that tells the others.
    if not jax.distributed.is_initialized():
      self._previous = signal.signal(signal.SIGTERM, self._ask)
    return self

  def __exit__(self, *_: object) -> None:
    if self._previous is not None:
      signal.signal(signal.SIGTERM, self._previous)

  def _ask(self, *_: object) -> None:
    self._is_asked = True

  def is_due(self, step: int) -> bool:
    """Whether to stop after this step, which is the same one in all processes."""
    if jax.distributed.is_initialized():
      return multihost_utils.reached_preemption_sync_point(step)
    return self._is_asked


def disconnect() -> None:
  """Leaves the run once all processes have called this."""
  if jax.distributed.is_initialized():
    jax.distributed.shutdown()


def leave(status: int) -> int:
  """Returns the status 0, and ends the process here and now with any other.

  A usual exit might wait for other processes in vain, and libraries would print what
  they could not finish after the one sentence that says what is wrong.
  """
  if status:
    sys.stdout.flush()
    sys.stderr.flush()
    if jax.distributed.is_initialized() and is_first():
      # The end of the first process aborts the others. If all fail alike, they should
      # have the time to say why.
      time.sleep(_LAST_S)
    os._exit(status)
  return status
