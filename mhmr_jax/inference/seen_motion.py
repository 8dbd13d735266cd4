"""One person's motion in the camera frame, from which `world` places it."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mhmr_jax.body.joints import SMPL_JOINTS

ANKLES = (SMPL_JOINTS.index("left_ankle"), SMPL_JOINTS.index("right_ankle"))
# The joints at the balls of the feet, about which a foot rolls while it stands.
TOES = (SMPL_JOINTS.index("left_foot"), SMPL_JOINTS.index("right_foot"))


class SeenMotion(NamedTuple):
  """A person's motion in the camera frame: x right, y down, z forward; metres.

  Most fields are those of `schema.Motion`; `gravity` and `standing` are the network's,
  as `streaming.CropOutputs` has them.
  """

  times: Float[np.ndarray, "N"]  # Ascending, s.
  pose: Float[np.ndarray, "N 24 3"]  # Axis-angle; entry 0 is in the camera frame.
  betas: Float[np.ndarray, "N 10"]
  transl_camera: Float[np.ndarray, "N 3"]
  joints_camera: Float[np.ndarray, "N 24 3"]
  gravity: Float[np.ndarray, "N 3"]  # The unit vector down.
  # How probably the left and the right foot stand; all 0 if nothing is known of it.
  standing: Float[np.ndarray, "N 2"]
