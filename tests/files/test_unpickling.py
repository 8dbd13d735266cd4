"""The restricted unpickler that all readers of pickles share."""

import io
import pickle
import struct

import pytest

from mhmr_jax.files import unpickling
from mhmr_jax.files.untrusted import RefusedError


class Named(unpickling.Record):
  """What the pickles below name `there.thing`."""

  __slots__ = ()


NAMES = {("there", "thing"): Named}


def test_a_name_of_the_table_records_its_arguments_and_state():
  record = unpickling.load(b"cthere\nthing\n(K\x01K\x02tRK\x03b.", NAMES)
  assert type(record) is Named
  assert (record.args, record.state) == ((1, 2), 3)


def test_other_names_are_refused_and_not_imported(tmp_path):
  for name in (b"there\nother", b"os\nsystem", b"__builtin__\neval"):
    with pytest.raises(RefusedError, match="which no such file needs"):
      unpickling.load(b"c" + name + b"\n.", NAMES)


@pytest.mark.parametrize("data", [b"Pabc\n.", b"X\x03\x00\x00\x00abcQ."])
def test_persistent_ids_need_a_function_that_loads_them(data):
  assert unpickling.load(data, {}, lambda pid: f"the storage {pid}") == (
    "the storage abc"
  )
  with pytest.raises(RefusedError, match="PERSID"):
    unpickling.load(data, {})


def test_entries_of_pickles_extension_registry_are_refused():
  for data in (b"\x82\x01.", b"\x83\x01\x00.", b"\x84\x01\x00\x00\x00."):
    with pytest.raises(RefusedError, match="EXT"):
      unpickling.load(data, {})


def test_the_memo_is_no_longer_than_the_data():
  assert unpickling.load(b"K\x01r\x03\x00\x00\x00.", {}) == 1
  with pytest.raises(RefusedError, match="memo entry"):
    unpickling.load(b"K\x01r" + struct.pack("<I", 1 << 31) + b".", {})


def test_what_follows_the_pickle_is_left_alone():
  data = pickle.dumps({"a": 1}, protocol=2)
  assert unpickling.load(data + b"raw numbers", {}) == {"a": 1}


def test_pickles_in_a_row_are_read_one_after_the_other():
  file = io.BytesIO(pickle.dumps([1, 2], 2) + pickle.dumps("b", 0) + b"rest")
  assert [unpickling.load_next(file, {}) for _ in range(2)] == [[1, 2], "b"]
  assert file.read() == b"rest"


def _tuples(depth: int, again: bytes) -> bytes:
  """A dict whose key is a tuple of two tuples, of two tuples, and so on."""
  return b"\x80\x02})" + again * depth + b"K\x01s."


@pytest.mark.parametrize(
  "again",
  [
    b"2\x86",  # DUP, TUPLE2
    b"q\x00h\x00\x86",  # BINPUT, BINGET, TUPLE2
    b"\x94(h\x00h\x00t",  # MEMOIZE, MARK, two of BINGET, TUPLE
  ],
)
def test_keys_that_take_years_to_hash_are_refused(again):
  if again.startswith(b"\x94"):
    # Each turn memoises under the next number, and takes that one twice.
    parts = [again.replace(b"h\x00", b"h" + bytes([i])) for i in range(60)]
    data = b"\x80\x02}(N)" + b"".join(parts) + b"K\x01s."
  else:
    data = _tuples(60, again)
  with pytest.raises(RefusedError, match="tuples within tuples"):
    unpickling.load(data, {})
  ((key, value),) = unpickling.load(_tuples(3, b"2\x86"), {}).items()
  assert (key, value) == (((((),) * 2,) * 2,) * 2, 1)


def test_many_small_keys_and_a_large_one_are_read():
  values = {(i, (i, "a")): (b"c", 1 << 70) for i in range(100)}
  values[tuple(range(1000))] = 0
  for protocol in (0, 2, 5):
    names = {("_codecs", "encode"): Named}
    assert unpickling.load(pickle.dumps(values, protocol), names).keys() == (
      values.keys()
    )


def test_keys_of_one_long_number_are_bounded():
  number = b"\x8b\x00\x00\x10\x00" + bytes(0xFFFFF) + b"\x01"  # A MiB.
  data = b"\x80\x02}" + number + b"q\x000" + b"h\x00Ns" * 200 + b"."
  with pytest.raises(RefusedError, match="tuples within tuples"):
    unpickling.load(data, {})
