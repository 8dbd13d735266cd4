"""Official-style files load, hostile and damaged ones are refused in one sentence."""

import io
import os
import pickle
import sys
import types
import zipfile

import numpy as np
import pytest
from scipy import sparse

from mhmr_jax.body import model_files, smpl
from mhmr_jax.errors import InputError
from mhmr_jax.files import pickles
from tests.body import random_smpl
from tests.files import python2


@pytest.fixture
def chumpy(monkeypatch) -> types.SimpleNamespace:
  """Stands in for the package that pickled the official files."""

  def fake(module: str, name: str) -> type:
    kind = type(name, (), {"__module__": module})
    monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    setattr(sys.modules[module], name, kind)
    return kind

  monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))

  def make(kind: type, **state):
    value = kind()
    vars(value).update(state)
    return value

  ch, select = fake("chumpy.ch", "Ch"), fake("chumpy.reordering", "Select")
  return types.SimpleNamespace(
    ch=lambda x: make(ch, x=x, _dirty_vars=set(), _itr=None, _depends_on_deps=False),
    select=lambda a, idxs, shape: make(select, a=a, idxs=idxs, preferred_shape=shape),
  )


def write(folder, data: bytes):
  path = folder / "model.pkl"
  path.write_bytes(data)
  return path


def check_refused(path, match: str = "") -> None:
  with pytest.raises(InputError, match=rf"(?s)(?=.*{path.name}).*{match}"):
    model_files.read_model(path)


def test_an_official_style_pickle_gives_the_npzs_model(tmp_path, chumpy):
  data = random_smpl.arrays(120)
  np.savez(tmp_path / "model.npz", **data)
  shapedirs = np.concatenate([data["shapedirs"], np.ones((120, 3, 2))], axis=-1)
  index = np.arange(shapedirs.size).reshape(shapedirs.shape)[..., :10]
  official = {
    **data,
    "v_template": chumpy.ch(data["v_template"]),
    "shapedirs": chumpy.select(chumpy.ch(shapedirs), index.ravel(), (120, 3, 10)),
    "posedirs": chumpy.ch(np.asfortranarray(data["posedirs"])),
    "J_regressor": sparse.csc_matrix(data["J_regressor"]),
    "weights": chumpy.ch(data["weights"]),
    "pose_training_info": {"gender": "male", "count": 3},
    "bs_type": "lrotmin",
  }
  path = write(tmp_path, python2.dumps(official))
  assert b"chumpy.ch\nCh\n" in path.read_bytes()
  loaded, expected = smpl.load(path), smpl.load(tmp_path / "model.npz")
  for name in ("v_template", "shapedirs", "posedirs", "joint_template", "weights"):
    np.testing.assert_array_equal(getattr(loaded, name), getattr(expected, name))


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_gives_back_what_was_pickled(tmp_path, protocol):
  shared = np.arange(6.0).reshape(2, 3)
  value = {
    "arrays": [shared, shared, np.asfortranarray(shared), shared[:, ::2]],
    "kinds": [np.arange(3, dtype=kind) for kind in ("i1", "u4", ">f4", "f8", "c8")],
    "other": (np.array([True, False]), np.array(["a", "bc"]), np.array(5), np.empty(0)),
    "scalars": [np.float32(1.5), np.int64(-3), np.True_],
    "plain": [None, 1, 2.5, "text", b"bytes\xff", True, (1, (2,)), 10**30, {1, 2}],
    7: {},
  }
  loaded = pickles.restricted_load(
    write(tmp_path, pickle.dumps(value, protocol=protocol))
  )
  assert loaded["plain"] == value["plain"]
  assert loaded["scalars"] == value["scalars"]
  assert loaded[7] == {}
  assert loaded["arrays"][0] is loaded["arrays"][1]
  for key in ("arrays", "kinds", "other"):
    for array, expected in zip(loaded[key], value[key], strict=True):
      assert array.dtype == expected.dtype
      np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("form", [sparse.csc_matrix, sparse.csr_matrix])
def test_sparse_matrices(tmp_path, form, protocol):
  dense = np.diag([1.0, 0, 3])[:2]
  path = write(tmp_path, pickle.dumps({"J": form(dense)}, protocol=protocol))
  assert isinstance(pickles.restricted_load(path)["J"], form)
  np.testing.assert_array_equal(model_files.read_model(path)["J"], dense)


class Calls:
  """Pickles as a call of a function."""

  def __init__(self, function, *args):
    self.call = function, args

  def __reduce__(self):
    return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_in_a_pickle_runs(tmp_path, protocol):
  witness = tmp_path / "witness"
  for call in (
    Calls(os.system, f"touch {witness}"),
    Calls(eval, f"open({str(witness)!r}, 'w')"),
    Calls(open, str(witness), "w"),
    Calls(np.save, str(witness), 1),
  ):
    path = write(tmp_path, pickle.dumps({"f": call}, protocol=protocol))
    check_refused(path, "names? .*which no model file needs")
    assert not witness.exists()


def array_pickle(shape, dtype, data) -> bytes:
  """What an array pickles to, with any of its parts made up."""
  array = np.zeros(1)
  reconstruct, args, _ = array.__reduce__()

  class Made:
    def __reduce__(self):
      return reconstruct, args, (1, shape, dtype, False, data)

  return pickle.dumps({"v_template": Made()}, protocol=2)


