"""Reads the arrays of files of weights: PyTorch's .pth, and .safetensors.

A .pth is a zip of a pickle and of raw numbers or, before PyTorch 1.6, five pickles and
the raw numbers in a row. The reader knows only those names in the pickles that a dict
of tensors needs, so that nothing in the file runs.
"""

import collections
import io
import math
import pathlib
import zipfile
from typing import Any, BinaryIO

import numpy as np
import safetensors.numpy

from mhmr_jax.errors import InputError
from mhmr_jax.files import unpickling, untrusted
from mhmr_jax.files.untrusted import RefusedError

# The most bytes that the pickles, which say what the arrays are, may have.
_MAX_PICKLE = 1 << 24


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads the arrays of a .pth, .pt or .safetensors file, by name.

  Raises:
    InputError: the file is missing, damaged, hostile, or of another kind.
  """
  readers = {
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".safetensors": safetensors.numpy.load_file,
  }
  if path.suffix not in readers:
    raise InputError(f"{path} is neither .pth nor .safetensors: give one of these.")
  with untrusted.reading(path, "a file of weights", untrusted.MAX_BYTES):
    return readers[path.suffix](path)


class _Tensor(unpickling.Record):
  """What `torch._utils._rebuild_tensor_v2` is given: storage, offset, shape, strides.

  A storage is the flat array that a tensor is a view of.
  """

  __slots__ = ()

  def array(self, name: str) -> np.ndarray:
    """Returns a view of the storage, which is checked to hold all of it."""
    storage, offset, *lengths = self.args[:4]
    if not isinstance(storage, np.ndarray) or self.state is not None:
      raise RefusedError(f"no plain storage for {name}")
    shape, strides = ([int(n) for n in numbers] for numbers in lengths)
    spans = (offset, *shape, *strides)
    if len(shape) != len(strides) or len(shape) > 8 or min(spans) < 0:
      raise RefusedError(f"{name} of shape {shape} and strides {strides}")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    size, count = len(storage), math.prod(shape)
    # Strides of zero would make a large array of a small storage.
    if count > size or (count > 0 and last >= size):
      raise RefusedError(f"{name} outside its storage")
    if not count:
      return np.zeros(shape, storage.dtype)
    step = storage.itemsize
    return np.lib.stride_tricks.as_strided(
      storage[offset:], shape, [n * step for n in strides], writeable=False
    )


_STORAGE_DTYPES = {
  "HalfStorage": "<f2",
  "FloatStorage": "<f4",
  "DoubleStorage": "<f8",
  "LongStorage": "<i8",
}
# What files before PyTorch 1.6 begin with, 0x1950a86a20f9469cfc6c pickled; and their
# version.
_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_VERSION = 1001
_NAMES: dict[tuple[str, str], Any] = {
  ("collections", "OrderedDict"): collections.OrderedDict,
  ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
  **{("torch", name): dtype for name, dtype in _STORAGE_DTYPES.items()},
}


class _Storages:
  """The storages of a .pth archive, each read once."""

  def __init__(self, archive: zipfile.ZipFile, folder: str):
    self._archive = archive
    self._folder = folder
    self._storages: dict[str, np.ndarray] = {}

  def load(self, pid: Any) -> np.ndarray:
    """Returns the storage that a pickle's persistent id stands for."""
    kind, dtype, key, _, size = pid
    _check_storage(kind, dtype, key, size)
    if key not in self._storages:
      data = _member(self._archive, f"{self._folder}/data/{key}")
      self._storages[key] = np.frombuffer(data, np.dtype(dtype))
    return _same(self._storages[key], dtype, size)


