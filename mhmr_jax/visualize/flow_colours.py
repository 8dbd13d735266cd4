"""Draws optical flow by a colour wheel."""

import numpy as np
from jaxtyping import Float, UInt8


def colour(
  flow: Float[np.ndarray, "*shape 2"], maximum: float | None = None
) -> UInt8[np.ndarray, "*shape 3"]:
  """Converts flow to RGB: the hue is the direction, the saturation the speed.

  Args:
    flow: in pixels per frame.
    maximum: the speed drawn in full colour; by default the largest in `flow`.
  """
  speed = np.linalg.norm(flow, axis=-1)
  if maximum is None:
    maximum = float(speed.max())
  hue = np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi) % 1.0
  saturation = np.clip(speed / max(maximum, 1e-6), 0, 1)
  # Each channel is a clipped triangle wave of the hue, a third of a turn apart.
  phase = hue[..., None] * 6 + np.array([0.0, 4.0, 2.0])
  pure = np.clip(np.abs(phase % 6 - 3) - 1, 0, 1)
  return np.rint(255 * (1 - saturation[..., None] * (1 - pure))).astype(np.uint8)
