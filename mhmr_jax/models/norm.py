"""Batch norm whose statistics need not cross devices."""

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

_EPSILON = 1e-5


class GhostBatchNorm(nn.Module):
  """Batch norm over groups of frames of the batch (Hoffer et al. 2017).

  Where each device holds whole groups, the forward and backward passes exchange
  nothing between devices: it is the usual batch norm per device, but for groups that
  the config fixes, so that the result does not depend on how many devices there are.
  The running statistics are the groups' mean.
  """

  frames: int  # Of a group: consecutive ones of the leading axis.
  use_running_average: bool
  momentum: float = 0.99
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, x: Float[Array, "batch height width channels"]
  ) -> Float[Array, "batch height width channels"]:
    """Normalises each channel; ValueError unless groups divide the batch."""
    channels = x.shape[-1]
    mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,))
    var = self.variable("batch_stats", "var", jnp.ones, (channels,))
    scale = self.param("scale", nn.initializers.ones, (channels,))
    bias = self.param("bias", nn.initializers.zeros, (channels,))
    grouped = x[None]
    if self.use_running_average:
      centre, spread = mean.value[None], var.value[None]
    else:
      # A batch that is smaller than a group, as at initialisation, is one.
      size = min(self.frames, len(x))
      if len(x) % size:
        raise ValueError(f"groups of {size} frames don't divide a batch of {len(x)}")
      grouped = x.reshape(-1, size, *x.shape[1:])
      wide = grouped.astype(jnp.float32)
      centre = jnp.mean(wide, axis=(1, 2, 3))
      spread = jnp.mean(lax.square(wide), axis=(1, 2, 3)) - lax.square(centre)
      spread = jnp.maximum(spread, 0)
      if not self.is_initializing():
        keep = self.momentum
        mean.value = keep * mean.value + (1 - keep) * centre.mean(0)
        var.value = keep * var.value + (1 - keep) * spread.mean(0)
    gain = lax.rsqrt(spread + _EPSILON) * scale
    shape = (-1, 1, 1, 1, channels)
    y = (grouped - centre.reshape(shape)) * gain.reshape(shape) + bias
    return y.reshape(x.shape).astype(self.dtype)
