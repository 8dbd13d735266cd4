"""Pickles as Python 2 wrote them: SMPL's, 3DPW's and Kinetics' labels are such."""

import io
import pickle
import struct
import sys
import types
from typing import ClassVar

import pytest


class Python2Pickler(pickle._Pickler):
  """Writes text and bytes alike, as Python 2's str."""

  dispatch: ClassVar[dict] = dict(pickle._Pickler.dispatch)

  def save_string(self, value):
    data = value.encode("latin1") if isinstance(value, str) else value
    self.write(b"T" + struct.pack("<i", len(data)) + data)
    self.memoize(value)

  dispatch[bytes] = dispatch[str] = save_string


def dumps(value) -> bytes:
  """A pickle of protocol 2 with the names that files of 2015 have."""
  file = io.BytesIO()
  Python2Pickler(file, protocol=2).dump(value)
  data = file.getvalue().replace(b"numpy._core.", b"numpy.core.")
  return data.replace(b"scipy.sparse._csc", b"scipy.sparse.csc")


def stand_in_for_chumpy(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
  """Makers of chumpy's objects, of the package that pickled SMPL's official files."""

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
