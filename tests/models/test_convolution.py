import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mhmr_jax.models import convolution


def _inputs(size, channels=5):
  x = np.random.default_rng(0).normal(size=(2, *size, channels))
  return x.astype(np.float32)


# Every kernel meets every size, and every stride meets every kernel and every size.
_KERNELS = (1, 3, 4, 7)
_SIZES = (((8, 8), None), ((9, 11), 2), ((12, 7), None), ((8, 10), 3))
_CASES = [
  (_KERNELS[row], (1, 2, 4, 2)[(row + column) % 4], *_SIZES[column])
  for row, column in np.ndindex(4, 4)
]


@pytest.mark.parametrize(("kernel_size", "stride", "size", "padding"), _CASES)
def test_dots_equal_plain_with_gradients(kernel_size, stride, size, padding):
  x = _inputs(size)
  kernel = np.random.default_rng(1).normal(size=(kernel_size, kernel_size, 5, 6))
  kernel = kernel.astype(np.float32)

  def run(form):
    def value(x, kernel):
      y = convolution.convolve(x, kernel, stride, form, padding)
      return jnp.sum(jnp.sin(y)), y

    return jax.jit(jax.grad(value, argnums=(0, 1), has_aux=True))(x, kernel)

  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-4),
    run("dots"),
    run("plain"),
  )


def test_the_default_stem_is_the_plain_convolution():
  x = jax.random.normal(jax.random.key(0), (3, 64, 64, 2))
  kernel = jax.random.normal(jax.random.key(1), (8, 8, 2, 32)) / 12
  run = jax.jit(convolution.convolve, static_argnums=(2, 3))
  expected = run(x, kernel, 8, "plain")
  np.testing.assert_allclose(run(x, kernel, 8, "dots"), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (9, 7)])
def test_max_pool_forms_agree_with_gradients(size):
  x = _inputs(size) - 3.0  # Negative: a padding of zeros would win.

  def run(form):
    value = lambda x: jnp.sum(jnp.sin(convolution.max_pool(x, form=form)))
    return jax.jit(jax.value_and_grad(value))(x)

  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
    run("dots"),
    run("plain"),
  )


@pytest.mark.parametrize("form", ["plain", "dots"])
def test_module_equals_flax_conv_given_its_parameters(form):
  x = _inputs((9, 8))
  reference = nn.Conv(6, (3, 3), strides=2)
  variables = jax.jit(reference.init)(jax.random.key(2), x)
  ours = convolution.Conv2D(6, 3, 2, use_bias=True, form=form)
  np.testing.assert_allclose(
    jax.jit(ours.apply)(variables, x),
    jax.jit(reference.apply)(variables, x),
    rtol=1e-4,
    atol=1e-5,
  )


@pytest.mark.parametrize("form", ["plain", "dots"])
def test_computes_in_dtype_with_float32_parameters(form):
  module = convolution.Conv2D(6, dtype=jnp.bfloat16, form=form)
  y, variables = jax.jit(module.init_with_output)(jax.random.key(0), _inputs((4, 4)))
  assert y.dtype == jnp.bfloat16
  assert variables["params"]["kernel"].dtype == jnp.float32


def test_auto_follows_the_backend(monkeypatch):
  monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
  assert convolution.resolve_form("auto") == "fused"
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  assert convolution.resolve_form("auto") == "plain"
  monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
  assert convolution.resolve_form("auto") == "dots"
  assert convolution.resolve_form("plain") == "plain"
  with pytest.raises(ValueError, match="form"):
    convolution.resolve_form("fast")
