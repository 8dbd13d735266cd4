"""The interface of the networks that estimate flow."""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Bool, Float

# What a network's `apply` takes: its "params".
Variables = dict[str, Any]


class FlowNetwork(nn.Module):
  """Estimates flow from pairs of images in [-1, 1] whose sides divide by `stride`."""

  stride = 1
  min_size = 1  # The shorter side of the smallest images that it is good at.

  def estimate(
    self,
    first: Float[Array, "batch height width 3"],
    second: Float[Array, "batch height width 3"],
  ) -> Float[Array, "batch height width 2"]:
    """The network's best flow from `first` to `second`, px."""
    raise NotImplementedError

  def loss(
    self,
    first: Float[Array, "batch height width 3"],
    second: Float[Array, "batch height width 3"],
    flow: Float[Array, "batch height width 2"],
    valid: Bool[Array, "batch height width"],
  ) -> tuple[Float[Array, ""], Float[Array, "batch height width 2"]]:
    """The training loss against the true flow at valid pixels, and the best flow."""
    raise NotImplementedError
