"""Trains Motion HMR.

  python -m mhmr_jax.train --config=configs/flow_kp.py --workdir=DIR

Generates the clips it lacks, resumes from the work directory's latest checkpoint,
and ends with one in `DIR/checkpoints`.
"""

import functools
import math
import pathlib
import time
from collections.abc import Callable
from typing import Any

import grain.experimental
import jax
from absl import logging
from jax.sharding import Mesh
from ml_collections import ConfigDict, config_flags

from mhmr_jax import checkpoints, metric_writer, program, sharding, train_step
from mhmr_jax.body import smpl
from mhmr_jax.data import pipeline, sources
from mhmr_jax.errors import InputError
from mhmr_jax.models import motion_hmr
from mhmr_jax.train_step import TrainState

_CONFIG = config_flags.DEFINE_config_file("config", None, "Experiment to run.")


def train(config: ConfigDict, workdir: pathlib.Path) -> TrainState:
  """Runs the experiment to its last step.

  Raises:
    InputError: for bad input of any kind, before the work directory is made where
      that can be known by then.
  """
  # ---- Check, before anything is made.
  sources.check_paths(config)
  pipeline.InputSpec.from_config(config)
  mesh = sharding.make_mesh()
  sharding.check_batch_size(config.train.batch_size, mesh)
  body = smpl.load(config.body.path or None)
  model = motion_hmr.from_config(config.model, config.data.size)
  optimizer = train_step.make_optimizer(config)
  checkpoints.prepare_workdir(workdir, config)

  # ---- Data.
  source = sources.open_training(config)
  iterator = pipeline.training_iterator(
    source, config, jax.process_index(), jax.process_count()
  )

  # ---- State, on the mesh: restored where there is a checkpoint.
  replicated, batched = sharding.replicated(mesh), sharding.batched(mesh)
  key = jax.device_put(jax.random.key(config.seed), replicated)
  body = jax.device_put(body, replicated)
  init = functools.partial(
    train_step.init_state,
    batch=checkpoints.input_shapes(config),
    model=model,
    optimizer=optimizer,
  )
  saved = checkpoints.Checkpoints(workdir)
  state = saved.resume(jax.eval_shape(init, key), iterator, replicated)
  if state is None:
    state = jax.jit(init, out_shardings=replicated)(key)
  else:
    logging.info("Resuming %s at step %d", workdir, int(state.step))

  # ---- Step, jitted once.
  jitted = jax.jit(
    functools.partial(
      train_step.train_step,
      model=model,
      optimizer=optimizer,
      loss_weights=config.loss.to_dict(),
    ),
    in_shardings=(replicated, batched, replicated, replicated),
    out_shardings=(replicated, replicated),
    donate_argnums=0,
  )
  step_fn = lambda state, batch: jitted(state, batch, key, body)

  # ---- Loop.
  first = int(state.step)
  writer = metric_writer.MetricWriter(workdir, first)
  try:
    return _loop(state, first, step_fn, iterator, mesh, saved, writer, config)
  finally:
    writer.close()
    iterator.close()
    saved.close()


def _loop(
  state: TrainState,
  first: int,
  step_fn: Callable[..., tuple[TrainState, dict[str, Any]]],
  iterator: grain.experimental.ElasticIterator,
  mesh: Mesh,
  saved: checkpoints.Checkpoints,
  writer: metric_writer.MetricWriter,
  config: ConfigDict,
) -> TrainState:
  steps, frames = config.train.steps, config.train.batch_size * config.data.window
  progress = metric_writer.Progress(first, steps, frames, config.train.print_every)

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
  for step in range(first + 1, steps + 1):
    begin = time.monotonic()
    batch = sharding.global_batch(next(iterator), mesh)
    waited = time.monotonic() - begin
    state, scalars = step_fn(state, batch)
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


def main(argv: list[str]) -> None:
  """Reads the flags and trains."""
  del argv
  config = program.require(_CONFIG)
  try:
    config.lock()
  # A config file that failed to load says so at the first look at its config.
  except OSError as error:
    reason = str(error).strip().splitlines()[-1].strip()
    raise InputError(f"--config cannot be loaded: {reason}") from error
  workdir = program.path_of(program.WORKDIR)
  train(config, workdir)
  print(f"trained: {workdir}")


if __name__ == "__main__":
  program.run(main)
