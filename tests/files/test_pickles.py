"""Plain pickles load; hostile and damaged ones are refused in one sentence."""

import os
import pickle

import numpy as np
import pytest
from scipy import sparse

from mhmr_jax.errors import InputError
from mhmr_jax.files import pickles
from tests.files import python2


def write(folder, data: bytes):
  path = folder / "data.pkl"
  path.write_bytes(data)
  return path


def check_refused(path, match: str = "") -> None:
  with pytest.raises(InputError, match=rf"(?s)(?=.*{path.name}).*{match}"):
    pickles.restricted_load(path)


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
  matrix = pickles.restricted_load(path)["J"]
  assert isinstance(matrix, form)
  np.testing.assert_array_equal(matrix.toarray(), dense)


def test_many_small_objects_are_refused(tmp_path):
  # A list of empty dicts: each takes one byte in the file, and 64 in memory.
  data = b"\x80\x04](" + b"}" * (1 << 20) + b"e."
  check_refused(write(tmp_path, data), "too many objects for a file of arrays")


def test_a_chumpy_object_of_shared_lists_is_refused(tmp_path):
  """Their array would have 2^40 numbers."""
  nested = b"](K\x01K\x02e"
  for _ in range(40):
    nested = b"](" + nested + b"q\x01h\x01e"
  data = b"\x80\x02cchumpy.ch\nCh\n)\x81}X\x01\x00\x00\x00x" + nested + b"sb."
  check_refused(write(tmp_path, data), "something else than an array")


def _shared(inner: bytes, outer: bytes) -> bytes:
  """A container of one twice, of one twice, and so on: 2^40 objects."""
  data = inner
  for number in range(40):
    data = outer[:-1] + data + b"q%bh%b" % ((bytes([number]),) * 2) + outer[-1:]
  return data


@pytest.mark.parametrize(
  ("data", "sentence"),
  [
    (_shared(b"]", b"](e"), "containers that hold each other too often"),
    (b"}K\x01" + _shared(b"]", b"](e") + b"s", "containers that hold each other"),
    (b"]q\x00h\x00a", "containers that hold each other too often"),
    (b"}" + _shared(b")", b"(t") + b"Ns", "tuples within tuples"),
    (b"cnumpy\ndtype\n" + _shared(b"]", b"](e") + b"\x85R", "without a name"),
    (
      b"c_codecs\nencode\nX\x01\x00\x00\x00a" + _shared(b"]", b"](e") + b"\x86R",
      "another encoding",
    ),
  ],
)
def test_containers_that_share_their_parts_are_not_unfolded(tmp_path, data, sentence):
  check_refused(write(tmp_path, b"\x80\x02" + data + b"."), sentence)


def test_shared_parts_of_a_fair_number_are_read(tmp_path):
  shared = [1.0, 2.0, (3, 4)]
  value = {"a": [shared] * 1000, "b": {"c": shared, (1, (2, 3)): shared}}
  path = write(tmp_path, pickle.dumps(value, protocol=2))
  assert pickles.restricted_load(path) == value


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
    check_refused(path, "names? .*which no such file needs")
    assert not witness.exists()


def array_pickle(shape, dtype, data) -> bytes:
  """What an array pickles to, with any of its parts made up."""
  array = np.zeros(1)
  reconstruct, args, _ = array.__reduce__()

  class Made:
    def __reduce__(self):
      return reconstruct, args, (1, shape, dtype, False, data)

  return pickle.dumps({"v_template": Made()}, protocol=2)


def sparse_pickle(data, indices, indptr) -> bytes:
  """What a sparse matrix pickles to, with any of its parts made up."""

  class Made:
    def __reduce__(self):
      state = {"_shape": (1, 1), "data": data, "indices": indices, "indptr": indptr}
      return sparse.csr_matrix, (), state

  return pickle.dumps({"J": Made()}, protocol=2)


BUILD_ON_CLASS = b"cnumpy\ndtype\n}X\x05\x00\x00\x00valueK\x01sb."
HOSTILE = {
  "a huge shape": array_pickle((10**6, 10**6), np.dtype("f8"), b"12345678"),
  "an overflowing shape": array_pickle((2**61, 8), np.dtype("f8"), b""),
  "a negative shape": array_pickle((-1, -1), np.dtype("f8"), b"12345678"),
  "a shape of text": array_pickle("no", np.dtype("f8"), b"12345678"),
  "a shape of lists": array_pickle(([[]], 10**12), np.dtype("f8"), b"12345678"),
  "a shape of bytes": array_pickle((b"12345678", 10**12), np.dtype("f8"), b"12345678"),
  "a sparse matrix of lists": sparse_pickle([[1.0]], [0], [0, 1]),
  "objects": pickle.dumps({"v_template": np.array([{}, None])}, protocol=2),
  "objects by bytes": array_pickle((1,), np.dtype("O"), b"12345678"),
  "structures": array_pickle((1,), np.dtype([("x", "f8")]), b"12345678"),
  "subarrays": b"cnumpy\ndtype\n(X\x06\x00\x00\x00(2,)f8K\x00K\x01tR.",
  "a sparse matrix beyond itself": pickle.dumps(
    {"J": sparse.csr_matrix(np.eye(3))}, protocol=2
  ).replace(np.array([0, 1, 2], "i4").tobytes(), np.array([0, 1, 9], "i4").tobytes()),
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
  np.testing.assert_array_equal(pickles.restricted_load(path)["a"], np.arange(3))


def test_a_pickle_cut_anywhere_is_refused(tmp_path, monkeypatch):
  chumpy = python2.stand_in_for_chumpy(monkeypatch)
  whole = python2.dumps(
    {"v": chumpy.ch(np.ones((2, 3))), "J": sparse.csc_matrix(np.eye(3)), "n": 3}
  )
  for end in range(0, len(whole) - 1, 7):
    check_refused(write(tmp_path, whole[:end]))


def test_a_file_that_is_not_there_is_named(tmp_path):
  check_refused(tmp_path / "missing.pkl", "No such file")
