"""The loop of every training program: resume, step, write metrics and checkpoints.

A program says in a `Task` what it trains; the loop knows nothing of networks. A run
that is stopped and started again, on other devices or in another number of processes,
continues with the remaining examples, in the order that they would have had.
"""

import contextlib
import functools
import gc
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
from absl import flags, logging
from etils import epath
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

from mhmr_jax.data import pipeline
from mhmr_jax.errors import InputError, RestartError
from mhmr_jax.runtime import process_flags, processes, program, sharding
from mhmr_jax.schema import Batch, HostBatch
from mhmr_jax.training import checkpoints, metric_writer
from mhmr_jax.training.train_step import Scalars, TrainState


class Task(NamedTuple):
  """What a program trains, and how its progress is shown.

  Attributes:
    init: makes the first state from the run's key; traceable.
    step: (state, batch, key) -> (next state, scalars); jitted. The scalars include
      `loss` and `grad_norm`.
    state_shardings: where the state goes on the mesh: one sharding for each leaf, or
      one for all.
    frames: frames per step, to show the speed.
    measure: a format string of the scalar to show beside the loss.
  """

  init: Callable[[PRNGKeyArray], TrainState]
  step: Callable[[TrainState, Batch, PRNGKeyArray], tuple[TrainState, Scalars]]
  state_shardings: Any
  frames: int
  measure: str


@runtime_checkable
class BatchIterator(checkpoints.Positioned, Protocol):
  """This host's rows of one global batch after another, from any position."""

  def __next__(self) -> HostBatch:
    """Returns this host's rows of the next batch."""

  def close(self) -> None:
    """Ends the processes that load."""


def run(
  task: Task,
  iterator: BatchIterator,
  *,
  mesh: Mesh,
  workdir: epath.Path,
  seed: int,
  settings: ConfigDict,
) -> TrainState:
  """Trains from the latest checkpoint, or from the start, to the last step.

  Args:
    task: what to train.
    iterator: the data; closed at the end.
    mesh: the mesh of all devices.
    workdir: where metrics and checkpoints are; it exists.
    seed: the seed of the run's key.
    settings: the config's `train`: steps, batch_size, checkpoint_every, print_every.

  Returns:
    The state after the last step.

  Raises:
    InputError: the loss is not finite, or a checkpoint cannot be read or written.
    RestartError: the run was asked to stop (SIGTERM) and has saved a checkpoint, or
      another process was lost.
  """
  with (
    processes.StopRequest() as stop,
    processes.watched(),
    checkpoints.claimed(workdir) as check_workdir,
  ):
    make_key = functools.partial(jax.random.key, seed)
    key = jax.jit(make_key, out_shardings=sharding.replicated(mesh))()
    saved = checkpoints.Checkpoints(workdir)
    abstract_state = jax.eval_shape(task.init, key)
    state = saved.resume(abstract_state, iterator, task.state_shardings)
    if state is None:
      state = jax.jit(task.init, out_shardings=task.state_shardings)(key)
    else:
      logging.info("Resuming %s at step %d", workdir, int(state.step))

    def advance(state: TrainState) -> tuple[TrainState, dict[str, Any]]:
      begin = time.monotonic()
      batch = sharding.global_batch(next(iterator), mesh)
      waited = time.monotonic() - begin
      state, scalars = task.step(state, batch, key)
      return state, {**scalars, "input_wait_s": waited}

    reporter = _Reporter(task, workdir, int(state.step), settings)
    with (
      contextlib.closing(saved),
      _closing_loader(iterator),
      contextlib.closing(reporter),
    ):
      outputs = _Outputs(saved, reporter, check_workdir, settings.batch_size)
      return _loop(state, advance, outputs, stop, settings)


@contextlib.contextmanager
def _closing_loader(iterator: BatchIterator) -> Iterator[None]:
  """Closes the data, and frees the memory that is shared with the loaders.

  JAX lets go of batches that it did not copy only when Python collects. What is still
  held when the program ends is reported as leaked.
  """
  try:
    yield
  finally:
    iterator.close()
    gc.collect()


