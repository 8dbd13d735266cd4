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

  Where the block raises, the file that stood at `path` stays as it was, and nothing is
  left beside it. The partial file has the same suffix, which some writers choose their
  format by.

  Args:
    path: of the file to write; its folder exists.
    advice: what the user can do where it cannot be written.

  Raises:
    InputError: the file cannot be written.
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
  """Writes a file of text (UTF-8) or bytes; raises as `whole` does."""
  data = content.encode() if isinstance(content, str) else content
  with whole(path, advice) as partial:
    partial.write_bytes(data)


def make_folder(path: pathlib.Path | epath.Path, advice: str = _ADVICE) -> None:
  """Makes a folder, so that results that cannot be kept are not computed first.

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
  """The sentence for a file or folder that cannot be written."""
  reason = error.strerror or type(error).__name__
  return InputError(f"{path} cannot be written ({reason}): {advice}.")
