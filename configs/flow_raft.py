"""RAFT's small network on exact flow.

python -m mhmr_jax.train_flow --config=configs/flow_raft.py --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import flow_base


def get_config(variant: str = "") -> ConfigDict:
  paper = variant == "paper"
  # `updates` are RAFT's iterations.
  model = dict(kind="raft", updates=12 if paper else 6)
  config = flow_base.get_config(model, variant)
  config.train.update(learning_rate=4e-4, batch_size=64 if paper else 4)
  if not paper:
    # People in small frames move by few pixels; smaller windows magnify their motion.
    config.data.scales = (0.4, 1.05)
  return config.lock()
