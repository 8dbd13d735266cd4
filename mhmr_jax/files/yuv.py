"""Pictures as videos store them: YUV 4:2:0, one colour for each block of 2 x 2 pixels.

They have 8 bits, BT.709's matrix and limited range, like nearly all video: a decoded
frame can be encoded again without a conversion to RGB and back, which would take longer
than the encoder.
"""

from typing import NamedTuple

import av
import cv2
import numpy as np
from jaxtyping import Float, UInt8

# Converts RGB in [0, 255] to Y, U and V; the last column is added (ITU-R BT.709).
_FROM_RGB = np.array(
  [
    [0.182586, 0.614231, 0.062007, 16],
    [-0.100644, -0.338572, 0.439216, 128],
    [0.439216, -0.398942, -0.040274, 128],
  ]
)
_BLACK, _GREY = 16, 128


class Yuv(NamedTuple):
  """A picture of even width and height."""

  y: UInt8[np.ndarray, "height width"]
  u: UInt8[np.ndarray, "half_height half_width"]
  v: UInt8[np.ndarray, "half_height half_width"]

  def copy(self) -> "Yuv":
    """Copies all pixels."""
    return Yuv(*(plane.copy() for plane in self))


def from_rgb(rgb: UInt8[np.ndarray, "height width 3"]) -> Yuv:
  """Converts a picture; an odd last row or column is lost."""
  height, width = (length - length % 2 for length in rgb.shape[:2])
  even = np.ascontiguousarray(rgb[:height, :width])
  y = cv2.transform(even, _FROM_RGB[:1])
  halved = cv2.resize(even, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
  u, v = cv2.split(cv2.transform(halved, _FROM_RGB[1:]))
  return Yuv(y.reshape(height, width), u, v)


def colour(rgb: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
  """Converts colours of [0, 255] to Y, U and V."""
  return rgb @ _FROM_RGB[:, :3].T + _FROM_RGB[:, 3]


def black(width: int, height: int) -> Yuv:
  """A black picture; an odd last row or column is lost."""
  grey = np.full((height // 2, width // 2), _GREY, np.uint8)
  even = (height - height % 2, width - width % 2)
  return Yuv(np.full(even, _BLACK, np.uint8), grey, grey.copy())


def planes(stored: av.VideoFrame) -> Yuv:
  """The pixels of a yuv420p frame of even size, in the frame's own memory."""
  sizes = [(stored.height // step, stored.width // step) for step in (1, 2, 2)]
  return Yuv(
    *(
      np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[
        :height, :width
      ]
      for plane, (height, width) in zip(stored.planes, sizes, strict=True)
    )
  )


def frame(picture: Yuv) -> av.VideoFrame:
  """Makes a frame, whose pixels `planes` gives."""
  height, width = picture.y.shape
  made = av.VideoFrame(width, height, "yuv420p")
  for target, plane in zip(planes(made), picture, strict=True):
    target[:] = plane
  return made


def shrunk(picture: Yuv, longest: int) -> Yuv:
  """Scales a picture down if its longer side exceeds so many pixels."""
  height, width = picture.y.shape
  scale = longest / max(height, width)
  if scale >= 1:
    return picture
  half = [max(1, round(length * scale / 2)) for length in (width, height)]
  sizes = ([2 * half[0], 2 * half[1]], half, half)
  return Yuv(
    *(
      np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA))
      for plane, size in zip(picture, sizes, strict=True)
    )
  )
