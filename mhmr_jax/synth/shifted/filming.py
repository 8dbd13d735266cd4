"""Cameras, sensors and video codecs of the shifted domain."""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from mhmr_jax.synth import camera
from mhmr_jax.synth.recording import Codec, Recording
from mhmr_jax.synth.sensor import Sensor, grain

Rng = np.random.Generator


def shot(rng: Rng, size: int) -> camera.Shot:
  """Draws a very wide or a long lens, steep, tilted and in unsteady hands."""
  usual = camera.sample_shot(rng, size)
  focal = rng.choice([rng.uniform(0.55, 0.8), rng.uniform(3.0, 5.0)])
  elevation = rng.choice([rng.uniform(25, 50), rng.uniform(-35, -18)], p=[0.7, 0.3])
  return dataclasses.replace(
    usual,
    focal=focal * size,
    fill=rng.uniform(0.4, 0.85),
    elevation=np.radians(elevation),
    roll=np.radians(rng.choice([-1, 1]) * rng.uniform(8, 20)),
    shake=np.radians(rng.uniform(1.0, 2.0)) * (0.6 / focal if focal > 1 else 1),
  )


@dataclasses.dataclass(frozen=True)
class PoorSensor(Sensor):
  """A small sensor behind a poor lens: few pixels, few colours, dark corners."""

  pixels: float  # Its pixels along a side over the frame's.
  mix: Float[np.ndarray, "3 3"]  # Matrix from the scene's colours to its own.
  falloff: Float[np.ndarray, "size size 3"]  # Vignetting: a factor for each pixel.

  def record(
    self, time: int, image: UInt8[np.ndarray, "size size 3"]
  ) -> UInt8[np.ndarray, "size size 3"]:
    """Returns the image that the camera records at a frame."""
    size = len(image)
    dim = cv2.multiply(cv2.transform(image, self.mix), self.falloff, dtype=cv2.CV_8U)
    side = round(size * self.pixels)
    small = cv2.resize(dim, (side, side), interpolation=cv2.INTER_AREA)
    return super().record(time, cv2.resize(small, (size, size)))


def sensor(rng: Rng, frames: int, size: int) -> PoorSensor:
  """Draws a camera that is under- or overexposed, flat, tinted, soft and blotchy."""
  exposure = rng.choice([rng.uniform(0.72, 0.8), rng.uniform(1.3, 1.5)])
  # Flicker under electric light.
  flicker = 0.05 * np.sin(np.arange(frames) * rng.uniform(1.5, 2.8))
  tint = rng.choice([-1, 1]) * rng.uniform(0.18, 0.3) * np.array([1.0, 0.1, -1.0])
  grey = np.full((3, 3), 1 / 3)
  kept = rng.uniform(0.45, 0.7)
  side = size + size // 2
  noise = np.asarray(cv2.GaussianBlur(grain(rng, side, 1.0), (0, 0), 1.2), np.float32)
  noise *= np.float32(rng.uniform(1.8, 3.2) / noise.std())
  place = (np.arange(size) + 0.5) / size * 2 - 1
  radius = place**2 + (place**2)[:, None]
  return PoorSensor(
    gain=(exposure * (1 + flicker)[:, None] * (1 + tint)).astype(np.float32),
    contrast=rng.uniform(0.6, 0.78),
    blur=0.0,
    noise=noise,
    corner=rng.integers(0, size // 2 + 1, (frames, 2)),
    pixels=rng.uniform(0.55, 0.75),
    mix=(kept * np.eye(3) + (1 - kept) * grey).astype(np.float32),
    falloff=cv2.merge([1 - rng.uniform(0.2, 0.35) * radius] * 3).astype(np.float32),
  )


def recording(rng: Rng) -> Recording:
  """Draws a shutter that is open most of the time, and a codec with few bits."""
  codec = Codec(
    quality=int(rng.integers(22, 36)),
    hold=rng.uniform(3.6, 5),
    keyframe=int(rng.integers(40, 90)),
  )
  return Recording(rng.uniform(0.7, 0.95), codec)
