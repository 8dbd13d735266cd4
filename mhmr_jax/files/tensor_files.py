"""Reads arrays from PyTorch's .pth and from .safetensors; runs nothing in them.

A .pth is a zip of a pickle and of raw numbers. A pickle may name any function to be
called: here only the names that a dict of tensors needs are known, and they stand for
records.
"""

import collections
import io
import json
import math
import pathlib
import pickle
import pickletools
import zipfile
from typing import Any

import numpy as np

from mhmr_jax.errors import InputError

# Of the part that says what the arrays are.
_MAX_HEADER = 1 << 24
_SAFETENSORS_TYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I64": "<i8"}


class _RefusedError(Exception):
  """The file has what no dict of tensors needs."""


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
  """The arrays of a .pth or .safetensors file, by name.

  Raises:
    InputError: the file is missing, damaged, hostile, or of another kind.
  """
  readers = {".pth": _read_torch, ".pt": _read_torch, ".safetensors": _read_safetensors}
  if path.suffix not in readers:
    raise InputError(f"{path} is neither .pth nor .safetensors: give one of these.")
  try:
    return readers[path.suffix](path)
  except OSError as error:
    raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
  except _RefusedError as error:
    raise InputError(
      f"{path} is refused, it has {error}: give a file with a dict of tensors alone."
    ) from error
  except Exception as error:  # Damage can raise any.
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    raise InputError(
      f"{path} cannot be read, it may be damaged ({reason}): fetch it again."
    ) from error


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
  data = path.read_bytes()
  length = int.from_bytes(data[:8], "little")
  if not 0 < length <= min(_MAX_HEADER, len(data) - 8):
    raise _RefusedError(f"a header of {length} bytes in a file of {len(data)}")
  header = json.loads(data[8 : 8 + length])
  header.pop("__metadata__", None)
  body = memoryview(data)[8 + length :]
  arrays = {}
  for name, entry in header.items():
    if entry["dtype"] not in _SAFETENSORS_TYPES:
      raise _RefusedError(f"numbers of type {entry['dtype']} in {name}")
    dtype = np.dtype(_SAFETENSORS_TYPES[entry["dtype"]])
    begin, end = entry["data_offsets"]
    shape = tuple(map(int, entry["shape"]))
    if not 0 <= begin <= end <= len(body) or min(shape, default=0) < 0:
      raise _RefusedError(f"{name} outside the file")
    if math.prod(shape) * dtype.itemsize != end - begin:
      raise _RefusedError(f"{end - begin} bytes for {name} of shape {shape}")
    arrays[name] = np.frombuffer(body[begin:end], dtype).reshape(shape)
  return arrays


class _Tensor:
  """The arguments of `torch._utils._rebuild_tensor_v2`."""

  __slots__ = ("offset", "shape", "storage", "strides")
  storage: Any
  offset: Any
  shape: Any
  strides: Any

  def __new__(cls, *args: Any) -> "_Tensor":
    tensor = super().__new__(cls)
    tensor.storage, tensor.offset, tensor.shape, tensor.strides = args[:4]
    return tensor

  # Without it, the opcode BUILD sets attributes: of the class itself, if it can.
  def __setstate__(self, state: Any) -> None:
    raise _RefusedError("a tensor with a state")

  def array(self, name: str) -> np.ndarray:
    """A view of the storage."""
    if not isinstance(self.storage, np.ndarray):
      raise _RefusedError(f"no storage for {name}")
    shape = [int(n) for n in self.shape]
    strides = [int(n) for n in self.strides]
    spans = (self.offset, *shape, *strides)
    if len(shape) != len(strides) or len(shape) > 8 or min(spans) < 0:
      raise _RefusedError(f"{name} of shape {shape} and strides {strides}")
    last = self.offset + sum(
      (n - 1) * step for n, step in zip(shape, strides, strict=True)
    )
    size, count = len(self.storage), math.prod(shape)
    # Strides of zero would make much of little.
    if count > size or (count > 0 and last >= size):
      raise _RefusedError(f"{name} outside its storage")
    if not count:
      return np.zeros(shape, self.storage.dtype)
    step = self.storage.itemsize
    return np.lib.stride_tricks.as_strided(
      self.storage[self.offset :], shape, [n * step for n in strides], writeable=False
    )


_STORAGES = {
  "HalfStorage": "<f2",
  "FloatStorage": "<f4",
  "DoubleStorage": "<f8",
  "LongStorage": "<i8",
}
_NAMES: dict[tuple[str, str], Any] = {
  ("collections", "OrderedDict"): collections.OrderedDict,
  ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
  **{("torch", name): dtype for name, dtype in _STORAGES.items()},
}


class _Unpickler(pickle.Unpickler):
  def __init__(self, data: bytes, archive: zipfile.ZipFile, folder: str):
    super().__init__(io.BytesIO(data))
    self._archive = archive
    self._folder = folder
    self._storages: dict[str, np.ndarray] = {}

  def find_class(self, module: str, name: str) -> Any:
    if (module, name) not in _NAMES:
      raise _RefusedError(f"the name {module}.{name}, which no dict of tensors needs")
    return _NAMES[module, name]

  def persistent_load(self, pid: Any) -> np.ndarray:
    kind, dtype, key, _, size = pid
    if kind != "storage" or dtype not in _STORAGES.values():
      raise _RefusedError("something else than numbers")
    if key not in self._storages:
      data = _member(self._archive, f"{self._folder}/data/{key}")
      self._storages[key] = np.frombuffer(data, np.dtype(dtype))
    storage = self._storages[key]
    if len(storage) != size or storage.dtype != np.dtype(dtype):
      raise _RefusedError(f"{len(storage)} numbers in a storage of {size}")
    return storage


def _member(archive: zipfile.ZipFile, name: str, limit: int | None = None) -> bytes:
  info = archive.getinfo(name)
  # PyTorch compresses nothing: a member is no larger than the file.
  if info.compress_type != zipfile.ZIP_STORED:
    raise _RefusedError(f"{name} compressed")
  if limit is not None and info.file_size > limit:
    raise _RefusedError(f"{info.file_size} bytes in {name}")
  return archive.read(info)


def _read_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
  if not zipfile.is_zipfile(path):
    raise _RefusedError("not the form that PyTorch writes since 1.6")
  with zipfile.ZipFile(path) as archive:
    pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(pickles) != 1:
      raise _RefusedError(f"{len(pickles)} pickles")
    folder = pickles[0].removesuffix("/data.pkl")
    order = f"{folder}/byteorder"
    if order in archive.namelist() and _member(archive, order, 16) != b"little":
      raise _RefusedError("its numbers' bytes in another order")
    data = _member(archive, pickles[0], _MAX_HEADER)
    for opcode, arg, _ in pickletools.genops(data):
      # The unpickler's memo is a table as long as its largest index.
      if "PUT" in opcode.name and (arg or 0) > len(data):
        raise _RefusedError(f"memo entry {arg} in {len(data)} bytes")
    values = _Unpickler(data, archive, folder).load()
  if not isinstance(values, dict):
    raise _RefusedError(f"a {type(values).__name__}")
  return {
    name: value.array(name)
    for name, value in values.items()
    if isinstance(name, str) and isinstance(value, _Tensor)
  }
