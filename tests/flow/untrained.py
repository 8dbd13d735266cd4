"""Work directories of flow networks that nobody trained, for tests of their users."""

import functools
import pathlib

import jax
import numpy as np
from etils import epath

from configs import flow_flownets
from mhmr_jax.flow import learned
from mhmr_jax.training import checkpoints, flow_step, train_step


def flownets(workdir: pathlib.Path, seed: int = 0) -> pathlib.Path:
  """Makes the run of a small FlowNetS whose flow is not zero."""
  config = flow_flownets.get_config()
  config.model.width = 0.05
  parts = {
    "model": learned.from_config(config.model),
    "optimizer": train_step.make_optimizer(config.train),
  }
  init = functools.partial(flow_step.init_state, **parts)
  shapes = jax.eval_shape(init, jax.random.key(0))
  rng = np.random.default_rng(seed)
  state = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
  params = jax.tree.map(
    lambda leaf: rng.normal(0, 0.05, leaf.shape).astype(np.float32), state.params
  )
  checkpoints.prepare_workdir(epath.Path(workdir), config)
  saved = checkpoints.Checkpoints(epath.Path(workdir))
  saved.save(state.replace(params=params), {"global_next_index": 0})
  saved.close()
  return workdir
