"""Reads Python-2 pickles and model files without running anything in them.

SMPL's official files pickle chumpy objects, whose package does not import today, and
a pickle may name any function to be called. Here each of the few names that such
files need stands for a recorder of its arguments; the records become arrays after
they are checked, and any other name is refused.
"""

import io
import math
import os
import pathlib
import pickle
import pickletools
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import sparse

from mhmr_jax.errors import InputError


class RefusedError(Exception):
  """The file has what no file of its kind needs."""


def restricted_load(path: str | pathlib.Path) -> Any:
  """Unpickles plain containers, numbers, text, NumPy arrays and sparse matrices.

  Python 2's pickles are read as latin-1. A chumpy object comes out as its array.

  Raises:
    InputError: the file is missing or damaged, or names anything else.
  """
  try:
    data = pathlib.Path(path).read_bytes()
    _check_opcodes(data)
    return _resolve(_Unpickler(io.BytesIO(data), encoding="latin1").load(), {})
  except OSError as error:
    raise InputError(f"cannot read {path}: {error.strerror}") from error
  except RefusedError as error:
    raise InputError(f"{path} is refused: it has {error}") from error
  except Exception as error:  # Damage can raise any.
    raise InputError(
      f"{path} cannot be read as a pickle, it may be damaged: {error!r}"
    ) from error


def read_array(
  data: Mapping[str, Any],
  path: str | os.PathLike[str],
  key: str,
  shape: tuple[int | None, ...],
  finite: bool = True,
) -> Float[np.ndarray, "..."]:
  """An array of what `restricted_load` gave, in float64, after a check of its form.

  Args:
    data: by key.
    path: of the file, for messages.
    key: which array.
    shape: None fits any length.
    finite: whether infinity and NaN are refused.

  Raises:
    InputError: it is absent, no array of numbers, or of another shape.
  """
  if key not in data:
    raise InputError(f"{path} has no {key}: give the file as its authors publish it")
  value = data[key]
  if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
    kind = getattr(value, "dtype", type(value).__name__)
    raise InputError(f"{key} of {path} is {kind}, not an array of numbers")
  fits = len(shape) == value.ndim and all(
    wanted in (None, length) for wanted, length in zip(shape, value.shape, strict=True)
  )
  if not fits:
    wanted = ", ".join("any" if n is None else str(n) for n in shape)
    raise InputError(f"{key} of {path} has shape {value.shape}, not ({wanted})")
  if finite and not np.isfinite(value).all():
    raise InputError(f"{key} of {path} holds something else than finite numbers")
  return value.astype(np.float64)


class _Unpickler(pickle.Unpickler):
  def find_class(self, module: str, name: str) -> "type[_Record]":
    record = _RECORDS.get((module, name))
    if record is None:
      raise RefusedError(f"the name {module}.{name}, which no model file needs")
    return record


def _check_opcodes(data: bytes) -> None:
  """Refuses what would allocate far more than the file's size."""
  for opcode, arg, _ in pickletools.genops(data):
    if opcode.name in ("PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4"):
      raise RefusedError(f"the opcode {opcode.name}, which no model file needs")
    # The unpickler's memo is a table as long as its largest index.
    if "PUT" in opcode.name and (arg or 0) > len(data):
      raise RefusedError(f"memo entry {arg} in {len(data)} bytes")


class _Record:
  """What a name in the pickle stands for: its arguments and state, nothing run."""

  __slots__ = ("args", "state")
  args: tuple
  state: Any

  def __new__(cls, *args: Any) -> "_Record":
    record = super().__new__(cls)
    record.args = args
    record.state = None
    return record

  # Without it, the opcode BUILD sets attributes: of the class itself, if it can.
  def __setstate__(self, state: Any) -> None:
    self.state = state

  def value(self, args: tuple, state: Any) -> Any:
    """What the record comes to, given its arguments and state as values."""
    raise RefusedError("a bare object")


class _Reconstructor(_Record):
  """How protocols 0 and 1 make an object: (class, its base, the base's state)."""

  __slots__ = ()

  def value(self, args: tuple, state: Any) -> Any:
    return args[0]().value((), state)


class _Encoded(_Record):
  """How Python 3 writes bytes for Python 2."""

  __slots__ = ()

  def value(self, args: tuple, state: Any) -> bytes:
    text, encoding = args or ("", "latin1")  # bytes() is how it writes none.
    if encoding != "latin1":
      raise RefusedError(f"bytes encoded as {encoding!r}")
    return text.encode("latin1")


class _Set(_Record):
  """Python 2's set, which chumpy keeps for its own bookkeeping."""

  __slots__ = ()

  def value(self, args: tuple, state: Any) -> set:
    return set(*args)


