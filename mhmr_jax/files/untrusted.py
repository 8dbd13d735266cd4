"""Checks that all readers of untrusted files share, and how such a file is refused.

Such a file may be a pipe without an end, may claim sizes that no memory has, and may be
damaged in any way. Its kind and size are checked before it is opened, and everything
that is raised while it is read becomes one sentence.
"""

import contextlib
import json
import os
import pathlib
import stat
from collections.abc import Iterator
from typing import Any

from mhmr_jax.errors import InputError

# The largest file of text or JSON that is read at once.
MAX_BYTES = 1 << 30
# What is shown of an error's message.
_SHOWN = 160
# The most memory that the objects in a JSON file may take.
_MAX_JSON = 2 << 30
# What CPython needs, bytes, for an object with a member, an empty list, a number and
# its place in a list, and half a short text; by the sign that each of them needs.
_JSON_COSTS = {b"{": 184, b"[": 56, b",": 32, b'"': 25}


class RefusedError(Exception):
  """The file holds something that no file of its kind needs.

  The message names it such that "the file has MESSAGE" is a sentence.
  """


@contextlib.contextmanager
def reading(
  path: str | os.PathLike[str], kind: str, max_bytes: int | None = None
) -> Iterator[None]:
  """Turns whatever is raised while a file is read into one sentence.

  Args:
    path: the file; that it is a regular file is checked before the block starts.
    kind: the file's format, with its article, for the message.
    max_bytes: the largest size that is read; None for any.

  Raises:
    InputError: the file is missing, damaged, too large, or no regular file (a folder, a
      pipe, a device or a link to one), or a `RefusedError` was raised. The block's own
      InputError is passed on.
  """
  try:
    check_file(path, max_bytes)
    yield
  except InputError:
    raise
  except RefusedError as error:
    raise InputError(
      f"{path} is refused: it has {_short(error)}; give a file of plain arrays."
    ) from error
  except OSError as error:
    raise InputError(
      f"{path} cannot be read as {kind}: {error.strerror or _short(error)}."
    ) from error
  except Exception as error:  # Damage can raise any.
    reason = _short(error) or type(error).__name__
    raise InputError(
      f"{path} cannot be read as {kind}, it may be damaged ({reason}): fetch it or "
      "write it again."
    ) from error


def _short(error: Exception) -> str:
  """The error's message in one line; names in the file may have any length."""
  return " ".join(str(error).split())[:_SHOWN]


def check_file(path: str | os.PathLike[str], max_bytes: int | None = None) -> None:
  """Checks that a path leads to a file of bytes, of a size that is read.

  Raises:
    OSError: it is missing, or is a folder, a pipe, a device or a link to one: reading
      these may never end.
    RefusedError: it has more than `max_bytes`.
  """
  found = os.stat(path)
  if not stat.S_ISREG(found.st_mode):
    kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or a device"
    raise OSError(f"it is {kind}, not a file")
  if max_bytes is not None and found.st_size > max_bytes:
    raise RefusedError(f"{found.st_size:,} bytes, and {max_bytes:,} are the most")


def read_bytes(
  path: str | os.PathLike[str], kind: str, max_bytes: int = MAX_BYTES
) -> bytes:
  """Reads a file at once; raises as `reading` does."""
  with reading(path, kind, max_bytes):
    return pathlib.Path(path).read_bytes()


def read_json(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> Any:
  """Parses a JSON file, if its objects fit into memory; raises as `reading` does."""
  with reading(path, "JSON", max_bytes):
    return parse_json(pathlib.Path(path).read_bytes())


def parse_json(data: bytes) -> Any:
  """Parses JSON.

  Raises:
    RefusedError: its objects would take more memory than any such file needs.
    ValueError: it is no JSON, or has a number of thousands of digits.
    RecursionError: it is nested too deeply.
  """
  cost = sum(data.count(sign) * size for sign, size in _JSON_COSTS.items())
  if cost > _MAX_JSON:
    raise RefusedError(f"so many objects that they take {cost / 2**30:.0f} GiB")
  return json.loads(data)
