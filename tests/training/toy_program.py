"""Trains the toy as a program, in one process or in several, on all their devices.

  python -m tests.training.toy_program --workdir=DIR [--config.KEY=VALUE ...]

It starts, stops and ends as mhmr_jax.train does, but compiles in a blink.
"""

from etils import epath
from ml_collections import ConfigDict, config_flags

from mhmr_jax.runtime import processes, program, sharding
from mhmr_jax.training import loop
from mhmr_jax.training.train_step import TrainState
from tests.training import toy

_CONFIG = config_flags.DEFINE_config_dict("config", toy.settings())


def train(config: ConfigDict, workdir: epath.Path) -> TrainState:
  workdir.mkdir(parents=True, exist_ok=True)
  mesh = sharding.make_mesh()
  rows = sharding.host_rows(mesh, config.batch_size).rows
  return toy.train(workdir, toy.Numbers(rows=rows), mesh, config)


def main(argv: list[str]) -> None:
  del argv
  loop.from_flags(_CONFIG, train)


if __name__ == "__main__":
  processes.HEARTBEAT_S = 10  # Tests wait this long for the loss of a process.
  program.run(main, processes.leave)
