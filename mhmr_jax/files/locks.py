"""Locks on folders, held against other processes of the same machine."""

import contextlib
import fcntl
import pathlib
from collections.abc import Iterator

from absl import logging

from mhmr_jax.errors import InputError


@contextlib.contextmanager
def exclusive(folder: pathlib.Path) -> Iterator[bool]:
  """Holds a folder against other processes; False where files cannot be locked.

  The system lets go of it when the process ends, however it does.
  """
  try:
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / ".lock").open("wb")
  except OSError as error:
    raise InputError(
      f"{folder} cannot be written ({error.strerror}): name another folder for "
      "generated data."
    ) from error
  with file:
    yield _lock(file.fileno(), folder)


def _lock(descriptor: int, folder: pathlib.Path) -> bool:
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    logging.info("Another process makes %s: waiting until it is done.", folder)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
  except OSError:  # Some network file systems have no locks.
    return False
  return True
