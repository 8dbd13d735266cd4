r"""Flow and keypoints on half synthetic clips, half Kinetics' pseudo ground truth.

python -m mhmr_jax.train --config=configs/flow_kp_kinetics.py --workdir=DIR \
  --config.body.path=SMPL_NEUTRAL.pkl --config.kinetics.dir=VIDEOS \
  --config.kinetics.pseudo_gt=PICKLES --config.data.mixture.kinetics_pseudo_gt=0.3
"""

from ml_collections import ConfigDict

from configs import base


def get_config(variant: str = "") -> ConfigDict:
  config = base.get_config(("flow", "keypoints"), variant)
  with config.data.unlocked():
    config.data.mixture = ConfigDict(dict(synthetic_clips=0.5, kinetics_pseudo_gt=0.5))
  return config
