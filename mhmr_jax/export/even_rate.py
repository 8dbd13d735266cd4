"""A motion's rows at an even rate, for files that have a frame rate but no times."""

import numpy as np

from mhmr_jax.motion.pose_sequence import PoseSequence, interpolate
from mhmr_jax.schema import Motion


def pose_sequence(motion: Motion) -> PoseSequence:
  """The motion in the world at the video's average rate, from its first row on.

  Between rows, rotations are interpolated on the sphere and the pelvis linearly, also
  across gaps. Rows whose times are even stay as they are, up to rounding.
  """
  duration = motion.times[-1] - motion.times[0]
  frames = np.arange(round(duration * motion.fps) + 1)
  times = motion.times[0] + frames / motion.fps
  position = np.interp(times, motion.times, np.arange(len(motion.times)))
  pose, pelvis = interpolate(motion.pose_world, motion.joints_world[:, 0], position)
  return PoseSequence(pose, pelvis, motion.fps)
