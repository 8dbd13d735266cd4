"""A tiny untrained model on a builder's clips: a training step, and predictions."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from mhmr_jax.body import smpl
from mhmr_jax.geometry import metrics
from mhmr_jax.inference import sequences
from mhmr_jax.models import motion_hmr
from mhmr_jax.runtime import sharding
from mhmr_jax.training import train_step


class TinyModel:
  """Compiles the training step of a config once, for all batches of one form."""

  def __init__(self, config: ConfigDict):
    model = motion_hmr.from_config(config)
    optimizer = train_step.make_optimizer(config.train)
    shapes = motion_hmr.input_shapes(config)
    init = functools.partial(
      train_step.init_state, batch=shapes, model=model, optimizer=optimizer
    )
    self.state = jax.jit(init)(jax.random.key(0))
    self._step = jax.jit(
      functools.partial(
        train_step.train_step,
        model=model,
        optimizer=optimizer,
        loss_weights=config.loss.to_dict(),
      )
    )

  def step(self, batch: Any) -> tuple[train_step.TrainState, dict[str, float]]:
    """The state and the scalars after one step from the initial state."""
    state, scalars = self._step(self.state, batch, jax.random.key(1), smpl.load())
    return state, {name: float(value) for name, value in scalars.items()}

  def errors(self, config: ConfigDict, source: Any) -> dict[str, np.ndarray]:
    """PA-MPJPE in millimetres of every frame of every clip, by the initial state."""
    labels = list(sequences.labels(source))
    assert all("frames" not in clip for clip in labels)
    lengths = [len(clip["valid"]) for clip in labels]
    predictions = sequences.predict(
      config, self.state.variables, source, lengths, sharding.make_mesh()
    )
    errors = {}
    for clip, prediction in zip(labels, predictions, strict=True):
      count = len(prediction.rotations)
      # Clips of one length need one compilation: the last frame is repeated.
      rows = np.minimum(np.arange(max(lengths)), count - 1)
      arrays = prediction.rotations, prediction.betas, clip["joints_camera"]
      error = _pa_mpjpe(*(jnp.asarray(array)[rows] for array in arrays))
      errors[clip["sequence"]] = np.asarray(error)[:count]
    return errors


@jax.jit
def _pa_mpjpe(rotations: jax.Array, betas: jax.Array, target: jax.Array) -> jax.Array:
  joints = smpl.joints_from_matrices(smpl.load(), rotations, betas, jnp.zeros(3))
  return metrics.pa_mpjpe(joints, target)
