"""A camera's sensor: exposure, white balance, contrast, blur and noise."""

import dataclasses
import math

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

Rng = np.random.Generator


@dataclasses.dataclass(frozen=True)
class Sensor:
  """One camera's settings and noise over a clip."""

  gain: Float[np.ndarray, "time 3"]  # Exposure times white balance.
  contrast: float
  blur: float  # Standard deviation in pixels.
  # Grey levels on an area larger than the frame, of which each frame cuts out a part.
  noise: Float[np.ndarray, "rows columns 3"]
  corner: Int[np.ndarray, "time 2"]  # Row and column where each frame's part begins.

  def record(
    self, time: int, image: UInt8[np.ndarray, "size size 3"]
  ) -> UInt8[np.ndarray, "size size 3"]:
    """Returns the image that the camera records at a frame."""
    size = len(image)
    if self.blur > 0.25:
      image = cv2.GaussianBlur(image, (0, 0), self.blur)
    y, x = self.corner[time]
    # Gain and offset as a matrix for OpenCV: NumPy would take four times as long.
    level = np.zeros((3, 4), np.float32)
    np.fill_diagonal(level, self.gain[time] * self.contrast)
    level[:, 3] = 128 * (1 - self.contrast)
    lit = cv2.transform(image.astype(np.float32), level)
    noise = self.noise[y : y + size, x : x + size]
    # The result is rounded, and clamped to 0 to 255.
    return np.asarray(cv2.add(lit, noise, dtype=cv2.CV_8U), np.uint8)


def grain(rng: Rng, side: int, strength: float) -> Float[np.ndarray, "side side 3"]:
  """Draws nearly normal noise in grey levels.

  Sums of four random bytes take a tenth of the time of normal numbers.

  Args:
    rng: the random stream to draw from.
    side: pixels of the square's side.
    strength: standard deviation in grey levels.
  """
  shape = (4, side, side, 3)
  bytes_ = np.frombuffer(rng.bytes(math.prod(shape)), np.uint8).reshape(shape)
  total = bytes_.sum(0, dtype=np.uint16).astype(np.float32)
  # A byte's mean is 127.5, and its variance is (256^2 - 1) / 12.
  return (total - np.float32(4 * 127.5)) * np.float32(strength / 147.8)


def sample(rng: Rng, frames: int, size: int) -> Sensor:
  """Draws a camera, mostly a good one."""
  exposure = np.exp(rng.normal(0, 0.15))
  # Automatic exposure drifts slowly.
  wander = rng.normal(0, 0.03) * np.sin(
    np.arange(frames) * rng.uniform(0.02, 0.2) + rng.uniform(0, 2 * np.pi)
  )
  balance = 1 + rng.normal(0, 0.06) * np.array([1.0, 0.0, -1.0])
  side = size + size // 2
  noise = grain(rng, side, rng.gamma(1.5, 1.2))
  if rng.random() < 0.5:  # Demosaicing smears the noise of some cameras.
    noise = 1.5 * cv2.GaussianBlur(noise, (3, 3), 0)
  return Sensor(
    gain=(exposure * (1 + wander)[:, None] * balance).astype(np.float32),
    contrast=rng.uniform(0.85, 1.25),
    blur=rng.choice([0.0, rng.uniform(0.3, 1.0)], p=[0.5, 0.5]),
    noise=noise,
    corner=rng.integers(0, size // 2 + 1, (frames, 2)),
  )
