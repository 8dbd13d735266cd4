"""Checks the lengths that a PNG states, before OpenCV makes room for them."""

import struct

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_AROUND = 12  # Bytes of a chunk beside its data: the length, the name and the CRC.


def are_within(data: bytes) -> bool:
  """Whether every chunk of a PNG ends within the data (PNG's specification, 5.3).

  OpenCV's reader makes room for a chunk by the length that it states, so that four
  damaged bytes of a small file would take 4 GB.
  """
  place = len(SIGNATURE)
  while place + _AROUND <= len(data):
    (length,) = struct.unpack_from(">I", data, place)
    if data[place + 4 : place + 8] == b"IEND":
      return length == 0
    place += _AROUND + length
  return False
