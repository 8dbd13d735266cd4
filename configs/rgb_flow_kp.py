"""All inputs. The paper gives no figure for them that is known to us.

python -m mhmr_jax.train --config=configs/rgb_flow_kp.py --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import base


def get_config(variant: str = "") -> ConfigDict:
  return base.get_config(("rgb", "flow", "keypoints"), variant)
