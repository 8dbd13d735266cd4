"""Another domain, for testing transfer: nothing in it is drawn as in the usual one.

Ranges are chosen so that they do not overlap with the usual ones, or hardly.
"""

import dataclasses
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from mhmr_jax.synth import appearance, camera
from mhmr_jax.synth.recording import Codec, Recording
from mhmr_jax.synth.sensor import Sensor, grain
from mhmr_jax.synth.shifted import shifted_pictures

Rng = np.random.Generator

_SKIN = np.array([[232, 178, 168], [214, 160, 120], [168, 118, 74], [112, 66, 52]])
# Dyed, bleached and white.
_HAIR = np.array([[150, 40, 40], [205, 90, 160], [70, 110, 190], [60, 150, 120]])
_HAIR = np.concatenate([_HAIR, [[225, 215, 190], [240, 240, 240]]])


def shape(rng: Rng) -> Float[np.ndarray, "10"]:
  """Far from the mean in every direction; the usual ones are near it in most."""
  magnitude = rng.uniform(1.5, 2.4, 10)
  return (magnitude * rng.choice([-1, 1], 10)).astype(np.float32)


def shot(rng: Rng, size: int) -> camera.Shot:
  """Wide lenses and long ones, from above and below, tilted, in unsteady hands."""
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


class HardLight(NamedTuple):
  """A lamp and one of another colour opposite; little light from elsewhere."""

  towards: Float[np.ndarray, "2 3"]  # Unit vectors to the lamps.
  colour: Float[np.ndarray, "2 3"]
  ambient: Float[np.ndarray, "3"]

  def shade(self, normals: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "V 3"]:
    """Factors for sRGB colours; Lambert's law with its edge."""
    facing = np.maximum(normals @ self.towards.T.astype(np.float32), 0)
    return np.sqrt(facing @ self.colour.astype(np.float32) + self.ambient).astype(
      np.float32
    )


def _light(rng: Rng) -> HardLight:
  angle, height = rng.uniform(0, 2 * np.pi), rng.uniform(-0.2, 0.6)
  key = np.array([np.cos(angle), height, np.sin(angle)])
  towards = np.stack([key, key * [-1, 0.3, -1]])
  warm, cold = np.array([1.0, 0.62, 0.3]), np.array([0.3, 0.6, 1.0])
  colour = np.stack([warm, cold] if rng.random() < 0.5 else [cold, warm])
  return HardLight(
    towards / np.linalg.norm(towards, axis=1, keepdims=True),
    colour * rng.uniform([[1.3], [0.5]], [[2.0], [1.1]]),
    rng.uniform(0.08, 0.15) * colour[1],
  )


STYLE = appearance.Style(_SKIN, _HAIR, shifted_pictures.cloth, _light)


@dataclasses.dataclass(frozen=True)
class PoorSensor(Sensor):
  """A small sensor behind a poor lens: few pixels, few colours, dark corners."""

  pixels: float  # Of its own, for each of the frame's, along a side.
  mix: Float[np.ndarray, "3 3"]  # From the scene's colours to its own.
  falloff: Float[np.ndarray, "size size 3"]

  def record(
    self, time: int, image: UInt8[np.ndarray, "size size 3"]
  ) -> UInt8[np.ndarray, "size size 3"]:
    """The image that comes out of the camera at that frame."""
    size = len(image)
    dim = cv2.multiply(cv2.transform(image, self.mix), self.falloff, dtype=cv2.CV_8U)
    side = round(size * self.pixels)
    small = cv2.resize(dim, (side, side), interpolation=cv2.INTER_AREA)
    return super().record(time, cv2.resize(small, (size, size)))


def sensor(rng: Rng, frames: int, size: int) -> PoorSensor:
  """Draws a poor camera: under- or overexposed, flat, tinted, blurred and blotchy."""
  exposure = rng.choice([rng.uniform(0.72, 0.8), rng.uniform(1.3, 1.5)])
  # Flicker under electric light.
  flicker = 0.05 * np.sin(np.arange(frames) * rng.uniform(1.5, 2.8))
  tint = rng.choice([-1, 1]) * rng.uniform(0.18, 0.3) * np.array([1.0, 0.1, -1.0])
  grey = np.full((3, 3), 1 / 3)
  kept = rng.uniform(0.45, 0.7)
  side = size + size // 2
  noise = np.asarray(cv2.GaussianBlur(grain(rng, side, 1), (0, 0), 1.2), np.float32)
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
  """A shutter that is open nearly all the time, and a starved codec."""
  codec = Codec(
    quality=int(rng.integers(22, 36)),
    hold=rng.uniform(3.6, 5),
    keyframe=int(rng.integers(40, 90)),
  )
  return Recording(rng.uniform(0.7, 0.95), codec)
