"""Convolution and max pooling, each in a form that suits the backend.

XLA's CPU backend is slow at the gradients of convolutions and of max pooling: matrix
products ("dots") and a maximum over slices compute the same and train faster.
Accelerators use the plain operations. Both forms agree up to rounding and share their
parameters.
"""

from collections.abc import Iterator

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

FORMS = ("auto", "plain", "dots")


def resolve_form(form: str) -> str:
  """Returns 'plain' or 'dots'; 'auto' becomes the one that suits the default backend.

  Compiling ahead of time for an accelerator on a CPU host needs 'plain'.

  Raises:
    ValueError: the form is not one of FORMS.
  """
  if form not in FORMS:
    raise ValueError(f"form must be one of {FORMS}, got {form!r}")
  if form == "auto":
    return "dots" if jax.default_backend() == "cpu" else "plain"
  return form


def _padding(
  size: int, window: int, stride: int, padding: int | None
) -> tuple[int, int]:
  """Padding before and after an axis; None is XLA's SAME."""
  if padding is not None:
    return padding, padding
  total = max((-(-size // stride) - 1) * stride + window - size, 0)
  return total // 2, total - total // 2


def _shifted_slices(
  x: Float[Array, "batch height width channels"],
  window: int,
  stride: int,
  pad_value: float,
  padding: int | None = None,
) -> Iterator[Float[Array, "batch height_out width_out channels"]]:
  """Yields the strided input under each position in the window, row by row."""
  n, height, width, channels = x.shape
  pads = [_padding(size, window, stride, padding) for size in (height, width)]
  x = jnp.pad(x, ((0, 0), *pads, (0, 0)), constant_values=pad_value)
  span_h, span_w = ((size - window) // stride * stride + 1 for size in x.shape[1:3])
  for i in range(window):
    for j in range(window):
      limit = (n, i + span_h, j + span_w, channels)
      yield lax.slice(x, (0, i, j, 0), limit, (1, stride, stride, 1))


def _convolve_by_dots(
  x: Float[Array, "batch height width in"],
  kernel: Float[Array, "k k in out"],
  stride: int,
  padding: int | None,
) -> Float[Array, "batch height_out width_out out"]:
  window, _, channels, features = kernel.shape
  # One product over k² times the channels was faster than the sum of k² products at
  # every size that our networks have.
  slices = list(_shifted_slices(x, window, stride, 0.0, padding))
  columns = jnp.concatenate(slices, axis=-1)
  flat = kernel.reshape(window * window * channels, features)
  return jnp.dot(columns, flat, preferred_element_type=x.dtype)


def convolve(
  x: Float[Array, "batch height width in"],
  kernel: Float[Array, "k k in out"],
  stride: int = 1,
  form: str = "auto",
  padding: int | None = None,
) -> Float[Array, "batch height_out width_out out"]:
  """Convolves a map (NHWC) with a square kernel (HWIO).

  Args:
    x: the map.
    kernel: the weights.
    stride: the step along both axes.
    form: see `resolve_form`.
    padding: the number of zeros on every side. None is SAME, which adds one more zero
      after than before for odd totals.
  """
  if resolve_form(form) == "dots":
    return _convolve_by_dots(x, kernel, stride, padding)
  return lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    "SAME" if padding is None else [(padding, padding)] * 2,
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )


def max_pool(
  x: Float[Array, "batch height width channels"],
  window: int = 3,
  stride: int = 2,
  form: str = "auto",
) -> Float[Array, "batch height_out width_out channels"]:
  """The largest value under a square window, with SAME padding.

  At ties the two forms differ in which of the equal values receives the gradient.
  """
  if resolve_form(form) == "dots":
    slices = list(_shifted_slices(x, window, stride, -jnp.inf))
    largest = slices[0]
    for candidate in slices[1:]:
      largest = jnp.maximum(largest, candidate)
    return largest
  return nn.max_pool(x, (window, window), (stride, stride), "SAME")


class Conv2D(nn.Module):
  """A square convolution whose parameters are those of flax's `nn.Conv`."""

  features: int
  kernel_size: int = 3
  stride: int = 1
  padding: int | None = None  # See `convolve`.
  use_bias: bool = False
  dtype: DTypeLike = jnp.float32  # The computation's; parameters are float32.
  form: str = "auto"  # 'auto', 'plain' or 'dots': see `resolve_form`.
  kernel_init: nn.initializers.Initializer = nn.initializers.he_normal()

  @nn.compact
  def __call__(
    self, x: Float[Array, "batch height width in"]
  ) -> Float[Array, "batch height_out width_out out"]:
    """Convolves; SAME padding gives ceil(size / stride) rows and columns."""
    shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
    kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
    x = convolve(
      x.astype(self.dtype),
      kernel.astype(self.dtype),
      self.stride,
      self.form,
      self.padding,
    )
    if self.use_bias:
      bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
      x = x + bias.astype(self.dtype)
    return x
