"""The step along sequences: predicts one chunk of clips after the other."""

import functools
from typing import Any

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from mhmr_jax.models import motion_hmr
from mhmr_jax.models.motion_hmr import Carry, MotionHMR, Variables
from mhmr_jax.runtime import sharding
from mhmr_jax.schema import Batch, Prediction


def run_chunk(
  variables: Variables, batch: Batch, carry: Carry | None, *, model: MotionHMR
) -> tuple[Prediction, Carry | None]:
  """Predicts one chunk of clips.

  Args:
    variables: the variables of the model.
    batch: the chunk's inputs.
    carry: the LSTM's state after the chunk before.
    model: the network.

  Returns:
    The prediction, and the state after this chunk.
  """
  output: Any = model.apply(variables, batch, carry, train=False)
  return output


def make(config: ConfigDict, mesh: Mesh) -> jax.stages.Wrapped:
  """Returns `run_chunk` jitted for clips that are divided over a mesh.

  It is a function of (variables, batch, carry).
  """
  whole, split = sharding.replicated(mesh), sharding.batched(mesh)
  model = motion_hmr.from_config(config)
  return jax.jit(
    functools.partial(run_chunk, model=model),
    in_shardings=(whole, split, split),
    out_shardings=split,
  )
