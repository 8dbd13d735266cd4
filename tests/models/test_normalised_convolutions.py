"""Against torch in float64, whose batch norm and convolutions are apart."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from mhmr_jax.models import normalised_convolutions

FRAMES, CHANNELS = 4, 6


def _arrays(size, outputs):
  """An input, scale, bias, kernels, and what the outputs' sums are weighted with."""
  rng = np.random.default_rng(0)
  x = rng.normal(2, 1.5, (FRAMES, size, size, CHANNELS))
  # One channel is off for nearly all inputs, one is on for all, one has no scale.
  scale, bias = rng.normal(0.5, 1, CHANNELS), rng.normal(0, 0.5, CHANNELS)
  scale[:3], bias[:2] = [0.5, 0.5, 0.0], [-1.5, 4.0]
  kernels, weights = [], []
  for features, side, stride in outputs:
    kernels.append(rng.normal(size=(side, side, CHANNELS, features)))
    steps = -(-size // stride)
    weights.append(rng.normal(size=(FRAMES, steps, steps, features)))
  float32 = functools.partial(np.asarray, dtype=np.float32)
  return jax.tree.map(float32, (x, scale, bias, kernels)), list(map(float32, weights))


def _of_torch(arrays, strides, weights):
  """Torch's outputs, moments, and gradients of the outputs' weighted sum."""
  x, scale, bias, kernels = jax.tree.map(
    lambda each: torch.tensor(each, dtype=torch.float64, requires_grad=True), arrays
  )
  mean, var = torch.zeros(CHANNELS).double(), torch.zeros(CHANNELS).double()
  y = torch.nn.functional.batch_norm(
    x.permute(0, 3, 1, 2), mean, var, scale, bias, training=True, momentum=1.0
  )
  outputs = []
  for kernel, stride in zip(kernels, strides, strict=True):
    # SAME padding, which torch has for stride 1 only.
    total = max((-(-x.shape[1] // stride) - 1) * stride + len(kernel) - x.shape[1], 0)
    before, after = total // 2, total - total // 2
    padded = torch.nn.functional.pad(y.relu(), (before, after, before, after))
    weight = kernel.permute(3, 2, 0, 1)
    outputs.append(torch.nn.functional.conv2d(padded, weight, stride=stride))
  outputs = [output.permute(0, 2, 3, 1) for output in outputs]
  sum(
    (output * torch.tensor(weight)).sum()
    for output, weight in zip(outputs, weights, strict=True)
  ).backward()
  count = x.numel() // CHANNELS
  moments = (mean, var * (count - 1) / count)  # Torch's is without bias.
  gradients = [x.grad, scale.grad, bias.grad, [kernel.grad for kernel in kernels]]
  return jax.tree.map(lambda each: each.detach().numpy(), (outputs, moments, gradients))


def _of_ours(arrays, strides, weights, parts, dtype=jnp.float32):
  @jax.jit
  def run(arrays):
    x, scale, bias, kernels = arrays
    (outputs, moments), pullback = jax.vjp(
      functools.partial(
        normalised_convolutions.convolve_normalised, tuple(strides), parts
      ),
      x.astype(dtype),
      scale,
      bias,
      tuple(kernel.astype(dtype) for kernel in kernels),
    )
    cotangents = tuple(jnp.asarray(weight, dtype) for weight in weights)
    return (
      outputs,
      moments,
      pullback((cotangents, jax.tree.map(jnp.zeros_like, moments))),
    )

  return run(arrays)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize(
  ("size", "outputs"),
  [
    (4, [(5, 1, 1)]),
    (4, [(5, 1, 1), (7, 1, 2)]),
    (5, [(5, 3, 2), (7, 1, 2)]),
    (6, [(5, 3, 1)]),
    (6, [(5, 3, 2)]),
  ],
)
def test_equals_torch_with_gradients(size, outputs, parts):
  arrays, weights = _arrays(size, outputs)
  strides = [stride for _, _, stride in outputs]
  close = functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-5)
  found = jax.tree.leaves(_of_ours(arrays, strides, weights, parts))
  expected = jax.tree.leaves(_of_torch(arrays, strides, weights))
  for ours, theirs in zip(found, expected, strict=True):
    close(ours, theirs)


def test_bfloat16_keeps_the_types_and_is_as_near_as_its_rounding():
  outputs, strides = [(5, 3, 1), (7, 1, 2)], [1, 2]
  arrays, weights = _arrays(6, outputs)
  arrays, weights = jax.tree.map(
    lambda each: np.float32(jnp.asarray(each, jnp.bfloat16)), (arrays, weights)
  )
  exact = _of_torch(arrays, strides, weights)
  outputs, moments, gradients = _of_ours(arrays, strides, weights, 2, jnp.bfloat16)
  x_bar, scale_bar, bias_bar, kernel_bars = gradients
  assert {str(each.dtype) for each in (*moments, scale_bar, bias_bar)} == {"float32"}
  assert {str(each.dtype) for each in (x_bar, *kernel_bars, *outputs)} == {"bfloat16"}
  for ours, theirs in zip(
    jax.tree.leaves((outputs, moments, gradients)),
    jax.tree.leaves(exact),
    strict=True,
  ):
    size = np.abs(theirs).max()
    np.testing.assert_allclose(np.float32(ours), theirs, atol=0.02 * size)