class _Dtype(_Record):
  __slots__ = ()

  def value(self, args: tuple, state: Any) -> np.dtype:
    dtype = np.dtype(str(args[0]))
    if dtype.kind not in "biufcSU" or dtype.subdtype:
      raise RefusedError(f"an array of {dtype}, neither numbers nor text")
    if state is None:
      return dtype
    order, *structure = state[1:5]
    if structure != [None, None, None]:
      raise RefusedError("an array of structures, neither numbers nor text")
    return dtype.newbyteorder(order)


class _Array(_Record):
  """`_reconstruct` with its state, or protocol 5's `_frombuffer`."""

  __slots__ = ()

  def value(self, args: tuple, state: Any) -> np.ndarray:
    if state is None:
      data, dtype, shape, order = args
    else:
      _, shape, dtype, fortran, data = state
      order = "F" if fortran else "C"
    return _array(data, dtype, shape, order)


class _Scalar(_Record):
  __slots__ = ()

  def value(self, args: tuple, state: Any) -> Any:
    dtype, data = args
    return _array(data, dtype, (), "C")[()]


class _Csc(_Record):
  __slots__ = ()
  form = sparse.csc_matrix

  def value(self, args: tuple, state: Any) -> Any:
    shape = state["_shape"] if "_shape" in state else state["shape"]
    parts = (state["data"], state["indices"], state["indptr"])
    matrix = self.form(parts, shape=tuple(int(n) for n in shape))
    matrix.check_format(full_check=True)
    return matrix


class _Csr(_Csc):
  __slots__ = ()
  form = sparse.csr_matrix


class _Chumpy(_Record):
  __slots__ = ()

  def value(self, args: tuple, state: Any) -> np.ndarray:
    return np.asarray(state["x"])


class _ChumpySelect(_Record):
  """Entries `idxs` of the flattened `a`."""

  __slots__ = ()

  def value(self, args: tuple, state: Any) -> np.ndarray:
    values = np.asarray(state["a"]).ravel()[np.asarray(state["idxs"])]
    return values.reshape(state.get("preferred_shape", values.shape))


_RECORDS: dict[tuple[str, str], type[_Record]] = {
  ("_codecs", "encode"): _Encoded,
  ("chumpy.ch", "Ch"): _Chumpy,
  ("chumpy.reordering", "Select"): _ChumpySelect,
  ("numpy", "dtype"): _Dtype,
  ("numpy", "ndarray"): _Array,
}


for _core in ("numpy.core", "numpy._core"):
  _RECORDS[f"{_core}.multiarray", "_reconstruct"] = _Array
  _RECORDS[f"{_core}.multiarray", "scalar"] = _Scalar
  _RECORDS[f"{_core}.numeric", "_frombuffer"] = _Array


for _underscore in ("", "_"):
  _RECORDS[f"scipy.sparse.{_underscore}csc", "csc_matrix"] = _Csc
  _RECORDS[f"scipy.sparse.{_underscore}csr", "csr_matrix"] = _Csr


for _builtins, _registry in (("__builtin__", "copy_reg"), ("builtins", "copyreg")):
  _RECORDS[_builtins, "bytes"] = _Encoded
  _RECORDS[_builtins, "object"] = _Record
  _RECORDS[_builtins, "set"] = _Set
  _RECORDS[_registry, "_reconstructor"] = _Reconstructor


def _resolve(value: Any, done: dict[int, Any]) -> Any:
  """Turns every record into its value; `done`, by id, keeps shared things shared."""
  key = id(value)
  if key in done:
    return done[key]
  result: Any = value
  if isinstance(value, _Record):
    args = tuple(a if isinstance(a, type) else _resolve(a, done) for a in value.args)
    result = value.value(args, _resolve(value.state, done))
  elif isinstance(value, dict):
    done[key] = result = {}
    result.update((_resolve(k, done), _resolve(v, done)) for k, v in value.items())
  elif isinstance(value, list):
    done[key] = result = []
    result.extend(_resolve(item, done) for item in value)
  elif isinstance(value, tuple | set | frozenset):
    result = type(value)(_resolve(item, done) for item in value)
  elif isinstance(value, type):
    raise RefusedError("a bare class")
  done[key] = result
  return result


def _array(data: Any, dtype: np.dtype, shape: tuple, order: Any) -> np.ndarray:
  if isinstance(data, list):
    raise RefusedError("an array of Python objects, neither numbers nor text")
  if isinstance(data, str):
    data = data.encode("latin1")  # Python 2's bytes.
  if math.prod(shape) * dtype.itemsize != len(data):
    raise RefusedError(f"{len(data)} bytes for an array of shape {shape}")
  return np.ndarray(shape, dtype, data, order=order).copy(order="K")
