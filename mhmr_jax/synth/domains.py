"""What the components of a clip are drawn from: the usual domain, and another."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from mhmr_jax.synth import appearance, backgrounds, camera, recording, sensor
from mhmr_jax.synth.shifted import components, shifted_pictures

Rng = np.random.Generator

_MAX_BETA = 3.0


@runtime_checkable
class Scenes(Protocol):
  """Where the pictures behind people come from."""

  def draw(self, rng: Rng, split: str, frames: int, size: int) -> backgrounds.Media:
    """Pictures for a clip of a split; larger than the frame's size."""


class Domain(NamedTuple):
  """Everything by which clips of one domain look alike."""

  shape: Callable[[Rng], Float[np.ndarray, "10"]]
  style: appearance.Style
  scenes: Scenes
  shot: Callable[[Rng, int], camera.Shot]
  sensor: Callable[[Rng, int, int], sensor.Sensor]  # Of frames and size.
  recording: Callable[[Rng], recording.Recording]
  seed: tuple[int, ...] = ()  # Set apart from other domains' streams.


def _shape(rng: Rng) -> Float[np.ndarray, "10"]:
  betas = np.clip(rng.normal(0, 1.2, 10), -_MAX_BETA, _MAX_BETA)
  return betas.astype(np.float32)


USUAL = Domain(
  shape=_shape,
  style=appearance.USUAL,
  scenes=backgrounds.Generated(),
  shot=camera.sample_shot,
  sensor=sensor.sample,
  recording=recording.sample,
)
SHIFTED = Domain(
  shape=components.shape,
  style=components.STYLE,
  scenes=shifted_pictures.Scenes(),
  shot=components.shot,
  sensor=components.sensor,
  recording=components.recording,
  seed=(1,),
)
