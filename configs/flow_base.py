"""The keys of all configs of flow networks: clips and schedule."""

from typing import Any

from ml_collections import ConfigDict

from configs import base


def get_config(model: dict[str, Any], variant: str) -> ConfigDict:
  """The config of one flow network, not locked yet.

  Args:
    model: the network: its `kind` and the settings of that kind.
    variant: '' or 'paper'.

  Raises:
    ValueError: there is no such variant.
  """
  if variant not in ("", "paper"):
    raise ValueError(f"There is no variant {variant!r}: leave it out or use 'paper'.")
  config = base.default(())
  for unused in ("flow", "keypoints", "loss"):
    del config[unused]
  del config.train.start
  config.model = ConfigDict(model)
  config.train.update(
    steps=6000, batch_size=8, learning_rate=5e-4, warmup_steps=200, print_every=50
  )
  config.data.variant = "full"
  config.data.size = 128
  # The range of the crop window's side over the frame's shorter side.
  config.data.scales = (0.6, 1.05)
  # The largest shift of the second frame's window, as a share of its side. It adds
  # large motions, without which RAFT does not begin to learn.
  config.data.shift = 0.1
  if variant == "paper":
    config.data.update(num_clips=68_000, frame_size=256, size=256, workers=16)
    config.train.update(steps=300_000, batch_size=64, checkpoint_every=1_000)
  return config
