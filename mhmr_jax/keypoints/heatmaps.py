"""Keypoints as heatmaps, drawn on the device from their coordinates."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def profiles(
  keypoints: Float[Array, "*batch points 3"], size: int, sigma: float
) -> tuple[Float[Array, "*batch size points"], Float[Array, "*batch size points"]]:
  """The two factors of the Gaussians of `draw`: along the rows, and the columns.

  Those along the rows are as high as the point's score, the others 1. Arguments are
  those of `draw`.
  """
  score = keypoints[..., 2]
  # A where on the input and one on the output: NaN times zero is NaN, also in the
  # gradient.
  position = jnp.where(score[..., None] > 0, keypoints[..., :2], 0.0)
  score = jnp.where(score > 0, score, 0.0)
  centres = jnp.arange(size, dtype=keypoints.dtype) + 0.5

  def profile(
    coordinate: Float[Array, "*batch points"],
  ) -> Float[Array, "*batch size points"]:
    distance = (centres[:, None] - coordinate[..., None, :]) / sigma
    return jnp.exp(-0.5 * distance**2)

  return profile(position[..., 1]) * score[..., None, :], profile(position[..., 0])


def draw(
  keypoints: Float[Array, "*batch points 3"], size: int, sigma: float
) -> Float[Array, "*batch size size points"]:
  """Draws one Gaussian a point, as high as the point's score.

  The Gaussian is separable, so each plane is the outer product of a row and a
  column. The plane of a missing point (score 0) is zero, whatever its coordinates.

  Args:
    keypoints: x, y in crop pixels (pixel i is centred at i + 0.5) and score.
    size: the square crop's side in pixels.
    sigma: the Gaussian's standard deviation in crop pixels.
  """
  rows, columns = profiles(keypoints, size, sigma)
  return rows[..., :, None, :] * columns[..., None, :, :]
