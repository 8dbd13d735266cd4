"""Single-frame HMR (Kanazawa et al. 2018): RGB, without memory over time.

python -m mhmr_jax.train --config=configs/hmr.py --workdir=DIR

The frames and their number in a batch are those of `rgb`, so that only the memory
differs. HMR's discriminator of poses, for training without 3D labels, is left out.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(variant: str = "") -> ConfigDict:
  config = base.get_config(("rgb",), variant)
  config.model.lstm_features = 0
  return config
