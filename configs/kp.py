"""Keypoints only, no pixels (77.6 mm PA-MPJPE on 3DPW in the paper).

python -m mhmr_jax.train --config=configs/kp.py --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import base


def get_config(variant: str = "") -> ConfigDict:
  return base.get_config(("keypoints",), variant)