class _Reporter:
  """Writes and shows finished steps; only the first of several processes does."""

  def __init__(
    self, task: Task, workdir: epath.Path, first_step: int, settings: ConfigDict
  ):
    self._writer = None
    if processes.is_first():
      self._writer = metric_writer.MetricWriter(workdir, first_step)
      self._progress = metric_writer.Progress(
        settings.steps, task.frames, settings.print_every, task.measure
      )

  def __call__(self, step: int, values: dict[str, float]) -> None:
    """Reports one step."""
    if self._writer is not None:
      self._writer.write(step, values)
      self._progress.update(step, values)

  def keep(self) -> None:
    """Makes what was reported so far outlive this process."""
    if self._writer is not None:
      self._writer.keep()

  def close(self) -> None:
    if self._writer is not None:
      self._writer.close()
      self._progress.close()


class _Outputs:
  """What a run leaves in its work directory: metrics and checkpoints."""

  def __init__(
    self,
    saved: checkpoints.Checkpoints,
    reporter: _Reporter,
    check_workdir: Callable[[], None],
    batch_size: int,
  ):
    self._saved = saved
    self._reporter = reporter
    self._check_workdir = check_workdir
    self._batch_size = batch_size

  def _position(self, step: int) -> dict[str, int]:
    # The iterator itself may have read ahead of this step.
    return {pipeline.POSITION: step * self._batch_size}

  def report(self, step: int, scalars: dict[str, Any], state: TrainState) -> None:
    """Reports a step.

    Args:
      step: its number.
      scalars: what it returned; this waits for them.
      state: the state after it or after a later step.

    Raises:
      InputError: its loss or gradient is not finite; the state before it is kept.
    """
    values = {name: float(value) for name, value in scalars.items()}
    self._reporter(step, values)
    if not math.isfinite(values["loss"] + values["grad_norm"]):
      # From the failing step on, steps leave the state as it was.
      folder = self._saved.keep_failed(state, self._position(step - 1))
      raise InputError(
        f"The loss or its gradient is not finite at step {step}: the state before it "
        f"is kept in {folder}; look at the data, or train in another --workdir with a "
        "lower config.train.learning_rate."
      )

  def save(self, step: int, state: TrainState) -> None:
    """Starts to write a checkpoint, and keeps the metrics up to it."""
    self._check_workdir()
    self._saved.save(state, self._position(step))
    self._reporter.keep()

  def wait(self) -> None:
    """Returns when all checkpoints are on disk."""
    self._saved.wait()
    self._check_workdir()


def _loop(
  state: TrainState,
  advance: Callable[[TrainState], tuple[TrainState, dict[str, Any]]],
  outputs: _Outputs,
  stop: processes.StopRequest,
  settings: ConfigDict,
) -> TrainState:
  """Runs `advance` until the last step or a request to stop."""
  pending: tuple[int, dict[str, Any]] | None = None
  for step in range(int(state.step) + 1, settings.steps + 1):
    state, scalars = advance(state)
    # Reading a step's scalars waits for it: do so while the next one runs.
    if pending is not None:
      outputs.report(*pending, state)
    pending = (step, scalars)
    stopping = stop.is_due(step)
    if stopping or step == settings.steps or step % settings.checkpoint_every == 0:
      outputs.report(*pending, state)
      pending = None
      outputs.save(step, state)
    if stopping and step < settings.steps:
      outputs.wait()
      processes.disconnect()
      raise RestartError(
        f"Stopped as asked after step {step}, which is saved: run the same command "
        "again to go on."
      )
  outputs.wait()
  return state


def from_flags(
  config_flag: flags.FlagHolder,
  train: Callable[[ConfigDict, epath.Path], TrainState],
) -> None:
  """Runs a program's `train` with the config and work directory of its flags."""
  config = program.config_of(config_flag)
  workdir = program.workdir()
  with processes.stoppable():
    process_flags.connect()
    train(config, workdir)
  if processes.is_first():
    print(f"trained: {workdir}")
