"""FlowNetS (Dosovitskiy et al., ICCV 2015): a convolutional encoder and decoder."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mhmr_jax.flow.network import FlowNetwork
from mhmr_jax.models.convolution import Conv2D

# Name, features, kernel and stride of the ten convolutions.
_CONVOLUTIONS = (
  ("conv1", 64, 7, 2),
  ("conv2", 128, 5, 2),
  ("conv3", 256, 5, 2),
  ("conv3_1", 256, 3, 1),
  ("conv4", 512, 3, 2),
  ("conv4_1", 512, 3, 1),
  ("conv5", 512, 3, 2),
  ("conv5_1", 512, 3, 1),
  ("conv6", 1024, 3, 2),
  ("conv6_1", 1024, 3, 1),
)
_STRIDE = 64
# Features of the decoder's maps by their stride; the paper stops at 4.
_REFINEMENT = {32: 512, 16: 256, 8: 128, 4: 64, 2: 32}
_COARSER = 0.5  # The weight of a map in the loss, over that of the next finer one.
_TINY = 1e-3  # Pixels; keeps the gradient of the square root finite.
# Added to the variance of an image in [-1, 1], so that flat ones are amplified less.
_FLAT = 1e-3

_leaky_relu = functools.partial(nn.leaky_relu, negative_slope=0.1)


class UpConv(nn.Module):
  """Doubles a map's size by a transposed 4x4 convolution of stride 2.

  Each output pixel depends on 2x2 inputs. A 2x2 convolution computes the four output
  pixels of each place as channels, which are then interleaved.
  """

  features: int
  form: str

  @nn.compact
  def __call__(
    self, x: Float[Array, "batch height width in"]
  ) -> Float[Array, "batch height_out width_out out"]:
    """Convolves to twice the height and width."""
    conv = Conv2D(4 * self.features, 2, padding=1, use_bias=True, form=self.form)
    y = conv(x)
    n, height, width, _ = y.shape
    y = y.reshape(n, height, width, 2, 2, self.features).swapaxes(2, 3)
    y = y.reshape(n, 2 * height, 2 * width, self.features)
    return y[:, 1:-1, 1:-1]


class FlowNetS(FlowNetwork):
  """An encoder of ten convolutions, and a decoder that refines the flow."""

  width: float = 1.0  # The numbers of features, over the paper's.
  finest: int = 4  # Stride of the finest flow: 4, as in the paper, or 2.
  unit: float = 20.0  # The flow in pixels for which the last convolution outputs 1.
  form: str = "auto"  # The convolutions' form: see `convolution.resolve_form`.

  stride = _STRIDE

  def _features(self, paper: int) -> int:
    return max(8, round(paper * self.width))

  @nn.compact
  def __call__(
    self,
    first: Float[Array, "batch height width 3"],
    second: Float[Array, "batch height width 3"],
  ) -> list[Float[Array, "batch _ _ 2"]]:
    """Flow in pixels of the images at each stride from 64 to `finest`.

    Args:
      first: images in [-1, 1].
      second: images in [-1, 1] to which the flow goes.
    """
    conv = functools.partial(Conv2D, use_bias=True, form=self.form)
    to_flow = functools.partial(conv, 2, 3, kernel_init=nn.initializers.zeros)
    x = jnp.concatenate([_standardised(first), _standardised(second)], -1)
    maps, stride = {}, 1
    for name, features, kernel, step in _CONVOLUTIONS:
      x = _leaky_relu(conv(self._features(features), kernel, step, name=name)(x))
      stride *= step
      maps[stride] = x
    flow = to_flow(name=f"flow{stride}")(x)
    flows = [flow]
    while stride > self.finest:
      stride //= 2
      features = self._features(_REFINEMENT[stride])
      lifted = _leaky_relu(UpConv(features, self.form, name=f"up{stride}")(x))
      flow = UpConv(2, self.form, name=f"up_flow{stride}")(flow)
      x = jnp.concatenate([maps[stride], lifted, flow], -1)
      flow = to_flow(name=f"flow{stride}")(x)
      flows.append(flow)
    return [flow * self.unit for flow in flows]

  def estimate(
    self,
    first: Float[Array, "batch height width 3"],
    second: Float[Array, "batch height width 3"],
  ) -> Float[Array, "batch height width 2"]:
    """The finest flow at the images' size, in pixels."""
    return _enlarged(self(first, second)[-1], first)

  def loss(
    self,
    first: Float[Array, "batch height width 3"],
    second: Float[Array, "batch height width 3"],
    flow: Float[Array, "batch height width 2"],
    valid: Bool[Array, "batch height width"],
  ) -> tuple[Float[Array, ""], Float[Array, "batch height width 2"]]:
    """The weighted sum of the mean end-point errors at all sizes, and the finest flow.

    The paper does not give its weights; ours halve with the size.
    """
    flows = self(first, second)
    total = jnp.zeros(())
    for coarser, estimate in enumerate(reversed(flows)):
      target, known = _shrunk(flow, valid, flow.shape[1] // estimate.shape[1])
      squares = jnp.sum((estimate - target) ** 2, -1) + _TINY**2
      mean = jnp.sum(jnp.sqrt(squares) * known) / jnp.maximum(known.sum(), 1)
      total += _COARSER**coarser * mean
    return total, _enlarged(flows[-1], first)


def _standardised(
  images: Float[Array, "batch height width 3"],
) -> Float[Array, "batch height width 3"]:
  """Scales each image's channels to mean 0 and variance 1.

  Brightness and tint carry no information about motion.
  """
  return jax.nn.standardize(images, axis=(1, 2), epsilon=_FLAT)


def _enlarged(
  flow: Float[Array, "batch _ _ 2"], image: Float[Array, "batch height width 3"]
) -> Float[Array, "batch height width 2"]:
  return jax.image.resize(flow, (*image.shape[:3], 2), "bilinear")


def _shrunk(
  flow: Float[Array, "batch height width 2"],
  valid: Bool[Array, "batch height width"],
  factor: int,
) -> tuple[Float[Array, "batch _ _ 2"], Bool[Array, "batch _ _"]]:
  """The means over the valid pixels of each block, and whether it has any."""
  n, height, width = valid.shape
  blocks = (n, height // factor, factor, width // factor, factor)
  count = valid.reshape(blocks).sum((2, 4))
  total = jnp.where(valid[..., None], flow, 0).reshape(*blocks, 2).sum((2, 4))
  return total / jnp.maximum(count, 1)[..., None], count > 0
