import jax
import numpy as np
import optax
import pytest

from mhmr_jax.flow import flownets

torch = pytest.importorskip("torch")


def test_up_convolution_is_the_transposed_one():
  module = flownets.UpConv(3, "dots")
  x = jax.random.normal(jax.random.key(1), (2, 5, 4, 6))
  y, variables = jax.jit(module.init_with_output)(jax.random.key(0), x)
  kernel = np.asarray(variables["params"]["Conv2D_0"]["kernel"])
  # Tap (a, b) of output kind (i, j) is tap (3 - 2a - (1 - i), ...) of the 4x4 kernel.
  full = np.zeros((6, 3, 4, 4), np.float32)
  parts = kernel.reshape(2, 2, 6, 2, 2, 3)
  for a, b, i, j in np.ndindex(2, 2, 2, 2):
    full[:, :, 2 * (1 - a) + i, 2 * (1 - b) + j] = parts[a, b, :, i, j]
  expected = torch.nn.functional.conv_transpose2d(
    torch.tensor(np.array(x).transpose(0, 3, 1, 2)),
    torch.tensor(full),
    stride=2,
    padding=1,
  )
  np.testing.assert_allclose(y, expected.numpy().transpose(0, 2, 3, 1), atol=1e-4)


@pytest.mark.parametrize(("finest", "sides"), [(4, 5), (2, 6)])
def test_flows_double_in_size(finest, sides):
  model = flownets.FlowNetS(width=0.05, finest=finest)
  shape = jax.ShapeDtypeStruct((1, 128, 192, 3), np.float32)
  flows, variables = jax.eval_shape(
    model.init_with_output, jax.random.key(0), shape, shape
  )
  assert [flow.shape for flow in flows] == [
    (1, 2 * 2**level, 3 * 2**level, 2) for level in range(sides)
  ]
  assert sum("conv" in name for name in variables["params"]) == 10


def test_the_papers_size():
  shape = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
  params = jax.eval_shape(flownets.FlowNetS().init, jax.random.key(0), shape, shape)
  # Published implementations count it so.
  assert sum(leaf.size for leaf in jax.tree.leaves(params)) == pytest.approx(
    38.7e6, rel=0.01
  )


def test_loss_is_the_end_point_error_of_valid_pixels_at_all_sizes():
  model = flownets.FlowNetS(width=0.05, form="plain")
  images = np.zeros((2, 1, 64, 64, 3), np.float32)
  shapes = jax.eval_shape(model.init, jax.random.key(0), *images)
  variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
  flow = np.full((1, 64, 64, 2), np.nan, np.float32)
  valid = np.zeros((1, 64, 64), bool)
  valid[0, :20, :20] = True
  flow[valid] = [3.0, -4.0]
  # Without weights it says zero: five errors of 5 pixels.
  run = jax.jit(lambda *args: model.apply(*args, method="loss"))
  loss, estimate = run(variables, *images, flow, valid)
  assert loss == pytest.approx(5 * (1 + 1 / 2 + 1 / 4 + 1 / 8 + 1 / 16), rel=1e-4)
  assert estimate.shape == (1, 64, 64, 2)


@pytest.mark.slow
def test_it_learns_to_tell_shifts_apart():
  rng = np.random.default_rng(0)
  texture = rng.uniform(-1, 1, (72, 72, 3)).astype(np.float32)
  cut = lambda x, y: texture[4 + y : 68 + y, 4 + x : 68 + x]
  moves = np.array([[2, 0], [-2, 0], [0, 2], [0, -2]])
  first = np.stack([cut(0, 0)] * 4)
  second = np.stack([cut(-x, -y) for x, y in moves])
  flow = np.broadcast_to(moves[:, None, None], (4, 64, 64, 2)).astype(np.float32)
  valid = np.ones((4, 64, 64), bool)
  pairs = first, second, flow, valid
  model = flownets.FlowNetS(width=0.05, unit=4.0, form="plain")
  variables = jax.jit(model.init)(jax.random.key(0), first, second)
  optimizer = optax.adam(3e-3)

  @jax.jit
  def step(variables, state, pairs):
    loss_of = lambda v: model.apply(v, *pairs, method="loss")[0]
    loss, gradients = jax.value_and_grad(loss_of)(variables)
    updates, state = optimizer.update(gradients, state)
    return optax.apply_updates(variables, updates), state, loss

  state = jax.jit(optimizer.init)(variables)
  losses = []
  for _ in range(30):
    variables, state, loss = step(variables, state, pairs)
    losses.append(float(loss))
  assert losses[-1] < 0.3 * losses[0]