BUILD_ON_CLASS = b"cnumpy\ndtype\n}X\x05\x00\x00\x00valueK\x01sb."
HOSTILE = {
  "a huge shape": array_pickle((10**6, 10**6), np.dtype("f8"), b"12345678"),
  "an overflowing shape": array_pickle((2**61, 8), np.dtype("f8"), b""),
  "a negative shape": array_pickle((-1, -1), np.dtype("f8"), b"12345678"),
  "a shape of text": array_pickle("no", np.dtype("f8"), b"12345678"),
  "objects": pickle.dumps({"v_template": np.array([{}, None])}, protocol=2),
  "objects by bytes": array_pickle((1,), np.dtype("O"), b"12345678"),
  "structures": array_pickle((1,), np.dtype([("x", "f8")]), b"12345678"),
  "subarrays": b"cnumpy\ndtype\n(X\x06\x00\x00\x00(2,)f8K\x00K\x01tR.",
  "a sparse matrix beyond itself": pickle.dumps(
    {"J": sparse.csr_matrix(np.eye(3))}, protocol=2
  ).replace(np.array([0, 1, 2], "i4").tobytes(), np.array([0, 1, 9], "i4").tobytes()),
  "a sparse matrix too large to unfold": pickle.dumps(
    {"J": sparse.csr_matrix(([1.0], [0], [0, 1]), shape=(1, 2**30))}, protocol=2
  ),
  "a persistent id": b"Pabc\n.",
  "a binary persistent id": b"X\x01\x00\x00\x00aQ.",
  "an extension": b"\x82\x01.",
  "a memo bomb": b"Nr\x00\x00\x00\x7f.",
  "a length bomb": b"\x8e\x00\x00\x00\x00\x00\x01\x00\x00abc.",
  "attributes set on a class": BUILD_ON_CLASS,
  "a method by its dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.dumps\x93.",
  "a bare class": b"}(X\x01\x00\x00\x00acnumpy\nndarray\nu.",
  "a bare object": b"c__builtin__\nobject\n)R.",
  "chumpy without state": b"cchumpy.ch\nCh\n)R.",
  "chumpy of a list": b"cchumpy.ch\nCh\n)R]b.",
  "chumpy with arguments": b"cchumpy.ch\nCh\nK\x01\x85R.",
  "chumpy's other classes": b"cchumpy.ch\nMatVecMult\n)R.",
  "another codec": b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00hextR.",
  "a reconstructed built-in": b"ccopy_reg\n_reconstructor\n(K\x01K\x02NtR.",
  "a record within itself": b"cchumpy.ch\nCh\n)Rq\x00}X\x01\x00\x00\x00xh\x00sb.",
  "deep lists": b"]" * 100_000 + b"a" * 99_999 + b".",
  "a list": pickle.dumps([1, 2]),
  "nothing": b"",
  "text": b"v 1.0 2.0 3.0\n",
  "no end": pickle.dumps({"v_template": np.ones(3)})[:-1],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_and_damaged_pickles_are_refused(tmp_path, name):
  check_refused(write(tmp_path, HOSTILE[name]))


def test_a_refused_build_leaves_the_reader_as_it_was(tmp_path):
  check_refused(write(tmp_path, BUILD_ON_CLASS))
  path = write(tmp_path, pickle.dumps({"a": np.arange(3)}, protocol=2))
  np.testing.assert_array_equal(model_files.read_model(path)["a"], np.arange(3))


def test_a_pickle_cut_anywhere_is_refused(tmp_path, chumpy):
  whole = python2.dumps(
    {"v": chumpy.ch(np.ones((2, 3))), "J": sparse.csc_matrix(np.eye(3)), "n": 3}
  )
  for end in range(0, len(whole) - 1, 7):
    check_refused(write(tmp_path, whole[:end]))


def npz(path, members: dict[str, bytes]):
  with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
    for name, data in members.items():
      archive.writestr(name, data)
  return path


def test_an_npz_of_objects_is_refused(tmp_path):
  path = tmp_path / "model.npz"
  np.savez(path, v_template=np.array([{"a": 1}]), allow_pickle=True)
  check_refused(path, "Python objects in v_template")


@pytest.mark.parametrize("shape", [(10**6, 10**5), (2**62, 4), (4,), (-3,)])
def test_an_npz_whose_header_and_bytes_differ_is_refused(tmp_path, shape):
  file = io.BytesIO()
  header = {"descr": "<f8", "fortran_order": False, "shape": shape}
  np.lib.format.write_array_header_1_0(file, header)
  path = npz(tmp_path / "model.npz", {"v_template.npy": file.getvalue() + bytes(24)})
  check_refused(path, "v_template")


def test_damaged_npzs_are_refused(tmp_path):
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
    check_refused(path)
  check_refused(npz(path, {"readme.txt": b"no array"}))


def test_other_files_are_refused(tmp_path):
  check_refused(tmp_path / "missing.pkl", "there is no")
  (tmp_path / "model.obj").write_text("v 0 0 0")
  check_refused(tmp_path / "model.obj", "neither")
  (tmp_path / "folder.npz").mkdir()
  check_refused(tmp_path / "folder.npz")
