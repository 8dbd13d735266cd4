"""Stores flow as images: KITTI's 16-bit PNG."""

import struct
import zlib
from typing import NamedTuple

import cv2
import numpy as np
from isal import isal_zlib
from jaxtyping import Bool, Float, UInt8

from mhmr_jax.files import png_chunks

# KITTI 2015's encoding: 64 steps a pixel, zero flow at 2^15; the channels are
# R = u, G = v, B = valid.
_STEPS = 64.0
_ZERO = 2.0**15
_FIRST_BIT = np.uint16(1 << 15)
_HEADER = struct.pack(">I", 13) + b"IHDR"
# 16 bits a channel, colour type RGB; PNG's only compression and filter methods; no
# interlacing.
_KIND = struct.pack(">5B", 16, 2, 0, 0, 0)
_MAX_PIXELS = 1 << 24  # Twice those of 4K; OpenCV takes up to 64 bytes for each.
_MAX_RATIO = 1032  # Bytes that a byte of zlib's can stand for.
_FILTER_UP = 2  # Each byte minus the one above it, which is near 0 in smooth flow.


class Region(NamedTuple):
  """A rectangle of pixels, without those at x1 and y1."""

  x0: int
  y0: int
  x1: int
  y1: int


def encode_png(
  flow: Float[np.ndarray, "height width 2"],
  valid: Bool[np.ndarray, "height width"] | None = None,
) -> bytes:
  """Encodes flow in pixels as KITTI does: exact to 1/128 px, clipped at +-511 px.

  Args:
    flow: u (right) and v (down).
    valid: False where the flow is not known; None if all of it is known.
  """
  height, width = flow.shape[:2]
  # This rounds and clips to signed 16 bits; flipping the first bit then adds 2^15.
  steps = cv2.addWeighted(flow, _STEPS, flow, 0, 0, dtype=cv2.CV_16S)
  image = np.ones((height, width, 3), np.uint16)
  cv2.mixChannels([steps.view(np.uint16) ^ _FIRST_BIT], [image], [0, 0, 1, 1])
  if valid is not None:
    cv2.insertChannel(valid.astype(np.uint16), image, 2)
  # OpenCV's own PNG writer takes three times as long, because of its zlib.
  rows = image.byteswap().view(np.uint8).reshape(height, 6 * width)
  lines = np.full((height, 1 + 6 * width), _FILTER_UP, np.uint8)
  lines[0, 1:] = rows[0]
  np.subtract(rows[1:], rows[:-1], out=lines[1:, 1:])
  size = struct.pack(">2I", width, height)
  return b"".join(
    [
      png_chunks.SIGNATURE,
      _chunk(b"IHDR", size + _KIND),
      _chunk(b"IDAT", isal_zlib.compress(lines, 1)),
      _chunk(b"IEND", b""),
    ]
  )


def _chunk(name: bytes, data: bytes) -> bytes:
  """A PNG chunk: the data's length, the name, the data, and the CRC of the last two."""
  check = zlib.crc32(data, zlib.crc32(name))
  return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)


def decode_png(
  data: bytes, region: Region | None = None
) -> Float[np.ndarray, "height width 2"]:
  """Decodes flow in pixels from KITTI's PNG, also where it is marked as not valid.

  Args:
    data: the file.
    region: the pixels to decode, which takes less time; the flow is zero outside. It
      may reach out of the image. None decodes all pixels.

  Raises:
    ValueError: the bytes are no 16-bit PNG of three channels, or claim more pixels
      than any video has.
  """
  width, height = _stated_size(data)
  if region is None:
    return _flow(_pixels(data, Region(0, 0, width, height)))
  x0, y0 = max(region.x0, 0), max(region.y0, 0)
  inside = Region(x0, y0, min(region.x1, width), min(region.y1, height))
  flow = np.zeros((height, width, 2), np.float32)
  if inside.x0 < inside.x1 and inside.y0 < inside.y1:
    flow[inside.y0 : inside.y1, inside.x0 : inside.x1] = _flow(_pixels(data, inside))
  return flow


