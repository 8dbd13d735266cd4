"""All inputs: RGB, flow and keypoints; we know of no figure for them in the paper.

python -m mhmr_jax.train --config=configs/rgb_flow_kp.py --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import base


def get_config(variant: str = "") -> ConfigDict:
  return base.get_config(("rgb", "flow", "keypoints"), variant)
