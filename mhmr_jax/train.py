"""Trains Motion HMR.

  python -m mhmr_jax.train --config=configs/flow_kp.py --workdir=DIR

Generates the clips that are missing, resumes from the work directory's latest
checkpoint, and ends with one in `DIR/checkpoints`. Several processes can train as one:
see `runtime/process_flags.py` for how they find each other, and `runtime/processes.py`
for what happens when one of them stops.
"""

from etils import epath, epy
from ml_collections import ConfigDict, config_flags

from mhmr_jax.data import config_paths
from mhmr_jax.runtime import (
  config_check,
  process_flags,  # noqa: F401  # Its flags are read by `loop`.
  processes,
  program,
)

# Imported at their first use: `--help` does without what takes seconds to import.
with epy.lazy_imports():
  from mhmr_jax.body import smpl
  from mhmr_jax.data import (
    device_examples,
    device_flow,
    input_spec,
    pipeline,
    sources,
  )
  from mhmr_jax.inference import packed
  from mhmr_jax.runtime import sharding
  from mhmr_jax.training import checkpoints, loop, starting_point, steps, train_step

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "The experiment, a file such as configs/flow_kp.py; --config.KEY=VALUE overrides "
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
  input_spec.InputSpec.from_config(config)
  mesh = sharding.make_mesh(fsdp=config.mesh.fsdp)
  sharding.check_batch_size(config.train.batch_size, mesh, config.train.accumulate)
  body = smpl.load(config.body.path or None)
  with_flow = device_flow.make(config, mesh)
  made = device_examples.make(config, mesh)
  step = steps.make_train_step(config, mesh)
  init = step.init
  if start := config.train.get("start", ""):
    given = packed.open_run(program.any_path(start))
    init = starting_point.from_trained(init, given.variables, start)
  checkpoints.prepare_workdir(workdir, config)

  # ---- Data.
  source = sources.open_training(config)
  target = sources.open_target(config)
  host = sharding.host_rows(mesh, config.train.batch_size)
  iterator = pipeline.training_iterator(source, config, host, target)

  # ---- Loop, from the latest checkpoint or from the start.
  body = sharding.replicate(body, mesh)
  task = loop.Task(
    init=init,
    step=lambda state, batch, key: step.step(state, with_flow(made(batch)), key, body),
    state_shardings=step.state_shardings,
    frames=config.train.batch_size * config.data.window,
    measure="PA-MPJPE {pa_mpjpe_mm:.1f} mm",
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
