"""Computes the joints of predicted bodies, in 3D and on the crop."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from mhmr_jax.body import smpl
from mhmr_jax.geometry import weak_perspective
from mhmr_jax.schema import Prediction


def predicted_joints(
  body: smpl.SmplModel, prediction: Prediction
) -> tuple[Float[Array, "*batch 24 3"], Float[Array, "*batch 24 2"]]:
  """SMPL's 24 joints of a prediction, relative to the pelvis and on the crop.

  Weak perspective projects joints relative to the pelvis, so that the predicted camera
  translates the pelvis. (HMR projects SMPL's own frame, whose origin is not a joint.)

  Returns:
    Joints relative to the pelvis in metres, along the camera frame's axes; and joints
    on the crop, whose corners are at -1 and 1.
  """
  betas = prediction["betas"]
  transl = jnp.zeros((*betas.shape[:-1], 3), betas.dtype)
  joints = smpl.joints_from_matrices(body, prediction["rotations"], betas, transl)
  joints = joints - joints[..., :1, :]
  return joints, weak_perspective.project(joints, prediction["camera"])
