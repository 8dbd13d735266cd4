"""The loop of every training program: resume, step, write metrics and checkpoints."""

import math
import pathlib
import time
from collections.abc import Callable
from typing import Any

import grain.experimental
import jax
from absl import flags, logging
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

from mhmr_jax import checkpoints, metric_writer, program, sharding
from mhmr_jax.batch import Batch
from mhmr_jax.data import pipeline
from mhmr_jax.errors import InputError
from mhmr_jax.train_step import TrainState

# The next state, and the step's scalars.
Step = Callable[
  [TrainState, Batch, PRNGKeyArray], tuple[TrainState, dict[str, jax.Array]]
]


def run(
  config: ConfigDict,
  workdir: pathlib.Path,
  mesh: Mesh,
  iterator: grain.experimental.ElasticIterator,
  *,
  init: Callable[[PRNGKeyArray], TrainState],
  step_fn: Step,
  frames: int,
  measure: str,
) -> TrainState:
  """Trains from the latest checkpoint, or from the start, to the last step.

  Args:
    config: its `seed` and `train` are read.
    workdir: of this config.
    mesh: of the devices.
    iterator: this host's batches; closed at the end.
    init: the first state, from the run's key.
    step_fn: jitted.
    frames: that a step sees, to show the speed.
    measure: formats the scalars to show beside the loss.

  Raises:
    InputError: the loss is not finite, or a checkpoint cannot be read or written.
  """
  replicated = sharding.replicated(mesh)
  key = jax.device_put(jax.random.key(config.seed), replicated)
  saved = checkpoints.Checkpoints(workdir)
  state = saved.resume(jax.eval_shape(init, key), iterator, replicated)
  if state is None:
    state = jax.jit(init, out_shardings=replicated)(key)
  else:
    logging.info("Resuming %s at step %d", workdir, int(state.step))
  first = int(state.step)
  writer = metric_writer.MetricWriter(workdir, first)
  progress = metric_writer.Progress(
    first, config.train.steps, frames, config.train.print_every, measure
  )
  try:
    return _loop(state, key, step_fn, iterator, mesh, saved, writer, progress, config)
  finally:
    writer.close()
    iterator.close()
    saved.close()


def _loop(
  state: TrainState,
  key: PRNGKeyArray,
  step_fn: Step,
  iterator: grain.experimental.ElasticIterator,
  mesh: Mesh,
  saved: checkpoints.Checkpoints,
  writer: metric_writer.MetricWriter,
  progress: metric_writer.Progress,
  config: ConfigDict,
) -> TrainState:
  steps = config.train.steps

  def position(step: int) -> dict[str, int]:
    return {pipeline.POSITION: step * config.train.batch_size}

  def report(step: int, scalars: dict[str, Any]) -> None:
    values = {name: float(value) for name, value in scalars.items()}
    writer.write(step, values)
    progress.update(step, values)
    if not math.isfinite(values["loss"] + values["grad_norm"]):
      folder = saved.keep_failed(state, position(step - 1))
      raise InputError(
        f"The loss or its gradient is not finite at step {step}: the state before it "
        f"is kept in {folder}; lower config.train.learning_rate or look at the data."
      )

  pending: tuple[int, dict[str, Any]] | None = None
  for step in range(int(state.step) + 1, steps + 1):
    begin = time.monotonic()
    batch = sharding.global_batch(next(iterator), mesh)
    waited = time.monotonic() - begin
    state, scalars = step_fn(state, batch, key)
    # Reading a step's scalars waits for it: do so while the next one runs.
    if pending is not None:
      report(*pending)
    pending = (step, {**scalars, "input_wait_s": waited})
    if step == steps or step % config.train.checkpoint_every == 0:
      report(*pending)
      pending = None
      saved.save(state, position(step))
  saved.wait()
  return state


def from_flags(
  config_flag: flags.FlagHolder,
  train: Callable[[ConfigDict, pathlib.Path], TrainState],
) -> None:
  """Trains what a program's flags say."""
  config = program.require(config_flag)
  try:
    config.lock()
  # A config file that failed to load says so at the first look at its config.
  except OSError as error:
    reason = str(error).strip().splitlines()[-1].strip()
    raise InputError(f"--config cannot be loaded: {reason}") from error
  workdir = program.path_of(program.WORKDIR)
  train(config, workdir)
  print(f"trained: {workdir}")
