import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.motion.pose_sequence import PoseSequence, resample


def _spinning(frames, fps, rate=1.0):
  """Turns about y at `rate` radians a second, and walks along x at 2 m/s."""
  time = np.arange(frames) / fps
  pose = np.zeros((frames, 24, 3), np.float32)
  turn = rate * time[:, None] * np.array([0, 1.0, 0])
  pose[:] = Rotation.from_rotvec(turn).as_rotvec()[:, None]
  transl = np.stack([2 * time, 0 * time, 0 * time], axis=-1).astype(np.float32)
  return PoseSequence(pose, transl, fps)


@pytest.mark.parametrize("fps", [60.0, 30.0, 50.0, 24.0, 100.0, 25.0])
def test_resampling_keeps_the_speed(fps):
  motion = resample(_spinning(121, 60.0, rate=4.0), fps)
  expected = _spinning(len(motion), fps, rate=4.0)
  assert motion.fps == fps
  assert motion.pose.dtype == motion.transl.dtype == np.float32
  assert len(motion) == int(2 * fps) + 1
  np.testing.assert_allclose(motion.transl, expected.transl, atol=1e-5)
  turn = Rotation.from_rotvec(motion.pose.reshape(-1, 3)).inv()
  turn = turn * Rotation.from_rotvec(expected.pose.reshape(-1, 3))
  assert turn.magnitude().max() < 1e-4  # Across the half-turn too.


def test_one_frame_stays_one_frame():
  motion = resample(_spinning(1, 25.0), 30.0)
  assert len(motion) == 1


def test_a_slice_keeps_the_rate():
  motion = _spinning(10, 30.0)
  part = motion.slice(2, 5)
  assert (len(part), part.fps) == (3, 30.0)
  np.testing.assert_array_equal(part.transl, motion.transl[2:5])
  part.transl[:] = 9  # Its own, not the cached motion's.
  assert motion.transl.max() < 9
