"""Files that appear whole or not at all."""

import contextlib
import pathlib
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
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


@contextlib.contextmanager
def together(
  folder: pathlib.Path,
  advice: str = _ADVICE,
  stale: Iterable[pathlib.Path] = (),
) -> Iterator[pathlib.Path]:
  """Yields an empty folder, whose files move to `folder` once the block has ended.

  They replace files of their names. If the block raises, or one of them cannot be
  moved, `folder` is as it was. A process that is killed leaves a folder beside them
  whose name begins with a dot.

  Args:
    folder: an existing folder.
    advice: what the user can do if the files cannot be written.
    stale: paths within `folder` of earlier results, which are removed when the new
      ones are moved there, with the folders that hold nothing else.

  Raises:
    InputError: a file cannot be written, or a folder has its name; every OSError in the
      block counts as that.
  """
  partial = folder / f".{uuid.uuid4().hex}.partial"
  new, before = partial / "new", partial / "before"
  try:
    try:
      new.mkdir(parents=True)
      yield new
      _exchange(new, folder, before, [*stale])
    finally:
      shutil.rmtree(partial, ignore_errors=True)
  except OSError as error:
    raise not_writable(folder, error, advice) from error


def _exchange(
  new: pathlib.Path,
  folder: pathlib.Path,
  before: pathlib.Path,
  stale: Sequence[pathlib.Path],
) -> None:
  """Moves files into a folder, and those that they replace to `before`."""
  names: list[pathlib.PurePath] = [
    path.relative_to(new) for path in new.rglob("*") if not path.is_dir()
  ]
  for name in names:
    if (folder / name).is_dir():
      raise InputError(f"{folder / name} is a folder: remove it or {_ADVICE}.")
  old = [name for name in stale if name not in names and (folder / name).is_file()]
  with contextlib.ExitStack() as undo:
    for name in [*old, *names]:
      target, kept = folder / name, before / name
      for parent in reversed(target.relative_to(folder).parents[:-1]):
        if not (folder / parent).is_dir():
          (folder / parent).mkdir()
          undo.callback(shutil.rmtree, folder / parent, ignore_errors=True)
      if target.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        target.rename(kept)
        undo.callback(kept.replace, target)
      else:
        undo.callback(target.unlink, missing_ok=True)
      if name not in old:
        (new / name).rename(target)
    undo.pop_all()
  for name in old:
    with contextlib.suppress(OSError):  # Something else is in there.
      (folder / name.parent).rmdir()


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


def check_free(path: pathlib.Path, advice: str = "name another file by --out") -> None:
  """Checks that a file can be written at a path, before the work that makes it.

  Raises:
    InputError: a folder is there, or the folder that it is to be in is missing.
  """
  if path.is_dir():
    raise InputError(f"{path} is a folder: {advice}.")
  if not path.parent.is_dir():
    raise InputError(f"{path} is not in a folder that exists: {advice}.")


def not_writable(
  path: pathlib.Path | epath.Path, error: OSError, advice: str = _ADVICE
) -> InputError:
  """The error for a file or folder that cannot be written."""
  reason = error.strerror or type(error).__name__
  return InputError(f"{path} cannot be written ({reason}): {advice}.")
