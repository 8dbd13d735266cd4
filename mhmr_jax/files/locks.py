"""Locks on folders, which exclude other processes of the same machine."""

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Callable, Iterator

from absl import logging

from mhmr_jax.errors import InputError
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


@contextlib.contextmanager
def claimed(folder: pathlib.Path, advice: str) -> Iterator[Callable[[], bool]]:
  """Locks a folder that exists, for as long as the block lasts; never waits.

  The lock is the operating system's, on the file `.lock`: it ends with the process, in
  whatever way, so the file that a killed process leaves excludes nobody. A network file
  system excludes processes of other machines as far as it has such locks; if it has
  none, a warning says so.

  Args:
    folder: the folder to lock.
    advice: what the user can do if it is locked already or cannot be written.

  Yields:
    A function that tells whether the path still leads to the locked folder.

  Raises:
    InputError: another process holds the lock, or the folder cannot be written.
  """
  path = folder / ".lock"
  try:
    file = path.open("ab")
  except OSError as error:
    raise atomic.not_writable(folder, error, advice) from error
  with file:
    try:
      fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise InputError(
        f"Another process is writing in {folder}: wait for its end, or {advice}."
      ) from error
    except OSError:
      logging.warning("%s is on a file system without locks: use it once only.", folder)

    def is_there() -> bool:
      try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
      except OSError:
        return False

    yield is_there


def _lock(descriptor: int, folder: pathlib.Path) -> bool:
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    logging.info("Another process is making %s: waiting until it is done.", folder)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
  except OSError:  # Some network file systems have no locks.
    return False
  return True
