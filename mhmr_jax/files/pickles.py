"""Reads the pickles that datasets and body models come in, mostly of Python 2.

SMPL's official files pickle chumpy objects, whose package no longer imports. Each of
the few names that such files need stands for a record of its arguments here; the
records become arrays after they are checked, and nothing in the file runs.
"""

import math
import os
import pathlib
from typing import Any

import numpy as np
from scipy import sparse

from mhmr_jax.files import unpickling, untrusted
from mhmr_jax.files.untrusted import RefusedError

# The most objects that the containers of a pickle may hold, counted each time they
# occur: what makes an array of a list visits them so.
_MAX_EXPANDED = 1 << 22


def restricted_load(path: str | os.PathLike[str]) -> Any:
  """Unpickles plain containers, numbers, text, NumPy arrays and sparse matrices.

  Python 2's text is read as latin-1. A chumpy object comes out as its array.

  Raises:
    InputError: the file is missing or damaged, or names anything else.
  """
  with untrusted.reading(path, "a pickle", untrusted.MAX_BYTES):
    data = pathlib.Path(path).read_bytes()
    value = _resolve(unpickling.load(data, _RECORDS), {})
    if _expanded(value, {}) > _MAX_EXPANDED:
      raise RefusedError("containers that hold each other too often")
    return value


class _Record(unpickling.Record):
  """What a name in the pickle stands for, until `_resolve` asks for its value."""

  __slots__ = ()

  def value(self, args: tuple, state: Any) -> Any:
    """Returns the object, made of the values of its arguments and of its state."""
    raise RefusedError("a bare object")


class _Reconstructor(_Record):
  """An object of protocols 0 and 1: (class, its base, the base's state)."""

  __slots__ = ()

  def value(self, args: tuple, state: Any) -> Any:
    return args[0]().value((), state)


class _Encoded(_Record):
  """Bytes, as Python 3 writes them for Python 2."""

  __slots__ = ()

  def value(self, args: tuple, state: Any) -> bytes:
    text, encoding = args or ("", "latin1")  # Empty bytes are written as bytes().
    if encoding != "latin1":
      raise RefusedError("bytes in another encoding than latin1")
    return text.encode("latin1")


class _Set(_Record):
  """A set of Python 2, which chumpy keeps for its own bookkeeping."""

  __slots__ = ()

  def value(self, args: tuple, state: Any) -> set:
    return set(*args)


class _Dtype(_Record):
  __slots__ = ()

  def value(self, args: tuple, state: Any) -> np.dtype:
    if not isinstance(args[0], str):
      raise RefusedError("an array of a kind without a name")
    dtype = np.dtype(args[0])
    if dtype.kind not in "biufcSU" or dtype.subdtype:
      raise RefusedError(f"an array of {dtype.kind}, neither numbers nor text")
    if state is None:
      return dtype
    order, *structure = state[1:5]
    if structure != [None, None, None]:
      raise RefusedError("an array of structures, neither numbers nor text")
    return dtype.newbyteorder(order)


class _Array(_Record):
  """An array, by `_reconstruct` and a state or, in protocol 5, by `_frombuffer`."""

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
    if not all(isinstance(part, np.ndarray) for part in parts):
      raise RefusedError("a sparse matrix of something else than arrays")
    matrix = self.form(parts, shape=tuple(int(n) for n in shape))
    matrix.check_format(full_check=True)
    return matrix


class _Csr(_Csc):
  __slots__ = ()
  form = sparse.csr_matrix


class _Chumpy(_Record):
  __slots__ = ()

  def value(self, args: tuple, state: Any) -> np.ndarray:
    if not isinstance(state["x"], np.ndarray):
      raise RefusedError("a chumpy object of something else than an array")
    return state["x"]


class _ChumpySelect(_Record):
  """A selection: the entries `idxs` of the flattened `a`."""

  __slots__ = ()

  def value(self, args: tuple, state: Any) -> np.ndarray:
    if not all(isinstance(state[key], np.ndarray) for key in ("a", "idxs")):
      raise RefusedError("a selection from something else than an array")
    values = state["a"].ravel()[state["idxs"]]
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
  """Turns every record within `value` into its own value.

  Args:
    value: what was unpickled, or a part of it.
    done: the results by the id of what they came from, which keep shared objects
      shared.
  """
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


def _expanded(value: Any, sizes: dict[int, int]) -> int:
  """Counts the objects in nested containers, shared ones each time they occur.

  Args:
    value: what was unpickled, or a part of it.
    sizes: the counts by the id of the container.
  """
  if not isinstance(value, dict | list | tuple | set | frozenset):
    return 1
  key = id(value)
  if key not in sizes:
    sizes[key] = _MAX_EXPANDED + 1  # A container within itself has no end.
    items = value.values() if isinstance(value, dict) else value
    sizes[key] = 1 + sum(_expanded(item, sizes) for item in items)
  return sizes[key]


def _array(data: Any, dtype: np.dtype, shape: tuple, order: Any) -> np.ndarray:
  if isinstance(data, list):
    raise RefusedError("an array of Python objects, neither numbers nor text")
  if isinstance(data, str):
    data = data.encode("latin1")  # Python 2's bytes.
  if not all(isinstance(length, int) for length in shape):
    raise RefusedError("an array of a shape that is not of whole numbers")
  if math.prod(shape) * dtype.itemsize != len(data):
    raise RefusedError(f"{len(data)} bytes for an array of shape {shape}")
  return np.ndarray(shape, dtype, data, order=order).copy(order="K")
