"""Unpickles data that may use only the names in a given table.

A pickle may name any function and have it called. Here each name that the reader of a
format knows stands for a class of that reader's own, a `Record` as a rule, which only
keeps its arguments; any other name is refused, and nothing is imported.
"""

import io
import pickle
import pickletools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from mhmr_jax.files.untrusted import RefusedError

PersistentLoad = Callable[[Any], Any]
# The most steps by which a pickle may build its objects, each of up to 216 bytes; files
# of arrays take some thousands.
_MAX_OPCODES = 1 << 20
# The most hashes that its objects may take as keys, a fraction of a second's.
_MAX_HASHES = 1 << 24


class Record:
  """Keeps the arguments and the state that a pickle makes an object of."""

  __slots__ = ("args", "state")
  args: tuple
  state: Any

  def __new__(cls, *args: Any) -> "Record":
    """Keeps the arguments; a pickle may make objects without a call of `__init__`."""
    record = super().__new__(cls)
    record.args = args
    record.state = None
    return record

  # Without this method, the opcode BUILD sets attributes, and of the class itself if
  # the pickle applies it to the class.
  def __setstate__(self, state: Any) -> None:
    self.state = state


def load(
  data: bytes,
  names: Mapping[tuple[str, str], Any],
  persistent_load: PersistentLoad | None = None,
) -> Any:
  """Unpickles the pickle that the data begin with; Python 2's text is read as latin-1.

  Args:
    data: the pickle.
    names: what the name (module, name) in the pickle stands for.
    persistent_load: returns the object of a persistent id; None refuses such ids.

  Raises:
    RefusedError: the pickle has another name, or would allocate far more memory or take
      far more time than its size.
    Exception: of any kind, where the data are damaged.
  """
  return load_next(io.BytesIO(data), names, persistent_load)


def load_next(
  file: io.BytesIO,
  names: Mapping[tuple[str, str], Any],
  persistent_load: PersistentLoad | None = None,
) -> Any:
  """Unpickles one of several pickles in a row, as `load` does, and moves on behind it.

  Args:
    file: at the pickle's first byte.
    names: as for `load`.
    persistent_load: as for `load`.
  """
  start = file.tell()
  _check_opcodes(file, persistent_load is not None)
  end = file.tell()
  file.seek(start)
  value = _Unpickler(file, names, persistent_load).load()
  file.seek(end)
  return value


def _check_opcodes(file: io.BytesIO, persistent: bool) -> None:
  refused = {"EXT1", "EXT2", "EXT4"}
  if not persistent:
    refused |= {"PERSID", "BINPERSID"}
  start, largest = file.tell(), 0
  for count, (name, arg) in enumerate(_hashed_in_time(pickletools.genops(file))):
    if count == _MAX_OPCODES:
      raise RefusedError("too many objects for a file of arrays")
    if name in refused:
      raise RefusedError(f"the opcode {name}, which no such file needs")
    if "PUT" in name:
      largest = max(largest, arg)
  size = file.tell() - start
  # The unpickler's memo is a table as long as its largest index.
  if largest > size:
    raise RefusedError(f"memo entry {largest} in {size} bytes")


class _Effect(NamedTuple):
  """What an opcode does to the unpickler's stack.

  Attributes:
    kind: a kind that `_hashed_in_time` knows, or "".
    takes: objects that it takes; those below the mark, if it takes them to the mark.
    to_mark: whether it takes all objects above the last mark, and the mark.
    leaves: objects that it leaves.
  """

  kind: str
  takes: int
  to_mark: bool
  leaves: int


def _effect(opcode: pickletools.OpcodeInfo) -> _Effect:
  before, mark = opcode.stack_before, pickletools.markobject
  takes = before.index(mark) if mark in before else len(before)
  leaves = [made for made in opcode.stack_after if made is not mark]
  return _Effect(_KINDS.get(opcode.name, ""), takes, mark in before, len(leaves))


_KINDS = {
  **dict.fromkeys(("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"), "tuple"),
  **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), "get"),
  **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), "put"),
  **dict.fromkeys(("LONG", "LONG1", "LONG4"), "long"),
  **{"DUP": "dup", "MARK": "mark", "POP": "pop"},
}
_EFFECTS = {opcode.name: _effect(opcode) for opcode in pickletools.opcodes}


def _hashed_in_time(
  steps: Iterable[tuple[pickletools.OpcodeInfo, Any, int | None]],
) -> Iterator[tuple[str, Any]]:
  """Yields a pickle's opcodes and arguments, and bounds the time to hash its tuples.

  Python keeps no tuple's hash. A tuple that holds another one twice, which holds
  another one twice, and so on, takes years to hash, and the key of a dict is hashed.
  So this follows the stack, with the number of hashes that each object's takes.

  Raises:
    RefusedError: all of them, as keys, would take too long.
  """
  # One loop, without calls: it runs for each of up to a million opcodes.
  stack: list[int] = []
  memo: dict[int, int] = {}
  marks: list[int] = []  # How many objects lie below each.
  total = 0
  for opcode, arg, _ in steps:
    name = opcode.name
    yield name, arg
    kind, takes, to_mark, leaves = _EFFECTS[name]
    if kind == "put":
      memo[len(memo) if arg is None else arg] = stack[-1]
      continue
    if kind == "mark":
      marks.append(len(stack))
      continue
    if kind == "pop" and marks and marks[-1] == len(stack):
      marks.pop()
      continue
    bottom = len(stack) - takes
    if to_mark:
      bottom = marks.pop() - takes
    cost = 1
    if kind == "tuple":
      cost += sum(stack[bottom:])
    elif kind == "get":
      cost = memo.get(arg, 1)
    elif kind == "dup":
      cost = stack[-1]
    elif kind == "long":
      cost += arg.bit_length() // 64
    del stack[bottom:]
    stack.extend([cost] * leaves)
    if cost > 1:
      total += cost * leaves
      if total > _MAX_HASHES:
        raise RefusedError("tuples within tuples that take too long to compare")


class _Unpickler(pickle.Unpickler):
  def __init__(
    self,
    file: io.BytesIO,
    names: Mapping[tuple[str, str], Any],
    persistent_load: PersistentLoad | None,
  ):
    super().__init__(file, encoding="latin1")
    self._names = names
    self._persistent_load = persistent_load

  def find_class(self, module: str, name: str) -> Any:
    if (module, name) not in self._names:
      raise RefusedError(f"the name {module}.{name}, which no such file needs")
    return self._names[module, name]

  def persistent_load(self, pid: Any) -> Any:
    if self._persistent_load is None:
      raise RefusedError("a persistent id, which no such file needs")
    return self._persistent_load(pid)
