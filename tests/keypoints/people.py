"""People for the tests of the noise model and of its fit."""

import numpy as np

from mhmr_jax.keypoints.corruption import corrupt
from mhmr_jax.keypoints.tracking import Track

HEIGHT = 200.0  # px
# A standing person seen from the front, y down, in fractions of the height.
STANDING = np.array(
  [
    [0.00, 0.06], [0.02, 0.04], [-0.02, 0.04], [0.05, 0.05], [-0.05, 0.05],
    [0.11, 0.18], [-0.11, 0.18], [0.15, 0.35], [-0.15, 0.35], [0.16, 0.48],
    [-0.16, 0.48], [0.08, 0.50], [-0.08, 0.50], [0.08, 0.75], [-0.08, 0.75],
    [0.08, 1.00], [-0.08, 1.00],
  ]
)  # fmt: skip
LIMBS = (7, 8, 9, 10, 13, 14, 15, 16)
FRAMES = 240


def movement(seed, frames=FRAMES, fps=30.0):
  """Somebody who sways and swings their limbs, partly occluded for a while."""
  rng = np.random.default_rng(seed)
  time = np.arange(frames)[:, None, None] / fps
  swing = np.where(np.isin(np.arange(17), LIMBS), 0.1, 0.01)[:, None]
  rate, phase = rng.uniform(0.3, 1.2, (17, 2)), rng.uniform(0, 6.28, (17, 2))
  points = STANDING + swing * np.sin(6.28 * rate * time + phase)
  points = HEIGHT * points + np.array([200, 40])
  visible = np.ones((frames, 17, 1))
  for point in range(5, 17):
    start = rng.integers(0, 2 * frames // 3)
    visible[start : start + frames // 3, point] = 0
  return np.append(points, visible, axis=-1).astype(np.float32)


def tracks(noise, clips=10, **options):
  """People as a detector with this noise would be followed."""
  found = []
  for seed in range(clips):
    detections = corrupt(movement(seed, **options), np.random.default_rng(seed), noise)
    frames = np.flatnonzero(detections[..., 2].any(axis=1))
    found.append(Track(frames, detections[frames]))
  return found
