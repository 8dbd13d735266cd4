"""What a video loses after the lens: sharpness in motion, and to compression."""

import math
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

Rng = np.random.Generator

_STILL = 1.0  # Pixels of blur that nobody sees.
_FAST = 5.0  # Pixels of blur that three samples would show as three edges.
_SMOOTH = 5  # Pixels that motion is averaged over.
_BLOCK = 16


class Codec(NamedTuple):
  """A video codec's coarsest habits.

  Attributes:
    quality: JPEG's.
    hold: grey levels; blocks that change less keep what they showed, so noise and
      slow motion freeze and then jump.
    keyframe: every so many frames all blocks are new.
  """

  quality: int
  hold: float
  keyframe: int

  def run(
    self, images: list[UInt8[np.ndarray, "size size 3"]]
  ) -> list[UInt8[np.ndarray, "size size 3"]]:
    """The frames as they come out of a decoder."""
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
    """1 in the blocks that keep what they showed."""
    size = len(image)
    blocks = -(-size // _BLOCK)
    change = cv2.resize(
      cv2.absdiff(image, shown), (blocks, blocks), interpolation=cv2.INTER_AREA
    )
    held = (change.max(-1) < self.hold).astype(np.uint8)
    return cv2.resize(held, (size, size), interpolation=cv2.INTER_NEAREST)


class Recording(NamedTuple):
  """How one video was taken and stored."""

  exposure: float = 0.0  # Of the time between frames.
  codec: Codec | None = None

  def blur(
    self,
    image: UInt8[np.ndarray, "size size 3"],
    flow: Float[np.ndarray, "size size 2"],
  ) -> UInt8[np.ndarray, "size size 3"]:
    """Mean over the exposure, which has its middle at the frame's own time.

    Args:
      image: sharp.
      flow: to the next frame, pixels.
    """
    longest = self.exposure * cv2.norm(flow, cv2.NORM_INF)
    if longest < _STILL:
      return image
    part = _moving(flow, _STILL / 2 / self.exposure, _SMOOTH + math.ceil(longest / 2))
    # What moves fast smears over what lies beside it.
    spread = cv2.blur(flow[part], (_SMOOTH, _SMOOTH)) * np.float32(self.exposure)
    # OpenCV moves four channels twice as fast as three.
    sharp = cv2.cvtColor(image[part], cv2.COLOR_RGB2RGBA)
    blurred = image.copy()
    blurred[part] = cv2.cvtColor(
      _mean_along(sharp, spread, 3 if longest < _FAST else 5), cv2.COLOR_RGBA2RGB
    )
    return blurred


def _moving(
  flow: Float[np.ndarray, "size size 2"], least: float, margin: int
) -> tuple[slice, slice]:
  """Rows and columns that hold what moves by `least` pixels, with a margin around."""
  size = len(flow)
  fastest = np.abs(flow).reshape(size, -1)
  columns = fastest.max(0).reshape(size, 2).max(1)
  part = []
  for speed in (fastest.max(1), columns):
    found = np.flatnonzero(speed > least)
    part.append(slice(max(0, found[0] - margin), found[-1] + 1 + margin))
  return part[0], part[1]


def _mean_along(
  image: UInt8[np.ndarray, "rows columns 4"],
  way: Float[np.ndarray, "rows columns 2"],
  taps: int,
) -> UInt8[np.ndarray, "rows columns 4"]:
  """Mean over each pixel's way, whose middle it is; by an odd number of taps."""
  u, v = cv2.split(way)
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
