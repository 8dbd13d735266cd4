"""Convolution and max pooling, each in a form that suits the backend.

XLA's CPU backend is slow at convolutions of patches and of single pixels, at the
gradient of large kernels, and at that of max pooling. The form "dots" computes these as
matrix products and as a maximum over slices; at 3x3 kernels the plain convolution is
the faster one. Accelerators use the plain operations alone. On TPUs, whose compiler
computes what is elementwise as it reads or writes a convolution's operands, the form
"fused" also takes batch norm and the convolutions after it together
(`models.normalised_convolutions`). All forms agree up to rounding and share their
parameters.
"""

import functools
from collections.abc import Iterator

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

FORMS = ("auto", "plain", "dots", "fused")
# The side of the largest kernel whose gradient XLA's CPU backend computes fast enough.
_LARGEST_PLAIN = 3


def resolve_form(form: str) -> str:
  """Returns the form; 'auto' becomes the one that suits the default backend.

  Compiling ahead of time on a CPU host needs 'fused' for TPUs, 'plain' for GPUs.

  Raises:
    ValueError: the form is not one of FORMS.
  """
  if form not in FORMS:
    raise ValueError(f"form must be one of {FORMS}, got {form!r}")
  if form == "auto":
    return {"cpu": "dots", "tpu": "fused"}.get(jax.default_backend(), "plain")
  return form


