"""How sure a motion is in each frame, from 0 to 1 (wip)."""

import numpy as np


def of_rows(keypoints, image):
  return keypoints[..., 2].mean(-1).astype(np.float32)
