"""Keypoints as heatmaps, drawn on the device from their coordinates."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from mhmr_jax.schema import Array


def draw(
  keypoints: Float[Array, "*batch points 3"], size: int, sigma: float
) -> Float[jax.Array, "*batch size size points"]:
  """Draws one Gaussian a point, as high as the point's score.

  The Gaussian is separable, so each plane is the outer product of a row and a
  column. A missing point (score 0) is a plane of zeros, wherever it lies.

  Args:
    keypoints: x, y in crop pixels (a pixel's centre is at + 0.5) and score.
    size: the square crop's side in pixels.
    sigma: the Gaussian's standard deviation in crop pixels.
  """
  score = keypoints[..., 2]
  # The double where: a NaN times zero is NaN, also in the gradient.
  position = jnp.where(score[..., None] > 0, keypoints[..., :2], 0.0)
  score = jnp.where(score > 0, score, 0.0)
  centres = jnp.arange(size, dtype=keypoints.dtype) + 0.5

  def profile(coordinate: jax.Array) -> jax.Array:
    distance = (centres[:, None] - coordinate[..., None, :]) / sigma
    return jnp.exp(-0.5 * distance**2)

  rows = profile(position[..., 1]) * score[..., None, :]
  columns = profile(position[..., 0])
  return rows[..., :, None, :] * columns[..., None, :, :]
