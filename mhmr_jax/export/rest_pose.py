"""A person's body in the rest pose, in NumPy, so that nothing is compiled for it."""

import numpy as np
from jaxtyping import Float

from mhmr_jax.body import smpl


def shaped(
  body: smpl.SmplModel, betas: Float[np.ndarray, "10"]
) -> tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, "24 3"]]:
  """The vertices and joints of a shape, metres."""
  vertices = np.asarray(body.v_template) + np.asarray(body.shapedirs) @ betas
  joints = np.asarray(body.joint_template) + np.asarray(body.joint_shapedirs) @ betas
  return vertices, joints
