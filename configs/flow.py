"""Flow only (100.1 mm PA-MPJPE on 3DPW in the paper).

python -m mhmr_jax.train --config=configs/flow.py --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import base


def get_config(variant: str = "") -> ConfigDict:
  return base.get_config(("flow",), variant)
