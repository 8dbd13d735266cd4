"""The restricted unpickler that all readers of pickles share."""

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
