"""What all networks that estimate flow have in common."""

import flax.linen as nn
from jaxtyping import Array, Bool, Float


class FlowNetwork(nn.Module):
  """Flow from pairs of images in [-1, 1], whose sides are multiples of `stride`."""

  stride = 1
  min_size = 1  # Of images' shorter sides: it is not good at smaller ones.

  def estimate(
    self,
    first: Float[Array, "batch height width 3"],
    second: Float[Array, "batch height width 3"],
  ) -> Float[Array, "batch height width 2"]:
    """The best flow, in pixels."""
    raise NotImplementedError

  def loss(
    self,
    first: Float[Array, "batch height width 3"],
    second: Float[Array, "batch height width 3"],
    flow: Float[Array, "batch height width 2"],
    valid: Bool[Array, "batch height width"],
  ) -> tuple[Float[Array, ""], Float[Array, "batch height width 2"]]:
    """What training makes small, of the flow where it is known; and the best flow."""
    raise NotImplementedError
