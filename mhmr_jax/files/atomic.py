"""Files that appear whole or not at all."""

import contextlib
import pathlib
import uuid
from collections.abc import Iterator
from typing import TypeVar

from etils import epath

from mhmr_jax.errors import InputError

AnyPath = TypeVar("AnyPath", pathlib.Path, epath.Path)

_ADVICE = "name another folder by --out"


@contextlib.contextmanager
def whole(path: AnyPath, advice: str = _ADVICE) -> Iterator[AnyPath]:
  """Yields a path beside `path`, which it replaces once the block has ended.

  If the block raises, an earlier file at `path` stays as it was, and nothing is left
  beside it. The partial file has the same suffix, because some writers choose their
  format by it.

  Args:
    path: the file to write, in a folder that exists.
    advice: what the user can do if the file cannot be written.

  Raises:
    InputError: the file cannot be written; every OSError in the block counts as that.
  """
  partial = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.partial{path.suffix}")
  try:
    yield partial
    partial.replace(path)
  except OSError as error:
    raise not_writable(path, error, advice) from error
  finally:
    with contextlib.suppress(OSError):
      partial.unlink(missing_ok=True)


def write(path: AnyPath, content: str | bytes, advice: str = _ADVICE) -> None:
  """Writes text (as UTF-8) or bytes to a file; raises as `whole` does."""
  data = content.encode() if isinstance(content, str) else content
  with whole(path, advice) as partial:
    partial.write_bytes(data)


def make_folder(path: pathlib.Path | epath.Path, advice: str = _ADVICE) -> None:
  """Makes a folder, with its parents; does nothing if it exists.

  Raises:
    InputError: the folder cannot be made.
  """
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise not_writable(path, error, advice) from error


def not_writable(
  path: pathlib.Path | epath.Path, error: OSError, advice: str = _ADVICE
) -> InputError:
  """The error for a file or folder that cannot be written."""
  reason = error.strerror or type(error).__name__
  return InputError(f"{path} cannot be written ({reason}): {advice}.")
