"""Joint regressors made up on the free body, for tests without anyone's files."""

import numpy as np

from mhmr_jax.body import joints

# The rows of a Human3.6M regressor whose legs are in the other order.
SWAPPED_LEGS = [0, 4, 5, 6, 1, 2, 3, *range(7, 17)]


def made_up(body, names):
  """Rows over the ten vertices nearest to where each point ought to be."""
  template = np.asarray(body.v_template, np.float64)
  top = template[template[:, 1].argmax()]
  head = np.asarray(body.joint_template[joints.SMPL_JOINTS.index("head")])
  elsewhere = {
    "spine": np.asarray(body.joint_template[joints.SMPL_JOINTS.index("spine2")]),
    "head_top": top,
    "jaw": head + (top - head) / 4,
    "nose": head + (top - head) / 4,
    "left_eye": [0.03, head[1], 0.1],
    "right_eye": [-0.03, head[1], 0.1],
    "left_ear": [0.07, head[1], 0],
    "right_ear": [-0.07, head[1], 0],
  }
  regressor = np.zeros((len(names), len(template)))
  for row, name in enumerate(names):
    if name in joints.SMPL_JOINTS:
      regressor[row] = body.J_regressor[joints.SMPL_JOINTS.index(name)]
    else:
      distance = np.linalg.norm((template - elsewhere[name]) * [3, 1, 1], axis=1)
      regressor[row, distance.argsort()[:10]] = 0.1
  return regressor
