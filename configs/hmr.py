"""Single-frame HMR (Kanazawa et al. 2018): RGB, and no memory of the frames before.

python -m mhmr_jax.train --config=configs/hmr.py --workdir=DIR

Frames and their number in a batch are those of `rgb`, so that memory alone differs.
HMR's own discriminator of poses, for training without 3D labels, is not in it.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(variant: str = "") -> ConfigDict:
  config = base.get_config(("rgb",), variant)
  config.model.lstm_features = 0
  return config
