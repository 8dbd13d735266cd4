"""Turns decoded frames into the pictures that a player shows: upright, in sRGB."""

import functools
import struct
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type as SideData
from jaxtyping import Float, UInt8

from mhmr_jax.files import yuv

# The codes of ITU-T H.273.
_PQ, _HLG = 16, 18
_BT709, _BT2020 = 1, 9
_FULL_RANGE = 2
_MAX_ASPECT = 8  # A pixel that is more oblong than this is an error of the file.

# HDR white, the brightness of paper, is at 203 cd/m² (BT.2408).
_WHITE = 203.0
# Above this share of white, tones are compressed, such that highlights stay apart.
_KNEE = 0.6
# Linear light in BT.2020's primaries to BT.709's, which sRGB has (BT.2087).
_FROM_BT2020 = np.array(
  [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
)


class Layout(NamedTuple):
  """How decoded frames are scaled, turned and mirrored to be shown.

  Attributes:
    width, height: the size of the shown frame before it is turned, px; its pixels are
      square.
    swapped: whether x and y change places.
    mirrored: whether x and y are then mirrored.
  """

  width: int
  height: int
  swapped: bool
  mirrored: tuple[bool, bool]

  @property
  def size(self) -> tuple[int, int]:
    """Width and height of the picture, px."""
    return (self.height, self.width) if self.swapped else (self.width, self.height)


def layout(frame: av.VideoFrame, sample_aspect: float) -> Layout:
  """Reads how a frame is shown.

  Args:
    frame: as decoded; a phone's frame says by how much it is turned.
    sample_aspect: width over height of a pixel; 0 where it is not known.
  """
  if not 1 / _MAX_ASPECT < sample_aspect < _MAX_ASPECT:
    sample_aspect = 1.0
  width = round(frame.width * sample_aspect)
  side_data: Any = frame.side_data
  matrix = side_data.get(SideData.DISPLAYMATRIX)
  if matrix is None:
    return Layout(width, frame.height, False, (False, False))
  # A point (x, y) is shown at (a x + c y, b x + d y).
  a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix)[:36])
  if abs(b) > abs(a):
    return Layout(width, frame.height, True, (c < 0, b < 0))
  return Layout(width, frame.height, False, (a < 0, d < 0))


def picture(frame: av.VideoFrame, shown: Layout) -> UInt8[np.ndarray, "height width 3"]:
  """Converts a frame to RGB as it is shown; a frame of another size is resampled."""
  rgb: np.ndarray = frame.reformat(
    shown.width, shown.height, "rgb24", threads=1
  ).to_ndarray()
  if frame.color_trc in (_PQ, _HLG):
    rgb = cv2.LUT(rgb, _tones(int(frame.color_trc)))
  if frame.color_primaries == _BT2020:
    # The matrix is for linear light. On encoded values it is exact for greys, and to
    # first order for colours near them.
    rgb = cv2.transform(rgb, _FROM_BT2020)
  return np.ascontiguousarray(_upright(rgb, shown))


def stored(frame: av.VideoFrame, shown: Layout) -> yuv.Yuv:
  """Converts a frame to what an encoder takes; usually there is nothing to convert.

  The result may share its pixels with the frame. They must not be written to, because
  the decoder may predict later frames from them.
  """
  as_it_is = (
    frame.format.name == "yuv420p"
    and frame.colorspace == _BT709
    and frame.color_range != _FULL_RANGE
    and frame.color_trc not in (_PQ, _HLG)
    and frame.color_primaries != _BT2020
    and (frame.width, frame.height) == (shown.width, shown.height)
    and frame.width % 2 == frame.height % 2 == 0
  )
  if not as_it_is:
    return yuv.from_rgb(picture(frame, shown))
  return yuv.Yuv(*(_upright(plane, shown) for plane in yuv.planes(frame)))


def _upright(pixels: np.ndarray, shown: Layout) -> np.ndarray:
  """Turns an image, or one of its planes."""
  if shown.swapped:
    pixels = pixels.swapaxes(0, 1)
  x, y = (-1 if mirrored else 1 for mirrored in shown.mirrored)
  return pixels[::y, ::x]


@functools.cache
def _tones(transfer: int) -> UInt8[np.ndarray, "256"]:
  """The sRGB value of each value of an HDR transfer function."""
  signal = np.arange(256) / 255
  light = (_pq(signal) if transfer == _PQ else _hlg(signal)) / _WHITE
  room = 1 - _KNEE
  # It goes on with the same slope, and approaches 1.
  compressed = _KNEE + room * (1 - np.exp(-np.maximum(light - _KNEE, 0) / room))
  light = np.where(light < _KNEE, light, compressed)
  encoded = np.where(
    light < 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055
  )
  return np.round(255 * encoded).astype(np.uint8)


def _hlg(signal: Float[np.ndarray, "values"]) -> Float[np.ndarray, "values"]:
  """Light of a display of 1000 cd/m², by BT.2100's hybrid log-gamma."""
  a, b, c = 0.17883277, 0.28466892, 0.55991073
  scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
  return 1000 * scene**1.2


def _pq(signal: Float[np.ndarray, "values"]) -> Float[np.ndarray, "values"]:
  """Light in cd/m², by BT.2100's perceptual quantisation."""
  m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
  power = signal ** (1 / m2)
  return 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