def decode_png_with_valid(
  data: bytes,
) -> tuple[Float[np.ndarray, "height width 2"], Bool[np.ndarray, "height width"]]:
  """Returns what `decode_png` does, and where the flow is known; raises alike."""
  pixels = _pixels(data, Region(0, 0, *_stated_size(data)))
  return _flow(pixels), (pixels[..., 4] | pixels[..., 5]) > 0


def _stated_size(data: bytes) -> tuple[int, int]:
  """The width and height in the header; raises as `decode_png` does."""
  # They stand at the same place in every PNG; OpenCV makes room for them at once.
  width, height = struct.unpack(">2I", data[16:24]) if len(data) > 24 else (0, 0)
  # Each pixel has six bytes, and zlib makes no more than a thousand of one.
  if not 0 < width * height <= min(_MAX_PIXELS, len(data) * _MAX_RATIO // 6):
    raise _other_file()
  return width, height


def _other_file() -> ValueError:
  return ValueError("the flow is not a 16-bit PNG of three channels")


def _flow(
  pixels: UInt8[np.ndarray, "height width 6"],
) -> Float[np.ndarray, "height width 2"]:
  # The bytes of u and v, in the processor's order.
  swapped = np.empty((*pixels.shape[:2], 4), np.uint8)
  cv2.mixChannels([pixels], [swapped], [1, 0, 0, 1, 3, 2, 2, 3])
  # Flipping the first bit takes away 2^15 and leaves a signed number.
  steps = (swapped.view(np.uint16) ^ _FIRST_BIT).view(np.int16)
  return np.multiply(steps, np.float32(1 / _STEPS), dtype=np.float32)


def _pixels(data: bytes, region: Region) -> UInt8[np.ndarray, "height width 6"]:
  """The bytes of each pixel as PNG orders them; raises as `decode_png` does."""
  lines = _lines_of_encoder(data)
  if lines is not None:
    columns = lines[:, 1 + 6 * region.x0 : 1 + 6 * region.x1]
    rows = np.array(columns[region.y0 : region.y1])
    np.add.reduce(columns[: region.y0 + 1], out=rows[0])
    return _running_sums(rows).reshape(len(rows), -1, 6)
  if not png_chunks.are_within(data):
    raise _other_file()
  image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
  if image is None or image.dtype != np.uint16 or image.ndim != 3:
    raise _other_file()
  part = image[region.y0 : region.y1, region.x0 : region.x1, ::-1]
  return np.ascontiguousarray(part, ">u2").view(np.uint8)


def _lines_of_encoder(data: bytes) -> UInt8[np.ndarray, "height columns"] | None:
  """The filtered lines of what `encode_png` wrote; None for other PNGs and damage.

  To inflate these and to add them up takes a third of OpenCV's time.
  """
  is_own = data[8:16] == _HEADER and data[24:29] == _KIND and data[37:41] == b"IDAT"
  (length,) = struct.unpack(">I", data[33:37]) if is_own else (0,)
  if not is_own or data[45 + length :] != _chunk(b"IEND", b""):
    return None
  width, height = struct.unpack(">2I", data[16:24])
  shape = (height, 1 + 6 * width)
  inflate = isal_zlib.decompressobj()
  try:
    # The byte too many lets it go on to the checksum.
    raw = inflate.decompress(data[41 : 41 + length], shape[0] * shape[1] + 1)
  except Exception:  # Damage; the name of its error has no type that mypy accepts.
    return None
  if not inflate.eof or len(raw) != shape[0] * shape[1]:
    return None
  lines = np.frombuffer(raw, np.uint8).reshape(shape)
  return lines if (lines[:, 0] == _FILTER_UP).all() else None


def _running_sums(
  rows: UInt8[np.ndarray, "rows columns"],
) -> UInt8[np.ndarray, "rows columns"]:
  """The sums of each row and all before it, modulo 256."""
  # NumPy's own sums go down the columns one by one, which takes six times as long
  # as adding whole tables some times.
  sums, spare = rows, np.empty_like(rows)
  distance = 1
  while distance < len(rows):
    spare[:distance] = sums[:distance]
    np.add(sums[distance:], sums[:-distance], out=spare[distance:])
    sums, spare = spare, np.empty_like(rows) if sums is rows else sums
    distance *= 2
  return sums
