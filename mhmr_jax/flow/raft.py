"""RAFT's small network (Teed & Deng, ECCV 2020), laid out as torchvision's raft_small.

Every pixel of the first image is correlated with every pixel of the second, at an
eighth of the size. A recurrent unit looks up the correlations around the place to which
the current flow points, and corrects the flow.
"""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from mhmr_jax.flow.network import FlowNetwork
from mhmr_jax.models.convolution import Conv2D

_STRIDE = 8  # Image pixels a pixel of the maps that are correlated.
_LEVELS = 4
_RADIUS = 3
_HIDDEN = 96
_CONTEXT = 64
_GAMMA = 0.8  # The weight of an update in the loss, over that of the next one.
# RAFT's published initialisation. Larger weights saturate the recurrent unit, whose
# context is not normalised, and it does not learn.
_ENCODER_INIT = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
_UPDATE_INIT = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def _conv(
  features: int,
  kernel_size: int = 3,
  stride: int = 1,
  kernel_init: nn.initializers.Initializer = _UPDATE_INIT,
  **kwargs: Any,
) -> Conv2D:
  return Conv2D(
    features,
    kernel_size,
    stride,
    padding=kernel_size // 2,
    use_bias=True,
    kernel_init=kernel_init,
    **kwargs,
  )


def _instance_norm(
  x: Float[Array, "batch height width channels"],
) -> Float[Array, "batch height width channels"]:
  """Scales each image's channels to mean 0 and variance 1; it has no parameters."""
  return jax.nn.standardize(x, axis=(1, 2), epsilon=1e-5)


class Bottleneck(nn.Module):
  """A residual unit of 1x1, 3x3 and 1x1 convolutions."""

  features: int
  stride: int
  normalise: bool
  form: str

  @nn.compact
  def __call__(
    self, x: Float[Array, "batch height width in"]
  ) -> Float[Array, "batch height_out width_out out"]:
    """Adds the unit's residual to its input, or to the input's projection."""
    conv = functools.partial(_conv, kernel_init=_ENCODER_INIT, form=self.form)
    norm = _instance_norm if self.normalise else lambda x: x
    narrow = self.features // 4
    y = nn.relu(norm(conv(narrow, 1, name="convnormrelu1")(x)))
    y = nn.relu(norm(conv(narrow, 3, self.stride, name="convnormrelu2")(y)))
    y = nn.relu(norm(conv(self.features, 1, name="convnormrelu3")(y)))
    if self.stride != 1:
      x = norm(conv(self.features, 1, self.stride, name="downsample")(x))
    return nn.relu(x + y)


class Encoder(nn.Module):
  """Encodes images as maps of an eighth of their size."""

  features: int
  normalise: bool
  form: str

  @nn.compact
  def __call__(
    self, x: Float[Array, "batch height width 3"]
  ) -> Float[Array, "batch height_out width_out features"]:
    """Encodes images in [-1, 1]."""
    conv = functools.partial(_conv, kernel_init=_ENCODER_INIT, form=self.form)
    x = conv(32, 7, 2, name="convnormrelu")(x)
    x = nn.relu(_instance_norm(x) if self.normalise else x)
    for stage, (features, stride) in enumerate([(32, 1), (64, 2), (96, 2)], 1):
      for index in range(2):
        name = f"layer{stage}_{index}"
        step = stride if index == 0 else 1
        x = Bottleneck(features, step, self.normalise, self.form, name=name)(x)
    return conv(self.features, 1, name="conv")(x)


class MotionEncoder(nn.Module):
  """Encodes the correlations and the flow for the recurrent unit."""

  form: str

  @nn.compact
  def __call__(
    self,
    correlations: Float[Array, "batch height width n"],
    flow: Float[Array, "batch height width 2"],
  ) -> Float[Array, "batch height width 82"]:
    """Mixes both, and appends the flow itself as the last two channels."""
    conv = functools.partial(_conv, form=self.form)
    x = nn.relu(conv(96, 1, name="convcorr1")(correlations))
    y = nn.relu(conv(64, 7, name="convflow1")(flow))
    y = nn.relu(conv(32, 3, name="convflow2")(y))
    mixed = nn.relu(conv(80, 3, name="mix")(jnp.concatenate([x, y], -1)))
    return jnp.concatenate([mixed, flow], -1)


