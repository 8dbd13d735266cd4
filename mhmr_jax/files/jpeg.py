"""Reads stored JPEG frames."""

import contextlib
import io

import cv2
import numpy as np
from jaxtyping import UInt8

from mhmr_jax.errors import InputError

# EXIF's orientations that exchange width and height.
_SIDEWAYS = (5, 6, 7, 8)


def decode(data: bytes, colour: bool) -> UInt8[np.ndarray, "height width *channels"]:
  """Decodes a stored JPEG to RGB or, without a channel axis, to grey pixels.

  Raises:
    InputError: the bytes are no JPEG image.
  """
  mode = cv2.IMREAD_COLOR_RGB if colour else cv2.IMREAD_GRAYSCALE
  image = None
  with contextlib.suppress(cv2.error):  # Raised for no bytes at all.
    image = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
  if image is None:
    raise _damaged()
  return image


def size(data: bytes) -> tuple[int, int]:
  """Returns the width and height that `decode` would give, from the header alone.

  Raises:
    InputError: the bytes do not begin as a JPEG image does.
  """
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
