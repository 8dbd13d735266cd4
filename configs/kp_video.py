"""Keypoints as coordinates, for real video: the weights that come with the package.

python -m mhmr_jax.train --config=configs/kp_video.py --workdir=DIR \
  --config.data.motion=FOLDER

Examples without pictures are made on the device, so that it is bound by the network
alone. `launch/train_weights.sh` trains it and packs the weights.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(variant: str = "") -> ConfigDict:
  if variant:
    raise ValueError(f"kp_video has no variant {variant!r}: leave it out.")
  config = base.get_config(("keypoints",), "")
  config.data.source = "keypoint_examples"
  config.data.window = 32
  config.keypoints.form = "coordinates"
  config.train.update(
    steps=12_000,
    batch_size=384,
    optimizer="muon",
    learning_rate=1e-3,
    warmup_steps=200,
    hold=0.3,
    weight_decay=1e-3,
    checkpoint_every=1000,
    print_every=100,
  )
  config.loss.update(
    joints_3d=1.0,
    joints_2d=0.5,
    joints_relative=1.0,
    joints_velocity=1.0,
    rotations=0.0,
    rotations_camera=0.5,
    betas=0.01,
    betas_prior=0.0,
    gravity=0.1,
    standing=0.02,
  )
  config.model.lstm_features = 512
  config.model.encoder.features = 512
  config.model.regressor.update(
    hidden=(512, 512),
    dropout=0.0,
    pose_representation="6d_camera",
    feedback=True,
    world=True,
  )
  return config
