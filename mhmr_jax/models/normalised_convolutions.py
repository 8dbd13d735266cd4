"""Batch norm, ReLU and convolutions of the result as one operation, for TPUs.

A TPU's training step waits for its memory, not for its products. Batch norm's
derivative needs two sums over all positions, of the gradient d at the norm's output and
of d times the normalised input n, before it can be computed at any of them. Autodiff
therefore writes d, which is as large as the input, and reads it again. But d is itself
computed from the gradient g at the convolution's output. For a 1x1 kernel k and the
ReLU's mask m, it is d[p, c] = m[p, c] sum_o g[p, o] k[c, o] at position p, so that both
sums follow from products as small as the kernel, in one pass over the input:

  s0[c, o] = sum_p m[p, c] g[p, o]          sum_p d[p, c] = sum_o k[c, o] s0[c, o]
  s1[c, o] = sum_p (m n)[p, c] g[p, o]      sum_p (d n)[p, c] = sum_o k[c, o] s1[c, o]

They also give the kernel's gradient, scale[c] s1[c, o] + bias[c] s0[c, o]. A second
pass computes d as it writes the input's gradient. Larger kernels have such products for
each of their positions.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mhmr_jax.models.convolution import convolve, padding_of

_EPSILON = 1e-5


class Moments(NamedTuple):
  """The mean and the variance of each channel, in float32."""

  mean: Float[Array, " channels"]
  variance: Float[Array, " channels"]

  @property
  def gain(self) -> Float[Array, " channels"]:
    """The factor that brings the variance to 1."""
    return lax.rsqrt(self.variance + _EPSILON)


Outputs = tuple[Float[Array, "batch _ _ _"], ...]
Kernels = tuple[Float[Array, "_ _ channels _"], ...]


class _Residuals(NamedTuple):
  """What the backward pass needs; the fields are arguments of `convolve_normalised`."""

  x: Array
  moments: Moments
  scale: Array
  bias: Array
  kernels: Kernels


def _moments(x: Float[Array, "batch height width channels"]) -> Moments:
  wide = x.astype(jnp.float32)
  mean = jnp.mean(wide, axis=(0, 1, 2))
  square = jnp.mean(lax.square(wide), axis=(0, 1, 2))
  return Moments(mean, jnp.maximum(square - lax.square(mean), 0.0))


def _convolve_all(strides: tuple[int, ...], y: Array, kernels: Kernels) -> Outputs:
  return tuple(
    convolve(y, kernel, stride, "plain")
    for kernel, stride in zip(kernels, strides, strict=True)
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def convolve_normalised(
  strides: tuple[int, ...],
  parts: int,
  x: Float[Array, "batch height width channels"],
  scale: Float[Array, " channels"],
  bias: Float[Array, " channels"],
  kernels: Kernels,
) -> tuple[Outputs, Moments]:
  """Normalises a map by its own moments, applies ReLU and convolves the result.

  Args:
    strides: the step of each convolution along both axes; the padding is SAME.
    parts: the number of equal parts of the batch whose sums the backward pass keeps
      apart until they are small: the number of devices that share the batch. The
      result depends on it only by rounding.
    x: the map.
    scale: the factors after the normalisation.
    bias: what is added to that.
    kernels: the convolutions' kernels, in the type of the products.

  Returns:
    The convolutions' outputs, and the map's moments, through which no gradient flows.
  """
  moments = _moments(x)
  y = (x - moments.mean) * (moments.gain * scale) + bias
  y = nn.relu(y.astype(kernels[0].dtype))
  return _convolve_all(strides, y, kernels), moments


def _forward(
  strides: tuple[int, ...],
  parts: int,
  x: Array,
  scale: Array,
  bias: Array,
  kernels: Kernels,
) -> tuple[tuple[Outputs, Moments], _Residuals]:
  outputs, moments = convolve_normalised(strides, parts, x, scale, bias, kernels)
  return (outputs, moments), _Residuals(x, moments, scale, bias, kernels)


def _backward(
  strides: tuple[int, ...],
  parts: int,
  residuals: _Residuals,
  cotangents: tuple[Outputs, Moments],
) -> tuple[Array, Array, Array, Kernels]:
  kernels = residuals.kernels
  # Each pass gets arrays of its own: XLA would otherwise compute what both have in
  # common once, and store it.
  x, gradients = lax.optimization_barrier((residuals.x, cotangents[0]))
  kernel_bars, sums = [], jnp.zeros((parts, 2, x.shape[-1]))
  for kernel, stride, gradient in zip(kernels, strides, gradients, strict=True):
    side = kernel.shape[0]
    products = _products(residuals._replace(x=x), gradient, side, stride, parts)
    sums = sums + jnp.einsum("gijsco,ijco->gsc", products, kernel.astype(jnp.float32))
    normalised, ones = products[:, :, :, 0], products[:, :, :, 1]
    bar = residuals.scale[:, None] * normalised + residuals.bias[:, None] * ones
    kernel_bars.append(_sum_of_parts(bar.astype(kernel.dtype)))
  scale_bar, bias_bar = jnp.sum(sums, axis=0)

  x, gradients, scale_bar, bias_bar = lax.optimization_barrier(
    (x, gradients, scale_bar, bias_bar)
  )
  x_bar = _input_gradient(
    strides, residuals._replace(x=x), gradients, scale_bar, bias_bar
  )
  return x_bar, scale_bar, bias_bar, tuple(kernel_bars)


def _products(
  residuals: _Residuals,
  gradient: Float[Array, "batch height_out width_out out"],
  side: int,
  stride: int,
  parts: int,
) -> Float[Array, "parts side side 2 channels out"]:
  """The sums s1 and s0 over each part of the batch, for each position in the kernel.

  Args:
    residuals: those of the forward pass.
    gradient: the gradient at the convolution's output.
    side: the kernel's side.
    stride: the convolution's step.
    parts: see `convolve_normalised`.
  """
  x, moments, scale, bias, _ = residuals
  height, width, channels = x.shape[1:]
  # XLA computes broadcasts and what is elementwise as it reads a product's operands,
  # but it would store a concatenation of both factors. It would also convert x to
  # float32 before the broadcast, and store that, if nothing else came between.
  twice = lambda row: jnp.broadcast_to(row, (2, channels))
  one = lax.optimization_barrier(jnp.ones((2, channels), x.dtype))
  wide = jnp.broadcast_to(x[..., None, :], (*x.shape[:-1], 2, channels)) * one
  normalised = (wide - twice(moments.mean)) * twice(moments.gain)
  positive = (normalised * twice(scale) + twice(bias)).astype(gradient.dtype) > 0
  first = jnp.arange(2)[:, None] == 0
  factors = jnp.where(positive, jnp.where(first, normalised, 1.0), 0.0)
  factors = factors.astype(gradient.dtype)

  pads = []
  for size, steps in ((height, gradient.shape[1]), (width, gradient.shape[2])):
    before, _ = padding_of(size, side, stride)
    pads.append((before, (steps - 1) * stride + side - size - before))
  # The products are a convolution that sums over the frames, and whose kernel is the
  # gradient; both factors are its third spatial axis.
  in_part = functools.partial(
    lax.conv_general_dilated,
    window_strides=(1, 1, 1),
    padding=[*pads, (0, 0)],
    rhs_dilation=(stride, stride, 1),
    dimension_numbers=lax.ConvDimensionNumbers(
      (4, 0, 1, 2, 3), (4, 0, 1, 2, 3), (3, 4, 0, 1, 2)
    ),
    preferred_element_type=jnp.float32,
  )
  divide = lambda each: each.reshape(parts, -1, *each.shape[1:])
  return jax.vmap(in_part)(divide(factors), divide(gradient[..., None, :]))


def _sum_of_parts(x: Float[Array, "parts *shape"]) -> Float[Array, "*shape"]:
  """The sum over the first axis in the array's own type, in which devices exchange."""
  return lax.reduce(x, jnp.zeros((), x.dtype), lax.add, (0,))


