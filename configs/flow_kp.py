"""Flow and keypoints: the paper's best inputs, with 74.7 mm PA-MPJPE on 3DPW.

python -m mhmr_jax.train --config=configs/flow_kp.py --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import base


def get_config(variant: str = "") -> ConfigDict:
  return base.get_config(("flow", "keypoints"), variant)
