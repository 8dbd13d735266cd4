import jax
import numpy as np
import pytest

from mhmr_jax.flow import raft, raft_weights
from tests.flow import torchvision_raft

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def reference():
  return torchvision_raft.raft_small()


@pytest.fixture(scope="module")
def variables(reference):
  return raft_weights.raft_small(torchvision_raft.tensors(reference), "memory")


@pytest.fixture(scope="module")
def seen(reference):
  """Two pairs of frames, and the flow of them after each update by torchvision."""
  images = np.random.default_rng(0).uniform(-1, 1, (2, 2, 128, 136, 3))
  images = images.astype(np.float32)
  with torch.no_grad():
    flows = reference(
      *(torch.tensor(x.transpose(0, 3, 1, 2)) for x in images), num_flow_updates=2
    )
  return images, np.stack([flow.numpy().transpose(0, 2, 3, 1) for flow in flows])


@pytest.mark.parametrize("form", ["plain", "dots"])
def test_agrees_with_torchvision(variables, seen, form):
  images, expected = seen
  model = raft.RaftSmall(updates=2, form=form)

  @jax.jit
  def run(variables, first, second):
    return raft.enlarge(model.apply(variables, first, second), 128, 136)

  assert np.abs(expected).max() > 5
  np.testing.assert_allclose(run(variables, *images), expected, atol=1e-3)


def test_look_up_is_bilinear_and_zero_outside():
  volume = np.random.default_rng(0).normal(size=(1, 2, 3, 6, 5)).astype(np.float32)
  # Pixel (2, 1) points to (0.75, 2.5).
  flow = np.zeros((1, 2, 3, 2), np.float32)
  flow[0, 1, 2] = [-1.25, 1.5]
  found = np.asarray(jax.jit(raft.look_up)([volume], flow)).reshape(1, 2, 3, 7, 7)
  padded = np.pad(volume[0, 1, 2], 8)

  def at(x, y):
    x0, y0 = int(np.floor(x)), int(np.floor(y))
    corners = padded[y0 + 8 : y0 + 10, x0 + 8 : x0 + 10]
    return np.array([y0 + 1 - y, y - y0]) @ corners @ np.array([x0 + 1 - x, x - x0])

  expected = [[at(0.75 + i, 2.5 + j) for j in range(-3, 4)] for i in range(-3, 4)]
  np.testing.assert_allclose(found[0, 1, 2], expected, atol=1e-5)


@pytest.mark.slow
def test_loss_counts_valid_pixels_of_later_updates_most(variables, seen):
  images, flows = (array[:, :1] for array in seen)
  flow = np.full((1, 128, 136, 2), 3.0, np.float32)
  valid = np.zeros((1, 128, 136), bool)
  valid[:, :50] = True
  flow[~valid] = np.nan  # Whatever is not valid says nothing.
  model = raft.RaftSmall(updates=2)
  run = jax.jit(lambda *args: model.apply(*args, method="loss"))
  loss, estimate = run(variables, *images, flow, valid)
  errors = [np.abs(theirs[0, :50] - 3).sum(-1).mean() for theirs in flows]
  assert loss == pytest.approx(np.dot(errors, [0.8, 1.0]), rel=1e-4)
  np.testing.assert_allclose(estimate, flows[-1], atol=1e-3)
