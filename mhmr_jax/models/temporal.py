"""The LSTMs over time, whose output is added to the frames' features."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

# The cell and the hidden state, in float32.
Carry = tuple[Float[Array, "batch hidden"], Float[Array, "batch hidden"]]


def initial_carry(batch_size: int, features: int) -> Carry:
  """The state at the start of a clip."""
  zeros = jnp.zeros((batch_size, features), jnp.float32)
  return zeros, zeros


def _scan(
  kernel: Float[Array, "hidden gates"],
  projected: Float[Array, "time batch gates"],
  carry: Carry,
  valid: Bool[Array, "time batch"],
) -> tuple[Float[Array, "time batch hidden"], Carry]:
  """Runs the recurrence; an invalid frame leaves the carry unchanged."""

  def step(
    carry: Carry, inputs: tuple[Array, Array]
  ) -> tuple[Carry, Float[Array, "batch hidden"]]:
    cell, hidden = carry
    projected, valid = inputs
    recurrent = jnp.dot(
      hidden.astype(kernel.dtype), kernel, preferred_element_type=jnp.float32
    )
    i, f, g, o = jnp.split(projected + recurrent, 4, axis=-1)
    next_cell = nn.sigmoid(f) * cell + nn.sigmoid(i) * jnp.tanh(g)
    next_hidden = nn.sigmoid(o) * jnp.tanh(next_cell)
    keep = valid[:, None]
    cell = jnp.where(keep, next_cell, cell)
    hidden = jnp.where(keep, next_hidden, hidden)
    return (cell, hidden), hidden

  carry, hidden = lax.scan(step, carry, (projected, valid))
  return hidden, carry


@jax.custom_vjp
def _recur(
  kernel: Float[Array, "hidden gates"],
  projected: Float[Array, "time batch gates"],
  carry: Carry,
  valid: Bool[Array, "time batch"],
) -> tuple[Float[Array, "time batch hidden"], Carry]:
  """`_scan`, with the kernel's gradient as one product over all frames after the scan.

  Plain autodiff adds to a [hidden, gates] matrix at every step, and under data
  parallelism sums it over the devices inside the loop.
  """
  return _scan(kernel, projected, carry, valid)


def _recur_forward(
  kernel: Array, projected: Array, carry: Carry, valid: Array
) -> tuple[tuple[Array, Carry], tuple[Any, Array, Array]]:
  (hidden, last), pullback = jax.vjp(
    lambda projected, carry: _scan(kernel, projected, carry, valid), projected, carry
  )
  previous = jnp.concatenate([carry[1][None], hidden[:-1]])
  return (hidden, last), (pullback, previous, kernel)


def _recur_backward(
  residuals: tuple[Any, Array, Array], cotangents: tuple[Array, Carry]
) -> tuple[Array, Array, Carry, None]:
  pullback, previous, kernel = residuals
  projected_bar, carry_bar = pullback(cotangents)
  # The pre-activations are projected + previous @ kernel, so both have one gradient.
  # The sum runs over both axes unmerged: merged into one, XLA would gather the clips
  # of all devices on each of them first.
  kernel_bar = jnp.einsum(
    "tbh,tbg->hg",
    previous.astype(kernel.dtype),
    projected_bar.astype(kernel.dtype),
    preferred_element_type=jnp.float32,
  )
  return kernel_bar.astype(kernel.dtype), projected_bar, carry_bar, None


_recur.defvjp(_recur_forward, _recur_backward)


def _per_gate(initializer: nn.initializers.Initializer) -> nn.initializers.Initializer:
  """Returns an initialiser that draws each gate's block of a kernel by itself."""

  def initialize(
    key: Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32
  ) -> Array:
    block = (shape[0], shape[1] // 4)
    keys = jax.random.split(key, 4)
    return jnp.concatenate([initializer(k, block, dtype) for k in keys], axis=-1)

  return initialize


def _bias_init(
  key: Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32
) -> Array:
  """Sets the forget gate's bias to 1, so that memory lasts from the start, others 0."""
  del key
  hidden = shape[0] // 4
  return jnp.zeros(shape, dtype).at[hidden : 2 * hidden].set(1.0)


class LSTM(nn.Module):
  """Long short-term memory with the gates in the order input, forget, cell, output.

  One product outside the scan projects the inputs of all frames.
  """

  features: int
  dtype: DTypeLike = jnp.float32  # The products'; state and gates are float32.

  @nn.compact
  def __call__(
    self,
    inputs: Float[Array, "batch time features"],
    carry: Carry | None = None,
    valid: Bool[Array, "batch time"] | None = None,
  ) -> tuple[Float[Array, "batch time hidden"], Carry]:
    """Runs over the clip from `carry`, by default zeros; returns the last carry too."""
    gates = 4 * self.features
    input_kernel = self.param(
      "input_kernel",
      _per_gate(nn.initializers.lecun_normal()),
      (inputs.shape[-1], gates),
    )
    recurrent_kernel = self.param(
      "recurrent_kernel",
      _per_gate(nn.initializers.orthogonal()),
      (self.features, gates),
    )
    bias = self.param("bias", _bias_init, (gates,))
    if carry is None:
      carry = initial_carry(inputs.shape[0], self.features)
    if valid is None:
      valid = jnp.ones(inputs.shape[:2], bool)
    # Time moves to the front before the product, as XLA's CPU backend has no bfloat16
    # product that transposes its result.
    projected = jnp.dot(
      inputs.swapaxes(0, 1).astype(self.dtype),
      input_kernel.astype(self.dtype),
      preferred_element_type=jnp.float32,
    )
    hidden, carry = _recur(
      recurrent_kernel.astype(self.dtype), projected + bias, carry, valid.T
    )
    return hidden.swapaxes(0, 1), carry


class ResidualLSTM(nn.Module):
  """An LSTM whose output is added to its input, after a projection if widths differ.

  With `backward` a second LSTM runs from the last frame to the first (Schuster and
  Paliwal 1997), so that a frame sees those after it, and both outputs are projected
  together. It always begins without memory: of the frames after the given ones nothing
  is known.
  """

  features: int
  backward: bool = False
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    inputs: Float[Array, "batch time features"],
    carry: Carry | None = None,
    valid: Bool[Array, "batch time"] | None = None,
  ) -> tuple[Float[Array, "batch time features"], Carry]:
    """Runs over the clip as `LSTM` does; the carry is that of the forward LSTM."""
    hidden, carry = LSTM(self.features, dtype=self.dtype, name="lstm")(
      inputs, carry, valid
    )
    if self.backward:
      turned_valid = None if valid is None else jnp.flip(valid, axis=1)
      later, _ = LSTM(self.features, dtype=self.dtype, name="backward_lstm")(
        jnp.flip(inputs, axis=1), None, turned_valid
      )
      hidden = jnp.concatenate([hidden, jnp.flip(later, axis=1)], axis=-1)
    if hidden.shape[-1] != inputs.shape[-1]:
      hidden = nn.Dense(inputs.shape[-1], dtype=self.dtype, name="project")(hidden)
    return inputs + hidden.astype(inputs.dtype), carry
