"""What all readers of files from strangers share: how such a file is refused."""

import contextlib
import os
from collections.abc import Iterator

from mhmr_jax.errors import InputError


class RefusedError(Exception):
  """The file holds what no file of its kind needs.

  The message names that, such that "the file has ..." is a sentence.
  """


@contextlib.contextmanager
def reading(path: str | os.PathLike[str], kind: str) -> Iterator[None]:
  """Turns whatever is raised while a file is read into one sentence.

  Args:
    path: the file.
    kind: the file's format, with its article, for the message.

  Raises:
    InputError: the file is missing or damaged, or a `RefusedError` was raised.
  """
  try:
    yield
  except RefusedError as error:
    raise InputError(
      f"{path} is refused: it has {error}; give a file of plain arrays."
    ) from error
  except OSError as error:
    raise InputError(
      f"{path} cannot be read as {kind}: {error.strerror or error}."
    ) from error
  except Exception as error:  # Damage can raise any.
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    raise InputError(
      f"{path} cannot be read as {kind}, it may be damaged ({reason}): fetch it or "
      "write it again."
    ) from error
