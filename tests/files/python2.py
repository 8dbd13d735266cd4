"""Pickles as Python 2 wrote them: SMPL's, 3DPW's and Kinetics' labels are such."""

import io
import pickle
import struct
from typing import ClassVar


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
