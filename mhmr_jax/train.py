"""Trains Motion HMR.

  python -m mhmr_jax.train --config=configs/flow_kp.py --workdir=DIR

Generates the clips it lacks, resumes from the work directory's latest checkpoint,
and ends with one in `DIR/checkpoints`.
"""

import functools
import pathlib

import jax
from ml_collections import ConfigDict, config_flags

from mhmr_jax import checkpoints, program, sharding, train_step, training_loop
from mhmr_jax.body import smpl
from mhmr_jax.data import pipeline, sources
from mhmr_jax.flow import input_step
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
  with_flow = input_step.make(config, mesh)
  model = motion_hmr.from_config(config.model, config.data.size)
  optimizer = train_step.make_optimizer(config)
  checkpoints.prepare_workdir(workdir, config)

  # ---- Data.
  source = sources.open_training(config)
  target = sources.open_target(config)
  iterator = pipeline.training_iterator(
    source, config, jax.process_index(), jax.process_count(), target
  )

  # ---- Step, jitted once.
  replicated, batched = sharding.replicated(mesh), sharding.batched(mesh)
  body = jax.device_put(body, replicated)
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

  # ---- Loop, from the latest checkpoint or from the start.
  return training_loop.run(
    config,
    workdir,
    mesh,
    iterator,
    init=functools.partial(
      train_step.init_state,
      batch=checkpoints.input_shapes(config),
      model=model,
      optimizer=optimizer,
    ),
    step_fn=lambda state, batch, key: jitted(state, with_flow(batch), key, body),
    frames=config.train.batch_size * config.data.window,
    measure="PA-MPJPE {pa_mpjpe_mm:.1f} mm",
  )


def main(argv: list[str]) -> None:
  """Reads the flags and trains."""
  del argv
  training_loop.from_flags(_CONFIG, train)


if __name__ == "__main__":
  program.run(main)
