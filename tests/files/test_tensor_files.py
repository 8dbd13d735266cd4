"""Files of weights: what PyTorch writes is read; what it does not is refused."""

import contextlib
import io
import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.files import tensor_files

torch = pytest.importorskip("torch")


def check_refused(path) -> str:
  with pytest.raises(InputError) as refused:
    tensor_files.read(path)
  message = str(refused.value)
  assert str(path) in message
  assert "\n" not in message
  return message


@pytest.fixture(params=["zip", "pickles"])
def saved(tmp_path, request):
  """A file of PyTorch's form since 1.6, or of the one before."""
  path = tmp_path / "weights.pth"
  tensors = {
    "plain": torch.arange(6.0).reshape(2, 3),
    "turned": torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1),
    "half": torch.tensor([1.5, -2.0]).half(),
    "count": torch.tensor(7),
    "part": torch.arange(10.0)[3:7],
    "empty": torch.zeros(0, 3),
  }
  torch.save(tensors, path, _use_new_zipfile_serialization=request.param == "zip")
  return path, {name: value.numpy() for name, value in tensors.items()}


def test_reads_what_pytorch_writes(saved):
  path, expected = saved
  arrays = tensor_files.read(path)
  assert arrays.keys() == expected.keys()
  for name, value in expected.items():
    assert arrays[name].dtype == value.dtype
    np.testing.assert_array_equal(arrays[name], value)


def test_a_file_cut_anywhere_is_refused(saved):
  path, _ = saved
  content = path.read_bytes()
  for length in range(0, len(content) - 1, 61):
    path.write_bytes(content[:length])
    check_refused(path)


def test_damaged_bytes_end_in_arrays_or_one_sentence(saved):
  path, _ = saved
  content = path.read_bytes()
  rng = np.random.default_rng(0)
  for place in rng.integers(len(content), size=200):
    damaged = bytearray(content)
    damaged[place] ^= int(rng.integers(1, 256))
    path.write_bytes(damaged)
    with contextlib.suppress(InputError):
      tensor_files.read(path)


def _archive(path, data: bytes, compression=zipfile.ZIP_STORED, storage=bytes(16)):
  with zipfile.ZipFile(path, "w", compression) as archive:
    archive.writestr("w/data.pkl", data)
    archive.writestr("w/data/0", storage)
  return path


class _Call:
  def __init__(self, function, *args):
    self._reduced = function, args

  def __reduce__(self):
    return self._reduced


def test_nothing_in_a_pickle_is_run(tmp_path):
  made = tmp_path / "made"
  data = pickle.dumps({"a": _Call(os.mkdir, str(made))}, protocol=2)
  assert "mkdir" in check_refused(_archive(tmp_path / "w.pth", data))
  assert not made.exists()


class _Pickler(pickle._Pickler):
  """Writes tensors as PyTorch does, of any arguments."""

  def persistent_id(self, value):
    return value[1:] if isinstance(value, tuple) and value[:1] == ("pid",) else None


def _tensor_file(path, size=4, offset=0, shape=(4,), strides=(1,), key="0"):
  pid = ("pid", "storage", torch.FloatStorage, key, "cpu", size)
  tensor = _Call(
    torch._utils._rebuild_tensor_v2, pid, offset, shape, strides, False, None
  )
  file = io.BytesIO()
  _Pickler(file, protocol=2).dump({"a": tensor})
  return _archive(path, file.getvalue())


def test_tensors_that_their_storage_does_not_hold_are_refused(tmp_path):
  path = tmp_path / "w.pth"
  np.testing.assert_array_equal(tensor_files.read(_tensor_file(path))["a"], np.zeros(4))
  wrong = [
    {"offset": 1},
    {"offset": -1},
    {"shape": (1 << 40,), "strides": (0,)},
    {"shape": (2, 2), "strides": (4, 1)},
    {"shape": (2, 2), "strides": (-1, 1)},
    {"shape": (2, 2)},
    {"size": 1 << 40},
    {"key": "../../../etc/passwd"},
  ]
  for arguments in wrong:
    check_refused(_tensor_file(path, **arguments))


