"""A training task that compiles in a blink: a weight follows a stream of numbers."""

import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from mhmr_jax.data import pipeline
from mhmr_jax.runtime import sharding
from mhmr_jax.training import loop, train_step
from mhmr_jax.training.train_step import TrainState

BATCH_SIZE = 4
OPTIMIZER = optax.adam(0.1)


def settings(**overrides: int) -> ConfigDict:
  """The keys of a config's `train` that the loop reads."""
  values = {"steps": 10, "checkpoint_every": 3, "print_every": 2}
  return ConfigDict({"batch_size": BATCH_SIZE, **values, **overrides})


@jax.jit
def init(key: jax.Array) -> TrainState:
  variables = {"params": {"weight": jax.random.normal(key, (4,))}}
  return TrainState.create(variables, OPTIMIZER)


@jax.jit
def step(state, batch, key):
  noise = jax.random.normal(jax.random.fold_in(key, state.step), (4,))

  def loss_of(params):
    return jnp.mean((params["weight"] + 0.1 * noise - batch["number"][:, None]) ** 2)

  loss, gradients = jax.value_and_grad(loss_of)(state.params)
  state, norm = train_step.apply_gradients(state, loss, gradients, {}, OPTIMIZER)
  return state, {"loss": loss, "grad_norm": norm}


class Numbers:
  """Batches of numbers, all different; something may happen in place of a step's."""

  def __init__(
    self,
    fail_at: int = 0,
    nan_at: int = 0,
    sigterm_at: int = 0,
    rows: np.ndarray | None = None,  # Of this host.
  ):
    self._position = 0
    self._rows = np.arange(BATCH_SIZE) if rows is None else rows
    self._fail_at = fail_at
    self._nan_at = nan_at
    self._sigterm_at = sigterm_at
    self.closed = False

  def get_state(self) -> dict[str, int]:
    return {pipeline.POSITION: self._position}

  def set_state(self, state: dict[str, int]) -> None:
    self._position = state[pipeline.POSITION]

  def __next__(self) -> dict[str, np.ndarray]:
    batch = np.arange(self._position, self._position + BATCH_SIZE, dtype=np.float32)
    self._position += BATCH_SIZE
    number = self._position // BATCH_SIZE
    if number == self._fail_at:
      raise KeyError("the program is killed")
    if number == self._sigterm_at:
      os.kill(os.getpid(), signal.SIGTERM)
    if number == self._nan_at:
      batch[0] = np.nan
    return {"number": np.sin(batch)[self._rows]}

  def close(self) -> None:
    self.closed = True


def run(workdir, iterator, **overrides: int) -> TrainState:
  """Trains the toy in this process on one device."""
  mesh = sharding.make_mesh(jax.devices()[:1])
  return train(workdir, iterator, mesh, settings(**overrides))


def train(workdir, iterator, mesh, settings: ConfigDict) -> TrainState:
  """Trains the toy on the devices of a mesh, whose `fsdp` axis divides the state."""
  shardings, own_step = sharding.replicated(mesh), step
  if mesh.shape["fsdp"] > 1:
    shardings = sharding.of_state(jax.eval_shape(init, jax.random.key(0)), mesh, 1)
    own_step = jax.jit(step, out_shardings=(shardings, sharding.replicated(mesh)))
  task = loop.Task(init, own_step, shardings, 8, "norm {grad_norm:.3f}")
  return loop.run(
    task,
    iterator,
    mesh=mesh,
    workdir=workdir,
    seed=0,
    settings=settings,
  )