class _LaterStorages:
  """The storages of a file before PyTorch 1.6, which follow the pickle with their ids.

  They are made when the pickle names them, and filled afterwards.
  """

  def __init__(self, room: int):
    """`room` is the file's size, bytes, which all storages together cannot exceed."""
    self._room = room
    self._storages: dict[str, np.ndarray] = {}

  def load(self, pid: Any) -> np.ndarray:
    """Returns the storage that a pickle's persistent id stands for, not yet filled."""
    kind, dtype, key, _, size, view = pid
    _check_storage(kind, dtype, key, size)
    if view is not None:
      raise RefusedError("a storage within a storage")
    if key not in self._storages:
      self._room -= size * np.dtype(dtype).itemsize
      if self._room < 0:
        raise RefusedError("larger storages than itself")
      self._storages[key] = np.zeros(size, dtype)
    return _same(self._storages[key], dtype, size)

  def fill(self, keys: Any, file: BinaryIO) -> None:
    """Reads the storages: in the order of `keys`, each after its length."""
    if not isinstance(keys, list) or {*keys} != self._storages.keys():
      raise RefusedError("other storages than its pickle names")
    for key in keys:
      storage = self._storages[key]
      count = int.from_bytes(file.read(8), "little")
      data = file.read(storage.nbytes)
      if count != len(storage) or len(data) != storage.nbytes:
        raise RefusedError(f"not {len(storage)} numbers in a storage of that length")
      storage[:] = np.frombuffer(data, storage.dtype)


def _check_storage(kind: Any, dtype: Any, key: Any, size: Any) -> None:
  """Raises RefusedError unless the parts of a persistent id are what they should be."""
  if kind != "storage" or dtype not in _STORAGE_DTYPES.values():
    raise RefusedError("a storage of other than float or 64-bit integer numbers")
  if not isinstance(key, str) or type(size) is not int or size < 0:
    raise RefusedError("a storage without a name or a length")


def _same(storage: np.ndarray, dtype: str, size: int) -> np.ndarray:
  """Returns the storage, which must have this type and length."""
  if len(storage) != size or storage.dtype != np.dtype(dtype):
    raise RefusedError(f"{len(storage)} numbers in a storage of {size}")
  return storage


def _member(archive: zipfile.ZipFile, name: str, limit: int | None = None) -> bytes:
  info = archive.getinfo(name)
  # PyTorch compresses nothing: a member is no larger than the file.
  if info.compress_type != zipfile.ZIP_STORED:
    raise RefusedError(f"{name} compressed")
  if limit is not None and info.file_size > limit:
    raise RefusedError(f"{info.file_size} bytes in {name}")
  return archive.read(info)


def _read_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
  values = (_from_zip if zipfile.is_zipfile(path) else _from_pickles)(path)
  if not isinstance(values, dict):
    raise RefusedError(f"a {type(values).__name__} in place of a dict")
  return {
    name: value.array(name)
    for name, value in values.items()
    if isinstance(name, str) and isinstance(value, _Tensor)
  }


def _from_zip(path: pathlib.Path) -> Any:
  """Reads what a file of PyTorch since 1.6 holds."""
  with zipfile.ZipFile(path) as archive:
    pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(pickles) != 1:
      raise RefusedError(f"{len(pickles)} pickles")
    folder = pickles[0].removesuffix("/data.pkl")
    order = f"{folder}/byteorder"
    if order in archive.namelist() and _member(archive, order, 16) != b"little":
      raise RefusedError("numbers that are not little-endian")
    data = _member(archive, pickles[0], _MAX_PICKLE)
    return unpickling.load(data, _NAMES, _Storages(archive, folder).load)


def _from_pickles(path: pathlib.Path) -> Any:
  """Reads what a file of PyTorch before 1.6 holds.

  In a row, it has pickles of a magic number, the form's version, the system that wrote
  it, the object, and the storages' names; then the storages.
  """
  with path.open("rb") as file:
    head = io.BytesIO(file.read(_MAX_PICKLE))
    if head.getvalue()[: len(_MAGIC)] != _MAGIC:
      raise RefusedError("neither of PyTorch's two forms")
    head.seek(len(_MAGIC))
    version, system = (unpickling.load_next(head, {}) for _ in range(2))
    if version != _VERSION or system["little_endian"] is not True:
      raise RefusedError("another form than PyTorch's before 1.6, or not little-endian")
    storages = _LaterStorages(path.stat().st_size)
    values = unpickling.load_next(head, _NAMES, storages.load)
    keys = unpickling.load_next(head, {})
    file.seek(head.tell())
    storages.fill(keys, file)
  return values
