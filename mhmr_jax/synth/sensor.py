"""What a camera does to the light it gets: exposure, colour, blur and noise."""

import dataclasses
import math

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

Rng = np.random.Generator


@dataclasses.dataclass(frozen=True)
class Sensor:
  """One camera's habits."""

  gain: Float[np.ndarray, "time 3"]  # Exposure times white balance, over time.
  contrast: float
  blur: float  # Standard deviation in pixels.
  # Grey levels, over more than the frame's height and width: each frame cuts a part.
  noise: Float[np.ndarray, "rows columns 3"]
  corner: Int[np.ndarray, "time 2"]  # Of that part.

  def record(
    self, time: int, image: UInt8[np.ndarray, "size size 3"]
  ) -> UInt8[np.ndarray, "size size 3"]:
    """The image that comes out of the camera at that frame."""
    size = len(image)
    if self.blur > 0.25:
      image = cv2.GaussianBlur(image, (0, 0), self.blur)
    y, x = self.corner[time]
    # As OpenCV's matrix of a gain and an offset: NumPy takes four times as long.
    level = np.zeros((3, 4), np.float32)
    np.fill_diagonal(level, self.gain[time] * self.contrast)
    level[:, 3] = 128 * (1 - self.contrast)
    lit = cv2.transform(image.astype(np.float32), level)
    noise = self.noise[y : y + size, x : x + size]
    # Rounded, and kept within 0 to 255.
    return np.asarray(cv2.add(lit, noise, dtype=cv2.CV_8U), np.uint8)


def grain(rng: Rng, side: int, strength: float) -> Float[np.ndarray, "side side 3"]:
  """Grey levels, normal to the eye: sums of four bytes, in a tenth of the time.

  Args:
    rng: the stream that it comes from.
    side: pixels.
    strength: standard deviation.
  """
  shape = (4, side, side, 3)
  bytes_ = np.frombuffer(rng.bytes(math.prod(shape)), np.uint8).reshape(shape)
  total = bytes_.sum(0, dtype=np.uint16).astype(np.float32)
  # Of a byte, the mean is 127.5 and the variance (256^2 - 1) / 12.
  return (total - np.float32(4 * 127.5)) * np.float32(strength / 147.8)


def sample(rng: Rng, frames: int, size: int) -> Sensor:
  """Draws a camera: a good one more often than not."""
  exposure = np.exp(rng.normal(0, 0.15))
  # Automatic exposure wanders slowly.
  wander = rng.normal(0, 0.03) * np.sin(
    np.arange(frames) * rng.uniform(0.02, 0.2) + rng.uniform(0, 2 * np.pi)
  )
  balance = 1 + rng.normal(0, 0.06) * np.array([1.0, 0.0, -1.0])
  side = size + size // 2
  noise = grain(rng, side, rng.gamma(1.5, 1.2))
  if rng.random() < 0.5:  # Demosaicing and compression smear it.
    noise = 1.5 * cv2.GaussianBlur(noise, (3, 3), 0)
  return Sensor(
    gain=(exposure * (1 + wander)[:, None] * balance).astype(np.float32),
    contrast=rng.uniform(0.85, 1.25),
    blur=rng.choice([0.0, rng.uniform(0.3, 1.0)], p=[0.5, 0.5]),
    noise=noise,
    corner=rng.integers(0, size // 2 + 1, (frames, 2)),
  )
