"""The losses of recording a video: motion blur and compression."""

import math
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

Rng = np.random.Generator

_STILL = 1.0  # Pixels: shorter blur is invisible.
_FAST = 5.0  # Pixels: in longer blur, three samples would show as three edges.
_SMOOTH = 5  # Pixels: side of the square that motion is averaged over.
_BLOCK = 16  # Pixels.


class Codec(NamedTuple):
  """A crude model of a video codec.

  Attributes:
    quality: the JPEG quality.
    hold: grey levels; a block that changes less repeats what it showed before, so that
      noise and slow motion freeze and then jump.
    keyframe: frames from one complete frame to the next.
  """

  quality: int
  hold: float
  keyframe: int

  def run(
    self, images: list[UInt8[np.ndarray, "size size 3"]]
  ) -> list[UInt8[np.ndarray, "size size 3"]]:
    """Returns the frames as a decoder would output them."""
    decoded: list[np.ndarray] = []
    for time, image in enumerate(images):
      options = (cv2.IMWRITE_JPEG_QUALITY, self.quality)
      data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1]
      new = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)
      if time % self.keyframe and self.hold:
        cv2.copyTo(decoded[-1], self._held(image, decoded[-1]), new)
      decoded.append(new)
    return decoded

  def _held(
    self,
    image: UInt8[np.ndarray, "size size 3"],
    shown: UInt8[np.ndarray, "size size 3"],
  ) -> UInt8[np.ndarray, "size size"]:
    """Returns 1 in the blocks that repeat what they showed before, else 0."""
    size = len(image)
    blocks = -(-size // _BLOCK)
    change = cv2.resize(
      cv2.absdiff(image, shown), (blocks, blocks), interpolation=cv2.INTER_AREA
    )
    held = (change.max(-1) < self.hold).astype(np.uint8)
    return cv2.resize(held, (size, size), interpolation=cv2.INTER_NEAREST)


class Recording(NamedTuple):
  """How one video was taken and stored."""

  exposure: float = 0.0  # Share of the time between frames.
  codec: Codec | None = None  # None: not compressed.

  def blur(
    self,
    image: UInt8[np.ndarray, "size size 3"],
    flow: Float[np.ndarray, "size size 2"],
  ) -> UInt8[np.ndarray, "size size 3"]:
    """Blurs a frame as its exposure does, which is centred on the frame's own time.

    Args:
      image: the sharp frame.
      flow: pixels to the next frame.
    """
    longest = self.exposure * cv2.norm(flow, cv2.NORM_INF)
    if longest < _STILL:
      return image
    part = _moving(flow, _STILL / 2 / self.exposure, _SMOOTH + math.ceil(longest / 2))
    # Averaging the flow makes fast things smear over what lies beside them.
    spread = cv2.blur(flow[part], (_SMOOTH, _SMOOTH)) * np.float32(self.exposure)
    # OpenCV resamples four channels twice as fast as three.
    sharp = cv2.cvtColor(image[part], cv2.COLOR_RGB2RGBA)
    blurred = image.copy()
    blurred[part] = cv2.cvtColor(
      _mean_along(sharp, spread, 3 if longest < _FAST else 5), cv2.COLOR_RGBA2RGB
    )
    return blurred


def _moving(
  flow: Float[np.ndarray, "size size 2"], least: float, margin: int
) -> tuple[slice, slice]:
  """Rows and columns around all that moves by more than `least` pixels."""
  size = len(flow)
  fastest = np.abs(flow).reshape(size, -1)
  columns = fastest.max(0).reshape(size, 2).max(1)
  part = []
  for speed in (fastest.max(1), columns):
    fast = np.flatnonzero(speed > least)
    part.append(slice(max(0, fast[0] - margin), fast[-1] + 1 + margin))
  return part[0], part[1]


def _mean_along(
  image: UInt8[np.ndarray, "rows columns 4"],
  motion: Float[np.ndarray, "rows columns 2"],
  taps: int,
) -> UInt8[np.ndarray, "rows columns 4"]:
  """Means of an odd number of samples along each pixel's motion, centred on it."""
  u, v = cv2.split(motion)
  x = np.arange(image.shape[1], dtype=np.float32)
  y = np.arange(image.shape[0], dtype=np.float32)[:, None]
  total = image.astype(np.float32)
  for share in np.linspace(-0.5, 0.5, taps, dtype=np.float32):
    if share:
      moved = cv2.remap(
        image,
        x + share * u,
        y + share * v,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
      )
      cv2.accumulate(moved, total)
  return cv2.convertScaleAbs(total, alpha=1 / taps)


def sample(rng: Rng) -> Recording:
  """Draws how a video was taken: most have some blur, half some compression."""
  exposure = rng.choice([0.0, rng.uniform(0.15, 0.6)], p=[0.3, 0.7])
  codec = Codec(
    quality=int(rng.integers(45, 91)),
    hold=rng.choice([0.0, rng.uniform(1.0, 3.5)]),
    keyframe=int(rng.integers(8, 31)),
  )
  return Recording(float(exposure), codec if rng.random() < 0.5 else None)
