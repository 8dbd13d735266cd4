"""Several processes as one run: how they join, and what happens when one of them stops.

SIGTERM to any of them has all of them save the same step and end with status 75. So do
those that lose another one, without saving: started again, in whatever number, they go
on from the latest checkpoint.
"""

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import jax
from jax.experimental import multihost_utils

from mhmr_jax.errors import RESTART, InputError, RestartError

# A process that is silent for so long is taken for dead; and the longest wait for the
# others at the end.
_HEARTBEAT_S = 30
_SHUTDOWN_S = 30
_LAST_S = 3
_LOST = (
  "Another process of this run, or the connection to it, was lost: run the same "
  "command again to go on from the latest checkpoint."
)
# What errors of collectives say that failed for want of the other side.
_SIGNS_OF_LOSS = ("gloo", "unavailable", "connection", "heartbeat", "deadline_exceeded")


def connect(
  coordinator: str | None, num_processes: int | None, process_id: int | None
) -> None:
  """Joins the other processes, as the environment tells of them where not told here.

  Raises:
    InputError: the others cannot be reached.
  """
  try:
    jax.distributed.initialize(
      coordinator,
      num_processes,
      process_id,
      heartbeat_timeout_seconds=_HEARTBEAT_S,
      shutdown_timeout_seconds=_SHUTDOWN_S,
    )
  except (ValueError, RuntimeError) as error:
    reason = str(error).strip().splitlines()[0][:200]
    raise InputError(
      f"The other processes cannot be joined ({reason}): check --coordinator, "
      "--num_processes and --process_id, and that all of them were started."
    ) from error
  _end_aborts_in_a_sentence()


def _end_aborts_in_a_sentence() -> None:
  """Has this process say why it ends where XLA would only abort.

  XLA aborts, from a thread of its own, once it knows that another process died.
  """

  def say(_: int) -> None:
    os.write(2, f"error: {_LOST}\n".encode())
    os._exit(RESTART)

  global _ABORT_HANDLER  # The C library keeps a pointer to it alone.
  _ABORT_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int)(say)
  ctypes.CDLL(None).signal(int(signal.SIGABRT), _ABORT_HANDLER)


_ABORT_HANDLER: Any = None


def is_first() -> bool:
  """Whether this process writes what is written once."""
  return jax.process_index() == 0


def wait_for_all(name: str) -> None:
  """Returns when all processes have come here."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


def is_loss(error: Exception) -> bool:
  """Whether a collective failed for want of the other side."""
  text = str(error).lower()
  return jax.process_count() > 1 and any(sign in text for sign in _SIGNS_OF_LOSS)


@contextlib.contextmanager
def watched() -> Iterator[None]:
  """Turns what fails for the loss of another process into `RestartError`."""
  try:
    yield
  except (ValueError, RuntimeError) as error:
    if not is_loss(error):
      raise
    detail = str(error).strip().splitlines()[0][:200]
    raise RestartError(f"{_LOST} ({detail})") from error


class StopRequest:
  """SIGTERM, to this or any other process, from entering to leaving."""

  def __enter__(self) -> "StopRequest":
    self._asked = False
    self._before: Any = None
    # JAX's own handler tells the others, where there are any.
    if not jax.distributed.is_initialized():
      self._before = signal.signal(signal.SIGTERM, self._ask)
    return self

  def __exit__(self, *_: object) -> None:
    if self._before is not None:
      signal.signal(signal.SIGTERM, self._before)

  def _ask(self, *_: object) -> None:
    self._asked = True

  def is_due(self, step: int) -> bool:
    """Whether to stop after this step: in all processes after the same one."""
    if jax.distributed.is_initialized():
      return multihost_utils.reached_preemption_sync_point(step)
    return self._asked


def disconnect() -> None:
  """Parts from the others, once all of them come here."""
  if jax.distributed.is_initialized():
    jax.distributed.shutdown()


def leave(status: int) -> int:
  """Ends this process at once if others may wait for it in vain; else the status."""
  if status and jax.distributed.is_initialized():
    sys.stdout.flush()
    sys.stderr.flush()
    if is_first():
      # The others lose the first one at once; where all fail alike, let them say why.
      time.sleep(_LAST_S)
    os._exit(status)
  return status
