"""A motion's rows at an even rate, for files that have a frame rate but no times."""

from collections.abc import Iterator

import numpy as np

from mhmr_jax.motion.pose_sequence import PoseSequence, interpolate
from mhmr_jax.runtime.batching import blocks
from mhmr_jax.schema import Motion

_ROWS = 1024


def count_rows(motion: Motion) -> int:
  """How many rows the motion has at the video's average rate."""
  duration = float(motion.times[-1] - motion.times[0])
  return round(duration * motion.fps) + 1


def pose_sequences(motion: Motion, rows: int = _ROWS) -> Iterator[PoseSequence]:
  """The motion in the world at the video's average rate, from its first row on.

  Between rows, rotations are interpolated on the sphere and the pelvis linearly, also
  across gaps. Rows whose times are even stay as they are, up to rounding.

  Args:
    motion: the motion of one person.
    rows: how many rows each part has, but for the last one. The whole would take
      several times the memory of the motion.
  """
  for block in blocks(count_rows(motion), rows):
    frames = np.arange(block.start, block.stop)
    times = motion.times[0] + frames / motion.fps
    position = np.interp(times, motion.times, np.arange(len(motion.times)))
    pose, pelvis = interpolate(motion.pose_world, motion.joints_world[:, 0], position)
    yield PoseSequence(pose, pelvis, motion.fps)
