"""Unpickles data in which only the names of a table may occur.

A pickle may name any function and have it called. Here each name that the reader of a
format knows stands for a class of that reader's own, a `Record` as a rule, which only
keeps its arguments; any other name is refused, and nothing is imported.
"""

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

from mhmr_jax.files.untrusted import RefusedError

PersistentLoad = Callable[[Any], Any]
# The most steps by which a pickle may build its objects, each of up to 216 bytes; files
# of arrays take some thousands.
_MAX_OPCODES = 1 << 20


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
    RefusedError: the pickle has another name, or would allocate far more memory than
      its size.
    Exception: of any kind, where the data are damaged.
  """
  _check_opcodes(data, persistent_load is not None)
  return _Unpickler(data, names, persistent_load).load()


def _check_opcodes(data: bytes, persistent: bool) -> None:
  refused = {"EXT1", "EXT2", "EXT4"}
  if not persistent:
    refused |= {"PERSID", "BINPERSID"}
  for count, (opcode, arg, _) in enumerate(pickletools.genops(data)):
    if count == _MAX_OPCODES:
      raise RefusedError("too many objects for a file of arrays")
    if opcode.name in refused:
      raise RefusedError(f"the opcode {opcode.name}, which no such file needs")
    # The unpickler's memo is a table as long as its largest index.
    if "PUT" in opcode.name and (arg or 0) > len(data):
      raise RefusedError(f"memo entry {arg} in {len(data)} bytes")


class _Unpickler(pickle.Unpickler):
  def __init__(
    self,
    data: bytes,
    names: Mapping[tuple[str, str], Any],
    persistent_load: PersistentLoad | None,
  ):
    super().__init__(io.BytesIO(data), encoding="latin1")
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
