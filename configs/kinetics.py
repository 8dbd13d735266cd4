r"""Flow and keypoints on Kinetics' pseudo ground truth: real video, nothing rendered.

python -m mhmr_jax.train --config=configs/kinetics.py --workdir=DIR \
  --config.body.path=SMPL_NEUTRAL.pkl --config.kinetics.dir=VIDEOS \
  --config.kinetics.pseudo_gt=PICKLES
"""

from ml_collections import ConfigDict

from configs import base


def get_config(variant: str = "") -> ConfigDict:
  config = base.get_config(("flow", "keypoints"), variant)
  config.data.source = "kinetics_pseudo_gt"
  config.data.people = "rendered"  # So that the paper's size does not ask for SURREAL.
  return config
