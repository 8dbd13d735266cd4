"""Mirrors a network's predictions left to right, and averages two of them."""

from typing import cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from mhmr_jax.body import smpl
from mhmr_jax.geometry import rotations as rot
from mhmr_jax.schema import Prediction

_NEGATIVE_X = np.array([-1, 1, 1], np.float32)


def mirror_prediction(prediction: Prediction) -> Prediction:
  """Mirrors a prediction; left and right joints change places."""
  mirrored = Prediction(
    rotations=smpl.mirror_rotations(prediction["rotations"]),
    betas=prediction["betas"],
    camera=prediction["camera"] * np.array([1, -1, 1], np.float32),
  )
  if "gravity" in prediction:
    mirrored["gravity"] = prediction["gravity"] * _NEGATIVE_X
  if "standing_logits" in prediction:
    mirrored["standing_logits"] = prediction["standing_logits"][..., ::-1]
  return mirrored


def average(one: Prediction, other: Prediction) -> Prediction:
  """The mean of two predictions for the same clips."""
  fields, others = cast(dict[str, Array], one), cast(dict[str, Array], other)
  # In one order in every process: programs kept on disk are found by their operations.
  shared = sorted(fields.keys() & others.keys())
  mean = {key: (fields[key] + others[key]) / 2 for key in shared}
  mean["rotations"] = rot.rot6d_to_matrix(rot.matrix_to_rot6d(mean["rotations"]))
  if "gravity" in mean:
    length = jnp.sqrt(jnp.sum(jnp.square(mean["gravity"]), axis=-1, keepdims=True))
    mean["gravity"] = mean["gravity"] / jnp.maximum(length, 1e-6)
  return cast(Prediction, mean)
