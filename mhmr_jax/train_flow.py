"""Trains a network that estimates optical flow, on synthetic clips' exact flow.

  python -m mhmr_jax.train_flow --config=configs/flow_flownets.py --workdir=DIR

Then `--config.flow.source=flownets --config.flow.weights=DIR` has mhmr_jax.train use
it. Resumes and ends as mhmr_jax.train does.
"""

import functools

import jax
from etils import epath
from ml_collections import ConfigDict, config_flags

from mhmr_jax.data import flow_pairs, pipeline, sources
from mhmr_jax.errors import InputError
from mhmr_jax.flow import learned
from mhmr_jax.runtime import processes, program, sharding
from mhmr_jax.training import checkpoints, flow_step, loop, train_step
from mhmr_jax.training.train_step import TrainState

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Experiment to run.", **program.REDEFINED_FLAG
)


def train(config: ConfigDict, workdir: epath.Path) -> TrainState:
  """Runs the experiment to its last step; InputError for bad input of any kind."""
  sources.check_paths(config)
  model = learned.from_config(config.model)
  if config.data.size % model.stride or config.data.size < model.min_size:
    raise InputError(
      f"config.data.size is {config.data.size}: {config.model.kind} trains on a "
      f"multiple of {model.stride} px, {max(model.min_size, model.stride)} or more."
    )
  mesh = sharding.make_mesh()
  sharding.check_batch_size(config.train.batch_size, mesh)
  optimizer = train_step.make_optimizer(config)
  checkpoints.prepare_workdir(workdir, config)
  dataset = flow_pairs.training_dataset(sources.open_training(config), config)
  host = sharding.host_rows(mesh, config.train.batch_size)
  replicated, batched = sharding.replicated(mesh), sharding.batched(mesh)
  parts = {"model": model, "optimizer": optimizer}
  return loop.run(
    config,
    workdir,
    mesh,
    pipeline.elastic_iterator(dataset, config, host),
    init=functools.partial(flow_step.init_state, **parts),
    step_fn=jax.jit(
      functools.partial(flow_step.step, **parts),
      in_shardings=(replicated, batched, replicated),
      out_shardings=(replicated, replicated),
      donate_argnums=0,
    ),
    state_shardings=replicated,
    frames=config.train.batch_size,
    measure="end-point error {epe_px:.2f} px",
  )


def main(argv: list[str]) -> None:
  """Reads the flags and trains."""
  del argv
  loop.from_flags(_CONFIG, train)


if __name__ == "__main__":
  program.run(main, processes.leave)
