"""Puts a person in front of a background: frames, masks and exact flow."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from mhmr_jax.synth.backgrounds import Background
from mhmr_jax.synth.people import Layer
from mhmr_jax.synth.sensor import Sensor


class Picture(NamedTuple):
  """One frame of a clip, as its camera recorded it."""

  image: UInt8[np.ndarray, "size size 3"]
  mask: Bool[np.ndarray, "size size"]  # Pixels whose centre sees the person.
  # From the frame before, on its grid; zero at the first.
  flow: Float[np.ndarray, "size size 2"]
  # Where that is known: not where a background's own video moves.
  flow_valid: Bool[np.ndarray, "size size"]


def composite(
  background: Background, layers: list[Layer | None], sensor: Sensor
) -> list[Picture]:
  """Draws one layer a frame over the background, and records the result."""
  pictures: list[Picture] = []
  for time, layer in enumerate(layers):
    image = background.frames[time].astype(np.float32)
    mask = np.zeros(image.shape[:2], bool)
    if layer is not None:
      part = image[layer.window.slices]
      part *= 1 - layer.rgba[..., 3:]
      part += layer.rgba[..., :3]
      mask[layer.window.slices] = np.isfinite(layer.buffer.depth)
    flow = np.zeros((*mask.shape, 2), np.float32)
    valid = np.ones_like(mask)
    if time:
      before = pictures[-1].mask
      flow = _flow(background, layers[time - 1], before, time)
      valid = before | background.is_still
    pictures.append(Picture(sensor.record(time, image), mask, flow, valid))
  return pictures


def _flow(
  background: Background,
  layer: Layer | None,
  mask: Bool[np.ndarray, "size size"],
  time: int,
) -> Float[np.ndarray, "size size 2"]:
  """From frame time-1, where the person was `mask` and `layer`, to frame time."""
  flow = background.flow(time)
  if layer is not None:
    seen = mask[layer.window.slices]
    flow[layer.window.slices][seen] = layer.flow[seen]
  return flow
