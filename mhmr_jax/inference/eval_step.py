"""The step along sequences: one chunk of clips, from the chunk before."""

import functools
from typing import Any

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from mhmr_jax.models import motion_hmr
from mhmr_jax.models.motion_hmr import MotionHMR, Variables
from mhmr_jax.models.temporal import Carry
from mhmr_jax.runtime import sharding
from mhmr_jax.schema import Batch, Prediction


def run_chunk(
  variables: Variables, batch: Batch, carry: Carry | None, *, model: MotionHMR
) -> tuple[Prediction, Carry | None]:
  """Predicts one chunk of clips, going on from the chunk before."""
  output: Any = model.apply(variables, batch, carry, train=False)
  return output


def make(config: ConfigDict, mesh: Mesh) -> Any:
  """The jitted step along sequences, of (variables, batch, carry)."""
  whole, split = sharding.replicated(mesh), sharding.batched(mesh)
  model = motion_hmr.from_config(config.model, config.data.size)
  return jax.jit(
    functools.partial(run_chunk, model=model),
    in_shardings=(whole, split, split),
    out_shardings=split,
  )