class ConvGru(nn.Module):
  """A gated recurrent unit whose products are convolutions."""

  form: str

  @nn.compact
  def __call__(
    self,
    hidden: Float[Array, "batch height width hidden"],
    x: Float[Array, "batch height width in"],
  ) -> Float[Array, "batch height width hidden"]:
    """The next hidden state."""
    conv = functools.partial(_conv, hidden.shape[-1], form=self.form)
    both = jnp.concatenate([hidden, x], -1)
    z = nn.sigmoid(conv(name="convz")(both))
    r = nn.sigmoid(conv(name="convr")(both))
    q = nn.tanh(conv(name="convq")(jnp.concatenate([r * hidden, x], -1)))
    return (1 - z) * hidden + z * q


class FlowHead(nn.Module):
  """Predicts a correction of the flow from the hidden state."""

  form: str

  @nn.compact
  def __call__(
    self, hidden: Float[Array, "batch height width hidden"]
  ) -> Float[Array, "batch height width 2"]:
    """The correction, in pixels of the map."""
    x = nn.relu(_conv(128, form=self.form, name="conv1")(hidden))
    return _conv(2, form=self.form, name="conv2")(x)


class UpdateBlock(nn.Module):
  """Updates the hidden state and the flow once."""

  form: str

  def setup(self) -> None:
    """Makes the parts, named as torchvision names them."""
    self.motion_encoder = MotionEncoder(self.form)
    self.convgru1 = ConvGru(self.form)
    self.flow_head = FlowHead(self.form)

  def __call__(
    self,
    carry: tuple[Array, Array],
    context: Float[Array, "batch height width context"],
    pyramid: Sequence[Float[Array, "batch height width _ _"]],
  ) -> tuple[tuple[Array, Array], Float[Array, "batch height width 2"]]:
    """Maps (hidden, flow) to the next pair, and returns the new flow beside it."""
    hidden, flow = carry
    flow = lax.stop_gradient(flow)
    motion = self.motion_encoder(look_up(pyramid, flow), flow)
    hidden = self.convgru1(hidden, jnp.concatenate([context, motion], -1))
    flow = flow + self.flow_head(hidden)
    return (hidden, flow), flow


class RaftSmall(FlowNetwork):
  """A feature encoder, a context encoder and recurrent updates of the flow."""

  updates: int = 12
  form: str = "auto"  # The convolutions' form: see `convolution.resolve_form`.

  stride = _STRIDE
  # In smaller images the coarsest level of correlations is a single pixel.
  min_size = 128

  @nn.compact
  def __call__(
    self,
    first: Float[Array, "batch height width 3"],
    second: Float[Array, "batch height width 3"],
  ) -> Float[Array, "updates batch height_out width_out 2"]:
    """The flow after each update, in pixels of the images, at an eighth of their size.

    Args:
      first: images in [-1, 1].
      second: images in [-1, 1] to which the flow goes.
    """
    encode = Encoder(128, True, self.form, name="feature_encoder")
    maps = encode(jnp.concatenate([first, second]))
    pyramid = correlation_pyramid(*jnp.split(maps, 2))
    encode = Encoder(_HIDDEN + _CONTEXT, False, self.form, name="context_encoder")
    hidden, context = jnp.split(encode(first), [_HIDDEN], axis=-1)
    update = nn.scan(
      UpdateBlock,
      variable_broadcast="params",
      split_rngs={"params": False},
      in_axes=(nn.broadcast, nn.broadcast),
      length=self.updates,
    )(self.form, name="update_block")
    still = jnp.zeros((*hidden.shape[:-1], 2), hidden.dtype)
    _, flows = update((nn.tanh(hidden), still), nn.relu(context), pyramid)
    return flows * _STRIDE

  def estimate(
    self,
    first: Float[Array, "batch height width 3"],
    second: Float[Array, "batch height width 3"],
  ) -> Float[Array, "batch height width 2"]:
    """The flow after the last update, in pixels."""
    return enlarge(self(first, second)[-1], first.shape[1], first.shape[2])

  def loss(
    self,
    first: Float[Array, "batch height width 3"],
    second: Float[Array, "batch height width 3"],
    flow: Float[Array, "batch height width 2"],
    valid: Bool[Array, "batch height width"],
  ) -> tuple[Float[Array, ""], Float[Array, "batch height width 2"]]:
    """RAFT's loss: the L1 errors of all updates, weighted; and the last flow."""
    flows = self(first, second)
    flows = enlarge(flows, first.shape[1], first.shape[2])
    error = jnp.where(valid, jnp.abs(flows - flow).sum(-1), 0)
    means = error.sum((1, 2, 3)) / jnp.maximum(valid.sum(), 1)
    weights = _GAMMA ** jnp.arange(self.updates - 1, -1, -1)
    return jnp.vdot(weights, means), flows[-1]


