"""Arrays load from .npz and .npy; objects and damage are refused in one sentence."""

import io
import zipfile

import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.files import npz


def check_refused(path, match: str = "") -> None:
  read = npz.read_npz if path.suffix == ".npz" else npz.read_npy
  with pytest.raises(InputError, match=rf"(?=.*{path.name}).*{match}") as refused:
    read(path)
  assert "\n" not in str(refused.value)


def zip_file(path, members: dict[str, bytes]):
  with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
    for name, data in members.items():
      archive.writestr(name, data)
  return path


def array_with_header(shape) -> bytes:
  """Three numbers behind a header that says another shape."""
  file = io.BytesIO()
  header = {"descr": "<f8", "fortran_order": False, "shape": shape}
  np.lib.format.write_array_header_1_0(file, header)
  return file.getvalue() + bytes(24)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_arrays_that_are_asked_for_are_read(tmp_path, save):
  path = tmp_path / "model.npz"
  arrays = {"numbers": np.arange(6.0).reshape(2, 3), "name": np.array("smpl")}
  save(path, **arrays, objects=np.array([{}]))
  loaded = npz.read_npz(path, keys=("numbers", "name", "absent"))
  assert loaded.keys() == arrays.keys()
  for key, expected in arrays.items():
    np.testing.assert_array_equal(loaded[key], expected)
  np.save(tmp_path / "numbers.npy", arrays["numbers"])
  np.testing.assert_array_equal(
    npz.read_npy(tmp_path / "numbers.npy"), arrays["numbers"]
  )


def test_objects_are_refused(tmp_path):
  objects = np.array([{"a": 1}])
  np.savez(tmp_path / "model.npz", v_template=objects)
  check_refused(tmp_path / "model.npz", "Python objects in v_template")
  np.save(tmp_path / "model.npy", objects)
  check_refused(tmp_path / "model.npy", r"Python objects in model\.npy")


@pytest.mark.parametrize("shape", [(10**6, 10**5), (2**62, 4), (4,), (-3,)])
def test_a_header_that_differs_from_the_bytes_is_refused(tmp_path, shape):
  data = array_with_header(shape)
  check_refused(
    zip_file(tmp_path / "model.npz", {"v_template.npy": data}), "v_template"
  )
  (tmp_path / "model.npy").write_bytes(data)
  check_refused(tmp_path / "model.npy")


def test_arrays_beyond_the_bound_are_refused(tmp_path):
  np.savez_compressed(tmp_path / "model.npz", v_template=np.zeros(1000))
  assert len(npz.read_npz(tmp_path / "model.npz", max_bytes=8000)["v_template"]) == 1000
  with pytest.raises(InputError, match="too large"):
    npz.read_npz(tmp_path / "model.npz", max_bytes=7999)


def test_all_arrays_together_keep_to_the_bound(tmp_path):
  np.savez(tmp_path / "model.npz", a=np.zeros(600), b=np.zeros(600))
  assert npz.read_npz(tmp_path / "model.npz", ("a",), max_bytes=8000).keys() == {"a"}
  with pytest.raises(InputError, match="too large"):
    npz.read_npz(tmp_path / "model.npz", max_bytes=8000)


def test_a_small_file_of_a_large_array_is_refused(tmp_path):
  path = tmp_path / "model.npz"
  np.savez_compressed(path, v_template=np.zeros(6 << 20))
  assert path.stat().st_size < 100_000
  check_refused(path, r"v_template\.npy of 50,331,776 bytes in 4\d,\d\d\d")
  np.savez_compressed(path, v_template=np.zeros(3 << 20))
  assert len(npz.read_npz(path)["v_template"]) == 3 << 20


@pytest.mark.parametrize(
  ("shape", "kind"), [((10**9, 0, 17, 3), "<f4"), ((10**9,), "<U0"), ((-1, -3), "<f8")]
)
def test_arrays_of_no_bytes_claim_no_length(tmp_path, shape, kind):
  file = io.BytesIO()
  header = {"descr": kind, "fortran_order": False, "shape": shape}
  np.lib.format.write_array_header_1_0(file, header)
  data = file.getvalue() + bytes(24 if kind == "<f8" else 0)
  check_refused(zip_file(tmp_path / "model.npz", {"v_template.npy": data}))


def test_damaged_files_are_refused(tmp_path):
  path = tmp_path / "model.npz"
  np.savez_compressed(path, v_template=np.arange(3000.0))
  whole = path.read_bytes()
  for damaged in (
    b"",
    b"not a zip",
    whole[: len(whole) // 2],
    whole[:200] + bytes(100) + whole[300:],
  ):
    path.write_bytes(damaged)
    check_refused(path, "damaged")
  check_refused(zip_file(path, {"readme.txt": b"no array"}), "damaged")
  (tmp_path / "model.npy").write_bytes(b"no array")
  check_refused(tmp_path / "model.npy", "damaged")


def test_missing_files_are_named(tmp_path):
  check_refused(tmp_path / "missing.npz", "No such file")
  check_refused(tmp_path / "missing.npy", "No such file")
  (tmp_path / "folder.npz").mkdir()
  check_refused(tmp_path / "folder.npz", "cannot be read")
