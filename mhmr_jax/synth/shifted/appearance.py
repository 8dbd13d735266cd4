"""The looks of people in the shifted domain: body shapes, skin, hair and light."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mhmr_jax.synth import appearance
from mhmr_jax.synth.shifted import pictures

Rng = np.random.Generator

_SKIN = np.array([[232, 178, 168], [214, 160, 120], [168, 118, 74], [112, 66, 52]])
# Dyed, bleached and white.
_HAIR = np.array([[150, 40, 40], [205, 90, 160], [70, 110, 190], [60, 150, 120]])
_HAIR = np.concatenate([_HAIR, [[225, 215, 190], [240, 240, 240]]])


def shape(rng: Rng) -> Float[np.ndarray, "10"]:
  """Draws betas far from the mean in every component, which usual ones rarely are."""
  magnitude = rng.uniform(1.5, 2.4, 10)
  return (magnitude * rng.choice([-1, 1], 10)).astype(np.float32)


class HardLight(NamedTuple):
  """Two lamps of different colours opposite each other, and little ambient light."""

  towards: Float[np.ndarray, "2 3"]  # Unit vectors to the lamps.
  colour: Float[np.ndarray, "2 3"]
  ambient: Float[np.ndarray, "3"]

  def shade(self, normals: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "V 3"]:
    """Factors for sRGB colours by Lambert's law; the gamma is taken to be 2."""
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


STYLE = appearance.Style(_SKIN, _HAIR, pictures.cloth, _light)