def correlation_pyramid(
  first: Float[Array, "batch height width channels"],
  second: Float[Array, "batch height width channels"],
) -> list[Float[Array, "batch height width _ _"]]:
  """Correlates all pixels of the first map with the second's at each level of detail.

  Returns:
    Products of the channels over the square root of their number, [..., v, u] for the
    second map's rows and columns, which are averaged 2x2 from level to level.
  """
  volume = jnp.einsum(
    "byxc,bvuc->byxvu", first, second, preferred_element_type=jnp.float32
  ) / np.sqrt(first.shape[-1])
  pyramid = [volume]
  for _ in range(_LEVELS - 1):
    *lead, height, width = pyramid[-1].shape
    even = pyramid[-1][..., : height // 2 * 2, : width // 2 * 2]
    blocks = even.reshape(*lead, height // 2, 2, width // 2, 2)
    pyramid.append(blocks.mean((-3, -1)))
  return pyramid


def look_up(
  pyramid: Sequence[Float[Array, "batch height width _ _"]],
  flow: Float[Array, "batch height width 2"],
) -> Float[Array, "batch height width n"]:
  """Samples the correlations on a 7x7 grid around the flow's target, at every level.

  Sampling is bilinear, with zeros outside. It is written as two matrix products with
  hat functions of the positions, because accelerators gather single values slowly.
  """
  height, width = flow.shape[1:3]
  x = flow[..., 0] + jnp.arange(width, dtype=flow.dtype)
  y = flow[..., 1] + jnp.arange(height, dtype=flow.dtype)[:, None]
  offsets = jnp.arange(-_RADIUS, _RADIUS + 1, dtype=flow.dtype)

  def hats(centre: Array, size: int) -> Array:
    places = centre[..., None, None] + offsets[:, None]
    return jnp.maximum(0, 1 - jnp.abs(places - jnp.arange(size, dtype=flow.dtype)))

  levels = []
  for level, volume in enumerate(pyramid):
    along_x = hats(x / 2**level, volume.shape[-1])
    along_y = hats(y / 2**level, volume.shape[-2])
    # In torchvision's order, the grid's rows vary fastest.
    grid = jnp.einsum(
      "byxiu,byxjv,byxvu->byxij", along_x, along_y, volume, precision="highest"
    )
    levels.append(grid.reshape(*flow.shape[:3], -1))
  return jnp.concatenate(levels, -1)


def enlarge(
  flow: Float[Array, "*lead h w 2"], height: int, width: int
) -> Float[Array, "*lead height width 2"]:
  """Resizes bilinearly with aligned corner pixels, as the published RAFT does."""

  def weights(small: int, large: int) -> Array:
    places = jnp.arange(large) * ((small - 1) / max(large - 1, 1))
    return jnp.maximum(0, 1 - jnp.abs(places[:, None] - jnp.arange(small)))

  rows, columns = weights(flow.shape[-3], height), weights(flow.shape[-2], width)
  return jnp.einsum("Yy,Xx,...yxc->...YXc", rows, columns, flow, precision="highest")
