"""What the trainings of flow networks share: the clips and the schedule."""

from typing import Any

from ml_collections import ConfigDict

from configs import base


def get_config(model: dict[str, Any], variant: str) -> ConfigDict:
  """The config of one flow network; ValueError for a variant that is not."""
  if variant not in ("", "paper"):
    raise ValueError(f"There is no variant {variant!r}: leave it out or use 'paper'.")
  config = base.default(())
  for unused in ("flow", "keypoints", "loss"):
    del config[unused]
  config.model = ConfigDict(model)
  config.train.update(
    steps=6000, batch_size=8, learning_rate=5e-4, warmup_steps=200, print_every=50
  )
  config.data.variant = "full"
  config.data.size = 128
  config.data.scales = (0.6, 1.05)  # Of windows: their sides over the frame's.
  # The second frame's window lies off by up to so much of its side: large motions,
  # without which RAFT does not begin to learn.
  config.data.shift = 0.1
  if variant == "paper":
    config.data.update(num_clips=68_000, frame_size=256, size=256, workers=16)
    config.train.update(steps=300_000, batch_size=64, checkpoint_every=1_000)
  return config
