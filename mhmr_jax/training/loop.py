"""The loop of every training program: resume, step, write metrics and checkpoints."""

import functools
import math
import time
from collections.abc import Callable
from typing import Any

import grain.experimental
import jax
from absl import flags, logging
from etils import epath
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

from mhmr_jax.data import pipeline
from mhmr_jax.errors import InputError, RestartError
from mhmr_jax.runtime import process_flags, processes, program, sharding
from mhmr_jax.schema import Batch
from mhmr_jax.training import checkpoints, metric_writer
from mhmr_jax.training.train_step import TrainState

# The next state, and the step's scalars.
Step = Callable[
  [TrainState, Batch, PRNGKeyArray], tuple[TrainState, dict[str, jax.Array]]
]


def run(
  config: ConfigDict,
  workdir: epath.Path,
  mesh: Mesh,
  iterator: grain.experimental.ElasticIterator,
  *,
  init: Callable[[PRNGKeyArray], TrainState],
  step_fn: Step,
  state_shardings: Any,
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
    state_shardings: how the state lies on the mesh: of each leaf, or of all.
    frames: that a step sees, to show the speed.
    measure: formats the scalars to show beside the loss.

  Raises:
    InputError: the loss is not finite, or a checkpoint cannot be read or written.
    RestartError: a checkpoint was written because it was asked for (SIGTERM), or
      another process was lost.
  """
  with processes.StopRequest() as stop, processes.watched():
    make_key = functools.partial(jax.random.key, config.seed)
    key = jax.jit(make_key, out_shardings=sharding.replicated(mesh))()
    saved = checkpoints.Checkpoints(workdir)
    state = saved.resume(jax.eval_shape(init, key), iterator, state_shardings)
    if state is None:
      state = jax.jit(init, out_shardings=state_shardings)(key)
    else:
      logging.info("Resuming %s at step %d", workdir, int(state.step))
    reporter = _Reporter(config, workdir, int(state.step), frames, measure)
    try:
      return _loop(
        state, key, step_fn, iterator, mesh, saved, reporter, stop, config.train
      )
    finally:
      reporter.close()
      iterator.close()
      saved.close()


class _Reporter:
  """Writes and shows finished steps; of several processes, the first one's alone."""

  def __init__(
    self, config: ConfigDict, workdir: epath.Path, first: int, frames: int, measure: str
  ):
    self._writer = None
    if processes.is_first():
      self._writer = metric_writer.MetricWriter(workdir, first)
      self._progress = metric_writer.Progress(
        first, config.train.steps, frames, config.train.print_every, measure
      )

  def __call__(self, step: int, scalars: dict[str, Any]) -> bool:
    """Reports the step; False if its loss or gradient is not finite."""
    values = {name: float(value) for name, value in scalars.items()}
    if self._writer is not None:
      self._writer.write(step, values)
      self._progress.update(step, values)
    return math.isfinite(values["loss"] + values["grad_norm"])

  def keep(self) -> None:
    """What was reported outlives this process from here on."""
    if self._writer is not None:
      self._writer.keep()

  def close(self) -> None:
    if self._writer is not None:
      self._writer.close()


def _loop(
  state: TrainState,
  key: PRNGKeyArray,
  step_fn: Step,
  iterator: grain.experimental.ElasticIterator,
  mesh: Mesh,
  saved: checkpoints.Checkpoints,
  reporter: _Reporter,
  stop: processes.StopRequest,
  settings: ConfigDict,
) -> TrainState:
  def position(step: int) -> dict[str, int]:
    return {pipeline.POSITION: step * settings.batch_size}

  def report(step: int, scalars: dict[str, Any]) -> None:
    if not reporter(step, scalars):
      folder = saved.keep_failed(state, position(step - 1))
      raise InputError(
        f"The loss or its gradient is not finite at step {step}: the state before it "
        f"is kept in {folder}; lower config.train.learning_rate or look at the data."
      )

  pending: tuple[int, dict[str, Any]] | None = None
  for step in range(int(state.step) + 1, settings.steps + 1):
    begin = time.monotonic()
    batch = sharding.global_batch(next(iterator), mesh)
    waited = time.monotonic() - begin
    state, scalars = step_fn(state, batch, key)
    # Reading a step's scalars waits for it: do so while the next one runs.
    if pending is not None:
      report(*pending)
    pending = (step, {**scalars, "input_wait_s": waited})
    stopping = stop.is_due(step)
    if stopping or step == settings.steps or step % settings.checkpoint_every == 0:
      report(*pending)
      pending = None
      saved.save(state, position(step))
      reporter.keep()
    if stopping and step < settings.steps:
      saved.wait()
      processes.disconnect()
      raise RestartError(
        f"Stopped as asked after step {step}, which is saved: run the same command "
        "again to go on."
      )
  saved.wait()
  return state


def from_flags(
  config_flag: flags.FlagHolder,
  train: Callable[[ConfigDict, epath.Path], TrainState],
) -> None:
  """Trains what a program's flags say."""
  config = program.config_of(config_flag)
  workdir = program.workdir()
  process_flags.connect()
  train(config, workdir)
  if processes.is_first():
    print(f"trained: {workdir}")
