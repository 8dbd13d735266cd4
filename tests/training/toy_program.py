"""Trains the toy as a program, in one process or in several, on all their devices.

  python -m tests.training.toy_program --workdir=DIR [--config.KEY=VALUE ...]

It starts, stops and ends as mhmr_jax.train does, but compiles in a blink. The state is
divided over all devices.
"""

import functools
from collections.abc import Callable

import jax
from etils import epath
from ml_collections import ConfigDict, config_flags

from mhmr_jax.runtime import processes, program, sharding
from mhmr_jax.training import loop
from mhmr_jax.training.train_step import TrainState
from tests.training import toy

_CONFIG = config_flags.DEFINE_config_dict("config", toy.settings())


def train(
  config: ConfigDict, workdir: epath.Path, numbers: Callable[..., toy.Numbers]
) -> TrainState:
  workdir.mkdir(parents=True, exist_ok=True)
  mesh = sharding.make_mesh(fsdp=jax.device_count())
  rows = sharding.host_rows(mesh, config.batch_size).rows
  return toy.train(workdir, numbers(rows=rows), mesh, config)


def main(argv: list[str], numbers: Callable[..., toy.Numbers] = toy.Numbers) -> None:
  """Runs the program on batches that `numbers` makes of this host's rows."""
  del argv
  processes.HEARTBEAT_S = 10  # Tests wait this long for the loss of a process.
  loop.from_flags(_CONFIG, functools.partial(train, numbers=numbers))


if __name__ == "__main__":
  program.run(main, processes.leave)
