"""RGB only, which is worse on 3DPW than motion cues only in the paper.

python -m mhmr_jax.train --config=configs/rgb.py --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import base


def get_config(variant: str = "") -> ConfigDict:
  return base.get_config(("rgb",), variant)
