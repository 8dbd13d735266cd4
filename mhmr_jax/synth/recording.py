"""What a video loses after the lens: sharpness in motion, and to compression."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

Rng = np.random.Generator

_STILL = 1.0  # Pixels of blur that nobody sees.
_FAST = 5.0  # Pixels of blur that three samples would show as three edges.
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
    image: Float[np.ndarray, "size size 3"],
    flow: Float[np.ndarray, "size size 2"],
  ) -> Float[np.ndarray, "size size 3"]:
    """Mean over the exposure, which has its middle at the frame's own time.

    Args:
      image: sharp.
      flow: to the next frame, pixels.
    """
    longest = self.exposure * cv2.norm(flow, cv2.NORM_INF)
    if longest < _STILL:
      return image
    # What moves fast smears over what lies beside it.
    spread = cv2.blur(flow, (5, 5)) * np.float32(self.exposure)
    taps = 3 if longest < _FAST else 5
    here = np.arange(len(image), dtype=np.float32)
    u, v = cv2.split(spread)
    # Eight bits are enough before the sensor's noise; OpenCV moves four channels of
    # them twice as fast as three.
    sharp = cv2.cvtColor(cv2.convertScaleAbs(image), cv2.COLOR_RGB2RGBA)
    total = sharp.astype(np.float32)
    for share in np.linspace(-0.5, 0.5, taps, dtype=np.float32):
      if share:
        x, y = here + share * u, here[:, None] + share * v
        moved = cv2.remap(
          sharp, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        cv2.accumulate(moved, total)
    return cv2.cvtColor(total * np.float32(1 / taps), cv2.COLOR_RGBA2RGB)


def sample(rng: Rng) -> Recording:
  """Draws how a video was taken: most have some blur, half some compression."""
  exposure = rng.choice([0.0, rng.uniform(0.15, 0.6)], p=[0.3, 0.7])
  codec = Codec(
    quality=int(rng.integers(45, 91)),
    hold=rng.choice([0.0, rng.uniform(1.0, 3.5)]),
    keyframe=int(rng.integers(8, 31)),
  )
  return Recording(float(exposure), codec if rng.random() < 0.5 else None)
