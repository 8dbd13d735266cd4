"""Damages the content or the bytes of a small valid file, and reads it.

What a file holds is changed before it is written (so that checksums still fit), its
bytes are changed after, or both. Whatever comes of it, the reader gives a valid result
or an InputError within bounded time, and no warning.
"""

import dataclasses
import functools
import pathlib
import random as random_module
import re
import signal
import tempfile
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from mhmr_jax.errors import InputError

Random = random_module.Random
Folder = pathlib.Path

_SECONDS = 60  # No reader of a small file takes as long, on a busy machine.


@dataclasses.dataclass(frozen=True)
class Case:
  """A kind of file.

  Attributes:
    name: of the case.
    make: makes the content: bytes, or a tree of dicts, lists, arrays and numbers.
    write: writes a content into a folder, and returns the path to read.
    read: reads it as the package's users do, and checks the result.
    refusals: the errors that say that the file is bad.
  """

  name: str
  make: Callable[[], Any]
  write: Callable[[Folder, Any], pathlib.Path]
  read: Callable[[pathlib.Path], object]
  refusals: tuple[type[Exception], ...] = (InputError,)

  @functools.cached_property
  def content(self) -> Any:
    """The content, made once."""
    return self.make()


class SlowError(BaseException):
  """A reader takes longer than any file deserves; readers don't catch it."""


def attempt(case: Case, random: Random) -> str:
  """Makes one hostile file and reads it: "read", or the sentence of its refusal.

  Raises:
    Exception: of any kind but the case's refusals, which is a fault.
  """
  with tempfile.TemporaryDirectory() as name:
    path = hostile_file(case, pathlib.Path(name), random)
    with _time_limit(), warnings.catch_warnings():
      warnings.simplefilter("error")
      try:
        case.read(path)
      except case.refusals as error:
        sentence = str(error)
        assert sentence
        assert "\n" not in sentence, sentence
        assert len(sentence) < 2000, sentence[:3000]
        return sentence
  return "read"


def hostile_file(case: Case, folder: Folder, random: Random) -> pathlib.Path:
  """Writes a file of a case, damaged."""
  content, way = case.content, random.randrange(4)
  if isinstance(content, bytes | str) or way == 0:
    path = case.write(folder, content)
    way = 1
  else:
    try:
      with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = case.write(folder, changed_tree(content, random))
    except Exception:  # The format has no place for that.
      path = case.write(folder, content)
      way = 1
  if way == 1:
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    if files:
      damaged = random.choice(sorted(files))
      damaged.write_bytes(changed_bytes(damaged.read_bytes(), random))
  return path


class _time_limit:  # noqa: N801
  def __enter__(self) -> None:
    def stop(number: int, frame: types.FrameType | None) -> None:
      raise SlowError

    self._before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_SECONDS)

  def __exit__(self, *error: object) -> None:
    signal.alarm(0)
    signal.signal(signal.SIGALRM, self._before)


