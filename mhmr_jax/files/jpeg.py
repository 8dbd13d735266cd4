"""Reads stored JPEG frames, and the PNGs of their masks."""

import contextlib
import io
import struct

import cv2
import numpy as np
from jaxtyping import UInt8

from mhmr_jax.errors import InputError
from mhmr_jax.files import png_chunks

# EXIF's orientations that exchange width and height.
_SIDEWAYS = (5, 6, 7, 8)
_JPEG = b"\xff\xd8"  # The marker that every image begins with.
# The markers of JPEG's segments that hold the size: SOF0 to SOF15, without DHT, JPG
# and DAC.
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Frames of 8K; clips that the package stores have at most half as many.
_MAX_PIXELS = 36_000_000


def decode(data: bytes, colour: bool) -> UInt8[np.ndarray, "height width *channels"]:
  """Decodes a stored JPEG or PNG to RGB or, without a channel axis, to grey pixels.

  Raises:
    InputError: the bytes are no such image, or claim more pixels than stored frames
      have.
  """
  width, height = _stated_size(data)
  if width * height > _MAX_PIXELS:
    raise InputError(
      f"A stored frame claims {width}x{height} pixels: the clip is damaged."
    )
  mode = cv2.IMREAD_COLOR_RGB if colour else cv2.IMREAD_GRAYSCALE
  image = None
  with contextlib.suppress(cv2.error):  # Raised for no bytes at all.
    image = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
  if image is None:
    raise _damaged()
  return image


def _stated_size(data: bytes) -> tuple[int, int]:
  """The width and height in an image's header, before EXIF's orientation.

  Raises:
    InputError: there is none.
  """
  if data.startswith(png_chunks.SIGNATURE):
    if len(data) <= 24 or not png_chunks.are_within(data):
      raise _damaged()
    width, height = struct.unpack_from(">2I", data, 16)
    return width, height
  place = len(_JPEG)
  while len(data) >= place + 9 and data[place] == 0xFF:
    marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
    if marker in _FRAME_MARKERS:
      height, width = struct.unpack_from(">2H", data, place + 5)
      return width, height
    # A marker may be preceded by any number of these bytes.
    place += 1 if marker == 0xFF else 2 + length
  raise _damaged()


def size(data: bytes) -> tuple[int, int]:
  """Returns the width and height that `decode` would give, from the header alone.

  Raises:
    InputError: the bytes do not begin as a JPEG image does.
  """
  if data[:2] == _JPEG and b"Exif" not in data:  # PIL takes fifty times as long.
    return _stated_size(data)
  # Most users of this module decode, and need not wait for this import.
  from PIL import ExifTags, Image

  try:
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
      width, height = image.size
      orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
  except Exception as error:  # Damage can raise any.
    raise _damaged() from error
  return (height, width) if orientation in _SIDEWAYS else (width, height)


def _damaged() -> InputError:
  return InputError("A stored frame is not a JPEG image: the clip is damaged.")
