"""The mean body's rest skeleton, read with NumPy so that no JAX device is started."""

import functools

import numpy as np
from jaxtyping import Float

from mhmr_jax.body import model_files, smpl


@functools.cache
def rest_joints() -> Float[np.ndarray, "24 3"]:
  """The free body's mean joints in the rest pose, metres, pelvis at the origin."""
  data = model_files.read_model(smpl.FREE_BODY)
  joints = np.asarray(data["J_regressor"] @ data["v_template"], np.float64)
  return joints - joints[0]
