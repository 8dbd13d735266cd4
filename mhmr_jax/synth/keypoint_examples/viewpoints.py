"""Cameras that look at a person: any side, high and low, tilted, near and far."""

import dataclasses
import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mhmr_jax.geometry import rotations as rot
from mhmr_jax.runtime.draws import Draws


@dataclasses.dataclass(frozen=True)
class Viewpoints:
  """The cameras that are drawn.

  Attributes:
    pitch: "broad" has cameras from 25 degrees below to 50 above the horizontal; most
      of those of "level" are near it.
    rolled: share of cameras with a roll of up to 35 degrees; others have a few degrees.
    nearest: the least distance, metres.
    farthest: the largest distance, metres.
    focal_error: standard deviation of the log of the true focal length over the
      assumed one, in half of the examples; the others know theirs.
  """

  pitch: Literal["broad", "level"] = "broad"
  rolled: float = 0.3
  nearest: float = 2.0
  farthest: float = 10.0
  focal_error: float = 0.25


class Viewpoint(NamedTuple):
  """One camera."""

  rotation: Float[Array, "3 3"]  # From world (y up) to camera (y down).
  distance: Float[Array, ""]  # Metres to the person's mean place.
  aside: Float[Array, "2"]  # That place's x/z and y/z off the optical axis.
  focal: Float[Array, ""]  # The true focal length over the assumed one.
  followed: Float[Array, ""]  # The share of the person's path that it follows.


# The camera's axes in the world, for a camera that looks along -z.
_UPRIGHT = np.diag([1.0, -1.0, -1.0]).astype(np.float32)


def draw(draws: Draws, viewpoints: Viewpoints) -> Viewpoint:
  """Draws one camera."""
  yaw = draws.uniform(high=2 * np.pi)
  pitch = _pitch(draws, viewpoints.pitch)
  roll = 5.0 * draws.normal()
  wide = draws.uniform(low=-35.0, high=35.0)
  roll = jnp.where(draws.happens(viewpoints.rolled), wide, roll)
  turns = jnp.stack([jnp.radians(roll), jnp.radians(pitch), yaw])
  about_z, about_x, about_y = rot.axis_angle_to_matrix(
    turns[:, None] * jnp.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
  )
  nearest, farthest = np.log(viewpoints.nearest), np.log(viewpoints.farthest)
  off = draws.uniform(2, low=-1.0, high=1.0)
  error = viewpoints.focal_error * draws.normal()
  known = draws.happens(0.5)
  follows = draws.uniform(2)
  return Viewpoint(
    rotation=_product(
      _product(about_z, jnp.asarray(_UPRIGHT)), _product(about_x, about_y)
    ),
    distance=jnp.exp(draws.uniform(low=nearest, high=farthest)),
    aside=off * jnp.array([0.4, 0.25]),
    focal=jnp.where(known, 1.0, jnp.exp(error)),
    followed=jnp.where(follows[0] < 0.5, 0.0, follows[1]),
  )


# Some devices would otherwise multiply in low precision.
_product = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def _pitch(draws: Draws, kind: str) -> Float[Array, ""]:
  """The angle by which the camera looks down, degrees."""
  draw, level = draws.uniform(), draws.normal()
  if kind == "level":
    anywhere = draws.uniform(low=-20.0, high=40.0)
    return jnp.where(draw < 0.8, 2 + 7 * level, anywhere)
  around = draws.uniform(low=-25.0, high=25.0)
  above = draws.uniform(low=15.0, high=50.0)
  return jnp.where(draw < 0.55, 3 + 8 * level, jnp.where(draw < 0.8, around, above))
