import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mhmr_jax.models import temporal
from tests import drawn, tiny

BATCH, TIME, WIDTH, HIDDEN = 3, 7, 5, 6


@pytest.fixture(scope="module")
def inputs():
  return np.random.default_rng(0).normal(size=(BATCH, TIME, WIDTH)).astype(np.float32)


@pytest.fixture(scope="module")
def lstm(inputs):
  module = temporal.LSTM(HIDDEN)
  return module, drawn.variables(module.init, inputs)


def _as_flax(params):
  """Our parameters under the names of flax's cell."""
  split = {name: np.split(np.asarray(p), 4, axis=-1) for name, p in params.items()}
  cell = {}
  for index, gate in enumerate("ifgo"):
    cell[f"i{gate}"] = {"kernel": split["input_kernel"][index]}
    cell[f"h{gate}"] = {
      "kernel": split["recurrent_kernel"][index],
      "bias": split["bias"][index],
    }
  return {"params": {"cell": cell}}


def test_equals_flax_with_gradients(inputs, lstm):
  module, variables = lstm
  reference = nn.RNN(nn.OptimizedLSTMCell(HIDDEN), return_carry=True)

  def ours(variables, inputs):
    hidden, carry = module.apply(variables, inputs)
    return jnp.sum(jnp.sin(hidden)) + jnp.sum(carry[0]), (hidden, carry)

  def theirs(variables, inputs):
    carry, hidden = reference.apply(variables, inputs)
    return jnp.sum(jnp.sin(hidden)) + jnp.sum(carry[0]), (hidden, carry)

  (grads, grad_inputs), outputs = jax.jit(jax.grad(ours, (0, 1), has_aux=True))(
    variables, inputs
  )
  (ref_grads, ref_grad_inputs), ref_outputs = jax.jit(
    jax.grad(theirs, (0, 1), has_aux=True)
  )(_as_flax(variables["params"]), inputs)
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
  jax.tree.map(close, outputs, ref_outputs)
  close(grad_inputs, ref_grad_inputs)
  jax.tree.map(close, _as_flax(grads["params"]), ref_grads)


def test_forget_gate_starts_open(inputs):
  init = temporal.LSTM(HIDDEN).init
  bias = jax.jit(lambda *arguments: init(*arguments)["params"]["bias"])
  expected = np.repeat([0.0, 1.0, 0.0, 0.0], HIDDEN)
  np.testing.assert_array_equal(bias(jax.random.key(1), inputs), expected)


def test_chunks_equal_one_pass(inputs, lstm):
  module, variables = lstm
  apply = jax.jit(module.apply)
  whole, last = apply(variables, inputs)
  carry, chunks = None, []
  for start, stop in ((0, 1), (1, 4), (4, TIME)):
    hidden, carry = apply(variables, inputs[:, start:stop], carry)
    chunks.append(hidden)
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
  close(np.concatenate(chunks, axis=1), whole)
  jax.tree.map(close, carry, last)


def test_invalid_frame_is_as_if_absent(inputs, lstm):
  module, variables = lstm
  valid, garbage = np.ones((BATCH, TIME), bool), inputs.copy()
  valid[:, 3], garbage[:, 3] = False, 1e3
  present = np.array([0, 1, 2, 4, 5, 6])

  def loss(variables, inputs, valid):
    hidden, carry = module.apply(variables, inputs, None, valid)
    weights = 1.0 if valid is None else valid[..., None]
    return jnp.sum(jnp.sin(hidden) * weights), carry

  gradients = jax.jit(jax.grad(loss, has_aux=True))
  grads, carry = gradients(variables, garbage, valid)
  ref_grads, ref_carry = gradients(variables, inputs[:, present], None)
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
  jax.tree.map(close, (grads, carry), (ref_grads, ref_carry))


@pytest.mark.parametrize("hidden", [WIDTH, HIDDEN])
def test_output_is_added_to_the_feature(inputs, hidden):
  module = temporal.ResidualLSTM(hidden)
  variables = drawn.variables(module.init, inputs)
  apply = jax.jit(module.apply)
  outputs, carry = apply(variables, inputs)
  assert outputs.shape == inputs.shape
  assert carry[0].shape == (BATCH, hidden)
  assert ("project" in variables["params"]) == (hidden != WIDTH)
  zeros = jax.tree.map(np.zeros_like, variables)
  np.testing.assert_array_equal(apply(zeros, inputs)[0], inputs)


def test_backward_is_an_lstm_from_the_last_frame_to_the_first(inputs):
  hidden = WIDTH  # Both directions together are projected even so.
  module = temporal.ResidualLSTM(hidden, backward=True)
  carry = tuple(np.full((2, BATCH, hidden), 0.3, np.float32))
  variables = drawn.variables(module.init, inputs)
  valid = np.arange(TIME) < np.array([[TIME], [TIME - 2], [1]])
  outputs, last = jax.device_get(jax.jit(module.apply)(variables, inputs, carry, valid))
  params = variables["params"]
  apply = jax.jit(temporal.LSTM(hidden).apply)
  run = lambda *arguments: jax.device_get(apply(*arguments))
  forward, forward_carry = run({"params": params["lstm"]}, inputs, carry, valid)
  jax.tree.map(np.testing.assert_array_equal, last, forward_carry)
  for clip, length in enumerate(valid.sum(axis=1)):
    turned = inputs[clip : clip + 1, :length][:, ::-1]
    backward, _ = run({"params": params["backward_lstm"]}, turned)
    both = np.concatenate([forward[clip, :length], backward[0, ::-1]], axis=-1)
    expected = inputs[clip, :length] + both @ params["project"]["kernel"]
    np.testing.assert_allclose(outputs[clip, :length], expected, rtol=1e-4, atol=1e-5)


def test_bfloat16_keeps_a_float32_state(inputs):
  module = temporal.ResidualLSTM(HIDDEN, dtype=jnp.bfloat16)
  variables = drawn.variables(module.init, inputs)

  def value(variables, inputs):
    result = module.apply(variables, inputs)
    return jnp.sum(result[0]), result

  grads, rounded = jax.jit(jax.grad(value, has_aux=True))(variables, inputs)
  assert {g.dtype for g in jax.tree.leaves(grads)} == {jnp.dtype(jnp.float32)}
  exact = jax.jit(temporal.ResidualLSTM(HIDDEN).apply)(variables, inputs)
  assert rounded[1][0].dtype == jnp.float32
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=3e-2), rounded, exact)


def test_devices_exchange_the_gradients_once_and_no_activations():
  # Compiled as for users, not as for other tests.
  flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
  process = tiny.start_module("tests.models.lstm_exchanges", variables=flags)
  status, output, errors = tiny.end(process)
  assert status == 0, errors
  found, parameters = map(json.loads, output.splitlines()[-2:])
  assert {kind for kind, _ in found} == {"all-reduce"}
  assert sum(count for _, count in found) == parameters