def _input_gradient(
  strides: tuple[int, ...],
  residuals: _Residuals,
  gradients: Outputs,
  scale_bar: Float[Array, " channels"],
  bias_bar: Float[Array, " channels"],
) -> Float[Array, "batch height width channels"]:
  """The gradient of the map, given those of the scale and the bias."""
  x, moments, scale, bias, kernels = residuals
  dtype = kernels[0].dtype
  normalised = (x - moments.mean) * moments.gain
  positive = (normalised * scale + bias).astype(dtype) > 0
  transposed = jax.linear_transpose(
    lambda y: _convolve_all(strides, y, kernels), jax.ShapeDtypeStruct(x.shape, dtype)
  )
  (at_norm,) = transposed(gradients)
  at_norm = jnp.where(positive, at_norm, 0).astype(jnp.float32)
  count = x.shape[0] * x.shape[1] * x.shape[2]
  centred = at_norm - bias_bar / count - normalised * (scale_bar / count)
  return ((moments.gain * scale) * centred).astype(x.dtype)


convolve_normalised.defvjp(_forward, _backward)


class NormalisedConvolutions(nn.Module):
  """`convolve_normalised`, with the parameters of flax's `nn.BatchNorm`."""

  momentum: float = 0.99
  parts: int = 1  # See `convolve_normalised`.
  dtype: DTypeLike = jnp.float32  # The convolutions'; parameters are float32.

  @nn.compact
  def __call__(
    self,
    x: Float[Array, "batch height width channels"],
    kernels: Sequence[Float[Array, "_ _ channels _"]],
    strides: Sequence[int],
  ) -> Outputs:
    """Returns the convolutions' outputs, and updates the running statistics."""
    channels = x.shape[-1]
    mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,))
    var = self.variable("batch_stats", "var", jnp.ones, (channels,))
    scale = self.param("scale", nn.initializers.ones, (channels,))
    bias = self.param("bias", nn.initializers.zeros, (channels,))
    cast = tuple(kernel.astype(self.dtype) for kernel in kernels)
    outputs, moments = convolve_normalised(
      tuple(strides), self.parts, x, scale, bias, cast
    )
    if not self.is_initializing():
      keep = self.momentum
      mean.value = keep * mean.value + (1 - keep) * moments.mean
      var.value = keep * var.value + (1 - keep) * moments.variance
    return outputs