_TOKENS = [
  *(b"", b"0", b"-1", b"1e308", b"-1e308", b"1e-320", b"1e30", b"1e5", b"nan", b"NaN"),
  *(b"inf", b"Infinity", b"null", b"{}", b"[]", b'""', b"true", b"1_0", b"0x10"),
  *(b"9" * 401, b"9" * 5000, b"1" + b"0" * 18, b"[" * 5000, b'{"a":' * 5000, b"\xff"),
]
_NUMBER = re.compile(rb"-?\d+(\.\d+)?(e-?\d+)?")
_EDGES = [b"\0" * 8, b"\xff" * 8, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"]


def changed_bytes(data: bytes, random: Random) -> bytes:
  """The data after one to three changes."""
  for _ in range(random.randint(1, 3)):
    data = random.choice(_CHANGES)(data, random)
  return data


def _span(data: bytes, random: Random) -> tuple[int, int]:
  start = random.randint(0, len(data))
  return start, min(len(data), start + random.choice([1, 4, 16, 256, 4096]))


def _flip(data: bytes, random: Random) -> bytes:
  if not data:
    return data
  place = random.randrange(len(data))
  return (
    data[:place] + bytes([data[place] ^ 1 << random.randrange(8)]) + data[place + 1 :]
  )


def _cut(data: bytes, random: Random) -> bytes:
  return data[: random.randint(0, len(data))]


def _delete(data: bytes, random: Random) -> bytes:
  start, stop = _span(data, random)
  return data[:start] + data[stop:]


def _repeat(data: bytes, random: Random) -> bytes:
  start, stop = _span(data, random)
  return data[:stop] + random.choice([1, 2, 100]) * data[start:stop] + data[stop:]


def _overwrite(data: bytes, random: Random) -> bytes:
  start, edge = random.randint(0, len(data)), random.choice(_EDGES)
  return data[:start] + edge + data[start + len(edge) :]


def _number(data: bytes, random: Random) -> bytes:
  found = list(_NUMBER.finditer(data[:100_000]))
  if not found:
    return _flip(data, random)
  match = random.choice(found)
  return data[: match.start()] + random.choice(_TOKENS) + data[match.end() :]


def _line(data: bytes, random: Random) -> bytes:
  lines = data.split(b"\n")
  place = random.randrange(len(lines))
  lines[place : place + 1] = random.choice([0, 2, 50]) * lines[place : place + 1]
  return b"\n".join(lines)


def _word(data: bytes, random: Random) -> bytes:
  words = data.split(b" ")
  one, other = random.randrange(len(words)), random.randrange(len(words))
  words[one] = words[other]
  return b" ".join(words)


_CHANGES = [_flip, _cut, _delete, _repeat, _overwrite, _number, _number, _line, _word]

_VALUES: list[Any] = [
  *(None, True, -1, 0, 1, 2**31, 2**63, 2**70, 10**400, 1e308, -1e308, 1e-320, 1e30),
  *(0.5, float("nan"), float("inf"), "", "x", "0", "9" * 5000, "\udcff", "a\nb"),
  *([], {}, [[]], [None], {"a": 1}, {"": []}, [1e308] * 3, [[1, 2], [3]], b"\xff"),
]


def changed_tree(value: Any, random: Random) -> Any:
  """A copy of a tree after one to three changes, somewhere in it."""
  for _ in range(random.randint(1, 3)):
    value = _changed_somewhere(value, random)
  return value


def _changed_somewhere(value: Any, random: Random) -> Any:
  if isinstance(value, dict) and value and random.random() < 0.8:
    key = random.choice(sorted(value, key=str))
    return {**value, key: _changed_somewhere(value[key], random)}
  if isinstance(value, list | tuple) and value and random.random() < 0.8:
    place = random.randrange(len(value))
    changed = _changed_somewhere(value[place], random)
    return [*value[:place], changed, *value[place + 1 :]]
  return _changed(value, random)


def _changed(value: Any, random: Random) -> Any:
  if random.random() < 0.3:
    return random.choice(_VALUES)
  if isinstance(value, np.ndarray):
    return _changed_array(value, random)
  if isinstance(value, dict) and value:
    key = random.choice(sorted(value, key=str))
    rest = {k: v for k, v in value.items() if k != key}
    return random.choice([rest, {**rest, "other": value[key]}, list(value.values())])
  if isinstance(value, list) and value:
    return random.choice(
      [value[:-1], value * 2, value[::-1], [value], dict(enumerate(value)), value[0]]
    )
  if isinstance(value, int | float):
    return random.choice([-value, value * 10, str(value), [value], value + 0.5])
  return random.choice(_VALUES)


_KINDS = (
  "<f2",
  ">f8",
  "<f8",
  "<i4",
  "<u8",
  "?",
  "<c8",
  "<U3",
  "S2",
  "m8[s]",
  "<i8,<f4",
)
_EXTREMES = [np.nan, np.inf, -np.inf, 1e30, 1e308, -1, 0, 1e-320, 2**40]


def _changed_array(array: np.ndarray, random: Random) -> np.ndarray:
  way = random.randrange(6)
  if way == 0:
    return array.astype(random.choice(_KINDS))
  if way == 1 and array.size:
    changed = array.astype(np.float64)
    places = random.choice([slice(None), random.randrange(changed.size)])
    changed.reshape(-1)[places] = random.choice(_EXTREMES)
    with np.errstate(all="ignore"):
      return changed.astype(array.dtype if random.random() < 0.5 else np.float64)
  if way == 2 and array.ndim:
    stop = random.choice([0, 1, max(len(array) - 1, 0)])
    return array[:stop]
  if way == 3 and array.ndim:
    return np.concatenate([array] * random.choice([2, 3]))
  if way == 4:
    return random.choice([array[None], array.T, array.reshape(-1), array.sum()])
  return np.zeros(random.choice([(), (0,), (3, 0), (10**6, 0, 17, 3), (1,), (1, 1)]))