def _old_file(path, **changes):
  """A file of PyTorch's form before 1.6 with one storage, written part by part."""
  parts = {
    "magic": 0x1950A86A20F9469CFC6C,
    "version": 1001,
    "system": {"little_endian": True},
    "dtype": torch.FloatStorage,
    "size": 4,
    "view": None,
    "keys": ["7"],
    "count": 4,
    "numbers": np.arange(4, dtype="<f4").tobytes(),
  } | changes
  head = [parts["magic"], parts["version"], parts["system"]]
  file = io.BytesIO()
  for value in head:
    pickle.dump(value, file, protocol=2)
  pid = ("pid", "storage", parts["dtype"], "7", "cuda:0", parts["size"], parts["view"])
  tensor = _Call(torch._utils._rebuild_tensor_v2, pid, 0, (4,), (1,), False, None)
  _Pickler(file, protocol=2).dump({"a": tensor})
  pickle.dump(parts["keys"], file, protocol=2)
  file.write(struct.pack("<q", parts["count"]) + parts["numbers"])
  path.write_bytes(file.getvalue())
  return path


def test_older_files_that_do_not_add_up_are_refused(tmp_path):
  path = tmp_path / "w.pth"
  np.testing.assert_array_equal(tensor_files.read(_old_file(path))["a"], np.arange(4))
  wrong = [
    {"magic": 7},
    {"version": 1002},
    {"system": {"little_endian": False}},
    {"system": {}},
    {"system": [[]]},
    {"dtype": "float"},
    {"view": ("7", 0, 4)},
    {"size": 3},
    {"size": -1},
    {"size": "4"},
    {"size": [4]},
    {"keys": []},
    {"keys": ["8"]},
    {"keys": ["7", "8"]},
    {"keys": ["7", "7"]},
    {"keys": [["7"]]},
    {"keys": "7"},
    {"count": 5},
    {"count": -1},
    {"numbers": bytes(15)},
  ]
  for changes in wrong:
    check_refused(_old_file(path, **changes))


def test_storages_of_older_files_are_checked_before_room_is_made(tmp_path):
  path = _old_file(tmp_path / "w.pth", size=1 << 50, count=1 << 50)
  assert "larger storages than itself" in check_refused(path)


def test_nothing_in_an_older_file_is_run(tmp_path):
  made = tmp_path / "made"
  call = _Call(os.mkdir, str(made))
  for part in ("version", "system", "view", "keys"):
    assert "mkdir" in check_refused(_old_file(tmp_path / "w.pth", **{part: call}))
  assert not made.exists()


def test_bombs_are_refused(tmp_path):
  path = tmp_path / "w.pth"
  assert "compressed" in check_refused(
    _archive(path, pickle.dumps({}) + bytes(1 << 20), zipfile.ZIP_DEFLATED)
  )
  assert "memo" in check_refused(
    _archive(path, b"\x80\x02}r" + struct.pack("<I", 1 << 31) + b".")
  )


def test_reads_safetensors_and_refuses_what_does_not_add_up(tmp_path):
  path = tmp_path / "w.safetensors"

  def write(header, body=bytes(range(16)), length=None):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", length or len(text)) + text + body)

  entry = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
  write({"a": entry, "__metadata__": {"format": "pt"}})
  expected = np.frombuffer(bytes(range(16)), np.float32).reshape(2, 2)
  np.testing.assert_array_equal(tensor_files.read(path)["a"], expected)
  wrong = [
    {"data_offsets": [0, 20]},
    {"data_offsets": [8, 24]},
    {"data_offsets": [-16, 0]},
    {"shape": [-2, -2]},
    {"shape": [1 << 40, 1 << 40]},
    {"dtype": "F128"},
    {"shape": None},
  ]
  for change in wrong:
    write({"a": {**entry, **change}})
    check_refused(path)
  write({"a": entry, "b": entry})
  check_refused(path)
  write([entry])
  check_refused(path)
  write({"a": entry}, length=1 << 62)
  check_refused(path)
  for length in (0, 7, 8, 40):
    path.write_bytes(path.read_bytes()[:length])
    check_refused(path)


def test_other_files_are_refused(tmp_path):
  assert "neither" in check_refused(tmp_path / "weights.bin")
  check_refused(tmp_path / "absent.pth")
  (tmp_path / "old.pth").write_bytes(pickle.dumps({}))
  assert "PyTorch's two forms" in check_refused(tmp_path / "old.pth")
