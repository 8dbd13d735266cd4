"""Flow as images: KITTI's 16-bit PNG for storage, a colour wheel for pictures."""

import struct
import zlib

import cv2
import numpy as np
from isal import isal_zlib
from jaxtyping import Bool, Float

# KITTI 2015's encoding: 64 steps a pixel, zero flow at 2^15; the channels are
# R = u, G = v, B = valid.
_STEPS = 64.0
_ZERO = 2.0**15
_FIRST_BIT = np.uint16(1 << 15)
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Bits a channel, colour type RGB, and the only compression, filters and interlacing.
_KIND = struct.pack(">5B", 16, 2, 0, 0, 0)
_FILTER_UP = 2  # Each byte less the one above it: next to nothing, in smooth flow.


def encode_png(
  flow: Float[np.ndarray, "height width 2"],
  valid: Bool[np.ndarray, "height width"] | None = None,
) -> bytes:
  """Flow in pixels to a PNG as KITTI's: exact to 1/128 px, clipped at +-511 px.

  Args:
    flow: u (right) and v (down).
    valid: False where the flow is not known; None where all of it is.
  """
  height, width = flow.shape[:2]
  # Rounded, and kept within 16 bits; to turn the first is to add 2^15.
  steps = cv2.addWeighted(flow, _STEPS, flow, 0, 0, dtype=cv2.CV_16S)
  image = np.ones((height, width, 3), np.uint16)
  cv2.mixChannels([steps.view(np.uint16) ^ _FIRST_BIT], [image], [0, 0, 1, 1])
  if valid is not None:
    cv2.insertChannel(valid.astype(np.uint16), image, 2)
  # OpenCV's writer takes three times as long: for its zlib, not for what is around it.
  rows = image.byteswap().view(np.uint8).reshape(height, 6 * width)
  lines = np.full((height, 1 + 6 * width), _FILTER_UP, np.uint8)
  lines[0, 1:] = rows[0]
  np.subtract(rows[1:], rows[:-1], out=lines[1:, 1:])
  size = struct.pack(">2I", width, height)
  return b"".join(
    [
      _SIGNATURE,
      _chunk(b"IHDR", size + _KIND),
      _chunk(b"IDAT", isal_zlib.compress(lines, 1)),
      _chunk(b"IEND", b""),
    ]
  )


def _chunk(name: bytes, data: bytes) -> bytes:
  """A part of a PNG: how long it is, its name, its data, and a check of the two."""
  check = zlib.crc32(data, zlib.crc32(name))
  return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)


def decode_png(data: bytes) -> Float[np.ndarray, "height width 2"]:
  """Flow in pixels from a PNG as KITTI's, whether marked valid or not.

  Raises:
    ValueError: where the bytes are no 16-bit PNG of three channels.
  """
  return decode_png_with_valid(data)[0]


def decode_png_with_valid(
  data: bytes,
) -> tuple[Float[np.ndarray, "height width 2"], Bool[np.ndarray, "height width"]]:
  """As `decode_png`, and where the flow is known."""
  image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
  if image is None or image.dtype != np.uint16 or image.ndim != 3:
    raise ValueError("the flow is not a 16-bit PNG of three channels")
  flow = (image[..., 2:0:-1].astype(np.float32) - _ZERO) / _STEPS
  return flow, image[..., 0] > 0
