"""FlowNetS on exact flow; the default has a quarter of its width, for two CPU cores.

python -m mhmr_jax.train_flow --config=configs/flow_flownets.py --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import flow_base


def get_config(variant: str = "") -> ConfigDict:
  # `width` is the number of features over the paper's. `finest` is the stride of the
  # finest flow: half the paper's, as people in small crops move by few pixels. `unit`
  # is the flow in pixels for which the last convolution outputs 1.
  model = dict(kind="flownets", width=0.25, finest=2, unit=4.0)
  if variant == "paper":
    model.update(width=1.0, finest=4, unit=20.0)
  config = flow_base.get_config(model, variant)
  if not variant:
    # A step at 64 pixels costs a third of one at 128, and more steps teach more.
    config.data.update(size=64, scales=(0.4, 1.0))
    config.train.learning_rate = 1e-3
  return config.lock()
