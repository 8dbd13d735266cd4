"""Trains a network that estimates optical flow on the exact flow of synthetic clips.

  python -m mhmr_jax.train_flow --config=configs/flow_flownets.py --workdir=DIR

Afterwards mhmr_jax.train uses the network if it is started with
`--config.flow.source=flownets --config.flow.weights=DIR`. This program resumes and ends
as mhmr_jax.train does.
"""

import functools

from etils import epath, epy
from ml_collections import ConfigDict, config_flags

from mhmr_jax.data import config_paths
from mhmr_jax.errors import InputError
from mhmr_jax.runtime import (
  config_check,
  process_flags,  # noqa: F401  # Its flags are read by `loop`.
  processes,
  program,
)

# Imported at their first use: `--help` does without what takes seconds to import.
with epy.lazy_imports():
  import jax

  from mhmr_jax.data import flow_pairs, pipeline, sources
  from mhmr_jax.flow import learned
  from mhmr_jax.runtime import sharding
  from mhmr_jax.training import checkpoints, flow_step, loop, train_step

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "The experiment, a file such as configs/flow_raft.py; --config.KEY=VALUE overrides "
  "its keys, which docs/configs.md lists.",
  **program.REDEFINED_FLAG,
)


def train(config: ConfigDict, workdir: epath.Path) -> "train_step.TrainState":
  """Runs the experiment to its last step.

  Raises:
    InputError: the input is bad in any way. Whatever can be checked beforehand is
      checked before the work directory is made.
    RestartError: the run was stopped and can go on.
  """
  # ---- Check, before anything is made.
  config_check.check(config)
  config_paths.check_paths(config)
  model = learned.from_config(config.model)
  if config.data.size % model.stride or config.data.size < model.min_size:
    raise InputError(
      f"config.data.size is {config.data.size}: {config.model.kind} trains on a "
      f"multiple of {model.stride} px, {max(model.min_size, model.stride)} or more."
    )
  mesh = sharding.make_mesh()
  sharding.check_batch_size(config.train.batch_size, mesh)
  parts = {"model": model, "optimizer": train_step.make_optimizer(config.train)}
  checkpoints.prepare_workdir(workdir, config)

  # ---- Data.
  source = sources.open_training_clips(config)
  dataset = flow_pairs.training_dataset(source, config)
  host = sharding.host_rows(mesh, config.train.batch_size)
  iterator = pipeline.elastic_iterator(dataset, config, host)

  # ---- Loop, from the latest checkpoint or from the start.
  replicated, batched = sharding.replicated(mesh), sharding.batched(mesh)
  task = loop.Task(
    init=functools.partial(flow_step.init_state, **parts),
    step=jax.jit(
      functools.partial(flow_step.step, **parts),
      in_shardings=(replicated, batched, replicated),
      out_shardings=(replicated, replicated),
      donate_argnums=0,
    ),
    state_shardings=replicated,
    frames=config.train.batch_size,
    measure="end-point error {epe_px:.2f} px",
  )
  return loop.run(
    task,
    iterator,
    mesh=mesh,
    workdir=workdir,
    seed=config.seed,
    settings=config.train,
  )


def main(argv: list[str]) -> None:
  """Reads the flags and trains."""
  del argv
  loop.from_flags(_CONFIG, train)


if __name__ == "__main__":
  program.run(main, processes.leave, usual=("config", "workdir"))
