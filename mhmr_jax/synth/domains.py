"""The two domains that clips are drawn from: the usual one and the shifted one."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from mhmr_jax.synth import appearance, backgrounds, camera, recording, sensor
from mhmr_jax.synth.shifted import appearance as shifted_appearance
from mhmr_jax.synth.shifted import filming, pictures

Rng = np.random.Generator

_MAX_BETA = 3.0


@runtime_checkable
class Scenes(Protocol):
  """A source of background pictures."""

  def draw(self, rng: Rng, split: str, frames: int, size: int) -> backgrounds.Media:
    """Draws the pictures of one clip; they are larger than the frame.

    Args:
      rng: the random stream to draw from.
      split: "train" or "test".
      frames: frames of the clip.
      size: pixels of the square frames' side.
    """


class Domain(NamedTuple):
  """The distributions that the components of clips are drawn from.

  Each function takes the component's random stream first.
  """

  shape: Callable[[Rng], Float[np.ndarray, "10"]]  # SMPL's betas.
  style: appearance.Style
  scenes: Scenes
  shot: Callable[[Rng, int], camera.Shot]  # Takes the frame's size.
  sensor: Callable[[Rng, int, int], sensor.Sensor]  # Takes frames and size.
  recording: Callable[[Rng], recording.Recording]
  seed: tuple[int, ...] = ()  # Sets its random streams apart from other domains'.


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
  shape=shifted_appearance.shape,
  style=shifted_appearance.STYLE,
  scenes=pictures.Scenes(),
  shot=filming.shot,
  sensor=filming.sensor,
  recording=filming.recording,
  seed=(1,),
)
