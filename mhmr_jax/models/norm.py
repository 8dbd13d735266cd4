"""Batch norm whose statistics need no communication between devices."""

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

_EPSILON = 1e-5


class GhostBatchNorm(nn.Module):
  """Batch norm within groups of frames of the batch (Hoffer et al. 2017).

  Where each device holds whole groups, the forward and backward passes need no
  communication. That resembles batch norm within each device, but the config fixes the
  groups, so that the result does not depend on the number of devices. The
  running statistics average the groups' statistics.
  """

  frames: int  # The size of a group: frames that follow each other in the batch.
  use_running_average: bool
  momentum: float = 0.99
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, x: Float[Array, "batch height width channels"]
  ) -> Float[Array, "batch height width channels"]:
    """Normalises each channel; ValueError unless the group size divides the batch."""
    channels = x.shape[-1]
    mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,))
    var = self.variable("batch_stats", "var", jnp.ones, (channels,))
    scale = self.param("scale", nn.initializers.ones, (channels,))
    bias = self.param("bias", nn.initializers.zeros, (channels,))
    grouped = x[None]
    if self.use_running_average:
      centre, spread = mean.value[None], var.value[None]
    else:
      # A batch smaller than a group, as in initialisation, is one group.
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
