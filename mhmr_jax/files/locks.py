"""Locks on folders, which keep out other processes of the same machine."""

import contextlib
import fcntl
import pathlib
from collections.abc import Iterator

from absl import logging

from mhmr_jax.files import atomic

_ADVICE = "name another folder for generated data"


@contextlib.contextmanager
def exclusive(folder: pathlib.Path) -> Iterator[bool]:
  """Makes a folder and locks it, once no other process holds its lock.

  The system releases the lock when the process ends, in whatever way.

  Yields:
    Whether the lock is held: False where the file system has no locks.

  Raises:
    InputError: the folder cannot be written.
  """
  atomic.make_folder(folder, _ADVICE)
  try:
    file = (folder / ".lock").open("wb")
  except OSError as error:
    raise atomic.not_writable(folder, error, _ADVICE) from error
  with file:
    yield _lock(file.fileno(), folder)


def _lock(descriptor: int, folder: pathlib.Path) -> bool:
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    logging.info("Another process is making %s: waiting until it is done.", folder)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
  except OSError:  # Some network file systems have no locks.
    return False
  return True
