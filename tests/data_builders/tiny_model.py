"""A tiny untrained model on a builder's clips: a training step, and predictions."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from mhmr_jax.body import smpl
from mhmr_jax.geometry import metrics
from mhmr_jax.inference import sequences
from mhmr_jax.runtime import sharding
from mhmr_jax.training import steps
from mhmr_jax.training.train_step import TrainState
from tests import drawn


class TinyModel:
  """Compiles the training step of a config once, for all batches of one form.

  The step is made as `mhmr_jax.train` makes it, so that a test run compiles it once for
  all batches with the same fields.
  """

  def __init__(self, config: ConfigDict):
    self._made = steps.make_train_step(config, sharding.make_mesh())
    state = drawn.state(self._made.state_shapes)
    self.state = jax.device_put(state, self._made.state_shardings)

  def step(self, batch: Any) -> tuple[TrainState, dict[str, float]]:
    """The state and the scalars after one step from the initial state."""
    # The step takes over the memory of the state that it is given.
    copy = jax.device_put(
      jax.tree.map(np.array, self.state), self._made.state_shardings
    )
    state, scalars = self._made.step(copy, batch, jax.random.key(1), smpl.load())
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
      error = _pa_mpjpe(*(array[rows] for array in arrays))
      errors[clip["sequence"]] = np.asarray(error)[:count]
    return errors


@jax.jit
def _pa_mpjpe(rotations: jax.Array, betas: jax.Array, target: jax.Array) -> jax.Array:
  joints = smpl.joints_from_matrices(smpl.load(), rotations, betas, jnp.zeros(3))
  return metrics.pa_mpjpe(joints, target)
