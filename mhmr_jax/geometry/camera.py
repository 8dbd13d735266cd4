"""Projections, and the map between an image and the crop."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def weak_perspective(
  points: Float[Array, "*batch n 3"], camera: Float[Array, "*batch 3"]
) -> Float[Array, "*batch n 2"]:
  """Projects camera-frame points onto the crop.

  Args:
    points: metres; x right, y down.
    camera: [s, tx, ty]; s maps metres to normalised crop units.

  Returns:
    s * (xy + t); the crop's corners are at -1 and 1.
  """
  return camera[..., None, :1] * (points[..., :2] + camera[..., None, 1:])


def perspective(
  points: Float[Array, "*batch n 3"], intrinsics: Float[Array, "*batch 3 3"]
) -> Float[Array, "*batch n 2"]:
  """Projects camera-frame points in front of the camera (z > 0) to image pixels."""
  image = jnp.einsum(
    "...ij,...nj->...ni", intrinsics, points, precision=jax.lax.Precision.HIGHEST
  )
  return image[..., :2] / image[..., 2:]


def image_to_crop(
  points_image: Float[Array, "*batch n 2"], box: Float[Array, "*batch 4"]
) -> Float[Array, "*batch n 2"]:
  """Image pixels to crop units: `box` [x0, y0, x1, y1] spans -1 to 1."""
  corner, size = box[..., None, :2], box[..., None, 2:] - box[..., None, :2]
  return 2 * (points_image - corner) / size - 1


def crop_to_image(
  points_crop: Float[Array, "*batch n 2"], box: Float[Array, "*batch 4"]
) -> Float[Array, "*batch n 2"]:
  """The inverse of `image_to_crop`."""
  corner, size = box[..., None, :2], box[..., None, 2:] - box[..., None, :2]
  return corner + (points_crop + 1) / 2 * size