def padding_of(
  size: int, window: int, stride: int, padding: int | None = None
) -> tuple[int, int]:
  """Padding before and after an axis; None is XLA's SAME."""
  if padding is not None:
    return padding, padding
  total = max((-(-size // stride) - 1) * stride + window - size, 0)
  return total // 2, total - total // 2


def _shifted_slices(
  x: Float[Array, "*shape"],
  window: int,
  stride: int,
  pad_value: float,
  padding: int | None = None,
  rows: int = 1,
) -> Iterator[Float[Array, "*shape_out"]]:
  """Yields the strided input under each position in the window, row by row.

  Args:
    x: a map, whose axis `rows` are its rows and the next one its columns.
    window: the window's side.
    stride: the step along both axes.
    pad_value: the value around the map.
    padding: see `convolve`.
    rows: an axis.
  """
  pads = [(0, 0)] * x.ndim
  for axis in (rows, rows + 1):
    pads[axis] = padding_of(x.shape[axis], window, stride, padding)
  x = jnp.pad(x, pads, constant_values=pad_value)
  start, stop, steps = [0] * x.ndim, list(x.shape), [1] * x.ndim
  steps[rows : rows + 2] = stride, stride
  spans = [(size - window) // stride * stride + 1 for size in x.shape[rows : rows + 2]]
  for i in range(window):
    for j in range(window):
      start[rows : rows + 2] = i, j
      stop[rows : rows + 2] = i + spans[0], j + spans[1]
      yield lax.slice(x, start, stop, steps)


def _convolve_plainly(
  x: Float[Array, "batch height width in"],
  kernel: Float[Array, "k k in out"],
  stride: int,
  padding: int | None,
) -> Float[Array, "batch height_out width_out out"]:
  return lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    "SAME" if padding is None else [(padding, padding)] * 2,
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )


def _convolve_patches(
  x: Float[Array, "batch height width in"], kernel: Float[Array, "k k in out"]
) -> Float[Array, "batch height_out width_out out"]:
  """A convolution whose stride is its kernel's side, without padding."""
  n, height, width, channels = x.shape
  side, features = kernel.shape[0], kernel.shape[-1]
  # A row of a patch is contiguous, so that nothing moves before the product.
  rows = x.reshape(n, height // side, side, width // side, side * channels)
  flat = kernel.reshape(side, side * channels, features)
  return jnp.einsum("nyiwc,icf->nywf", rows, flat, preferred_element_type=x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve_by_dots(
  x: Float[Array, "batch height width in"],
  kernel: Float[Array, "k k in out"],
  stride: int,
  padding: int | None,
) -> Float[Array, "batch height_out width_out out"]:
  """The plain convolution, with `_kernel_gradient` as its kernel's gradient."""
  return _convolve_plainly(x, kernel, stride, padding)


def _by_dots_forward(
  x: Array, kernel: Array, stride: int, padding: int | None
) -> tuple[Array, tuple[Array, Array]]:
  return _convolve_plainly(x, kernel, stride, padding), (x, kernel)


def _by_dots_backward(
  stride: int, padding: int | None, inputs: tuple[Array, Array], cotangent: Array
) -> tuple[Array, Array]:
  x, kernel = inputs
  _, pullback = jax.vjp(lambda x: _convolve_plainly(x, kernel, stride, padding), x)
  (x_bar,) = pullback(cotangent)
  return x_bar, _kernel_gradient(x, cotangent, kernel.shape[0], stride, padding)


_convolve_by_dots.defvjp(_by_dots_forward, _by_dots_backward)


def _kernel_gradient(
  x: Float[Array, "batch height width in"],
  cotangent: Float[Array, "batch height_out width_out out"],
  window: int,
  stride: int,
  padding: int | None,
) -> Float[Array, "k k in out"]:
  """The gradient of a convolution with respect to its kernel.

  XLA's CPU product A^T B is several times as slow as A B for tall matrices, and it
  folds a transpose into the product that follows: the barriers keep the transposed
  arrays as they are. Columns of a whole kernel row were faster than those of one
  position, which are many small products, and than those of all, which leave the cache.
  """
  channels, features = x.shape[-1], cotangent.shape[-1]
  flat = cotangent.reshape(-1, features)
  maps = lax.optimization_barrier(x.transpose(3, 0, 1, 2))
  slices = list(_shifted_slices(maps, window, stride, 0.0, padding, rows=2))
  rows = []
  for start in range(0, window * window, window):
    columns = jnp.concatenate(slices[start : start + window])
    columns = lax.optimization_barrier(columns).reshape(window * channels, -1)
    rows.append(jnp.dot(columns, flat, preferred_element_type=x.dtype))
  return jnp.stack(rows).reshape(window, window, channels, features)


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
  window = kernel.shape[0]
  if resolve_form(form) == "dots":
    if window == 1 and not padding:
      return _convolve_patches(x[:, ::stride, ::stride], kernel)
    divided = x.shape[1] % window == x.shape[2] % window == 0
    if window == stride and divided and not padding:
      return _convolve_patches(x, kernel)
    if window > _LARGEST_PLAIN:
      return _convolve_by_dots(x, kernel, stride, padding)
  return _convolve_plainly(x, kernel, stride, padding)


def max_pool(
  x: Float[Array, "batch height width channels"],
  window: int = 3,
  stride: int = 2,
  form: str = "auto",
) -> Float[Array, "batch height_out width_out channels"]:
  """The largest value under a square window, with SAME padding.

  At ties the forms differ in which of the equal values receives the gradient.
  """
  if resolve_form(form) == "dots":
    slices = list(_shifted_slices(x, window, stride, -jnp.inf))
    largest = slices[0]
    for candidate in slices[1:]:
      largest = jnp.maximum(largest, candidate)
    return largest
  return nn.max_pool(x, (window, window), (stride, stride), "SAME")


class ConvKernel(nn.Module):
  """The kernel of a `Conv2D` of the same name."""

  features: int
  kernel_size: int = 3
  kernel_init: nn.initializers.Initializer = nn.initializers.he_normal()

  @nn.compact
  def __call__(self, channels: int) -> Float[Array, "k k channels out"]:
    """Returns the kernel for a map of so many channels."""
    shape = (self.kernel_size, self.kernel_size, channels, self.features)
    return self.param("kernel", self.kernel_init, shape, jnp.float32)


class Conv2D(nn.Module):
  """A square convolution whose parameters are those of flax's `nn.Conv`."""

  features: int
  kernel_size: int = 3
  stride: int = 1
  padding: int | None = None  # See `convolve`.
  use_bias: bool = False
  dtype: DTypeLike = jnp.float32  # The computation's; parameters are float32.
  form: str = "auto"  # One of FORMS.
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
