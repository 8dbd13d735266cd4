"""The inputs of small networks, for tests that need no config."""

from mhmr_jax.data.input_spec import InputSpec

FLOW_KP = InputSpec(
  inputs=("flow", "keypoints"),
  size=32,
  window=4,
  window_scale=1.25,
  flow_source="dis",
  flow_preset="fast",
  noise=None,
)
