"""Rows of uneven times become rows of the video's average rate."""

import numpy as np
from scipy.spatial.transform import Rotation

from mhmr_jax.export import even_rate
from mhmr_jax.motion.pose_sequence import PoseSequence

_RATE = 2.0  # Radians and metres a second, of the turning person below.


def _whole(motion):
  parts = list(even_rate.pose_sequences(motion, rows=7))
  assert sum(map(len, parts)) == even_rate.count_rows(motion)
  pose, transl = (
    np.concatenate([getattr(p, f) for p in parts]) for f in ("pose", "transl")
  )
  return PoseSequence(pose, transl, parts[0].fps)


def _turning(walk, times, frame_index):
  """A person who turns about y and moves along x, evenly in time."""
  pose = np.zeros((len(times), 24, 3))
  pose[:, 0, 1] = _RATE * times
  joints = np.zeros((len(times), 24, 3))
  joints[..., 0] = _RATE * times[:, None]
  return walk._replace(
    times=times,
    frame_index=frame_index,
    pose_world=pose,
    joints_world=joints,
  )


def test_even_rows_stay_as_they_are(walks):
  walk = walks[0]._replace(fps=29.97, times=(np.arange(40) + 3) / 29.97)
  found = _whole(walk)
  assert found.fps == 29.97
  turn = Rotation.from_rotvec(found.pose.reshape(-1, 3)).inv()
  turn = turn * Rotation.from_rotvec(walk.pose_world.reshape(-1, 3))
  assert turn.magnitude().max() < 1e-6
  np.testing.assert_allclose(found.transl, walk.joints_world[:, 0], atol=1e-6)


def test_gaps_and_uneven_times_are_filled_along_the_way(walks):
  rng = np.random.default_rng(0)
  index = np.delete(np.arange(3, 60), slice(10, 45))
  times = (index + rng.uniform(-0.4, 0.4, len(index))) / 30
  found = _whole(_turning(walks[0], times, index))
  expected = times[0] + np.arange(len(found)) / 30
  assert abs(expected[-1] - times[-1]) < 0.51 / 30
  expected = np.minimum(expected, times[-1])
  np.testing.assert_allclose(found.transl[:, 0], _RATE * expected, atol=1e-9)
  turn = Rotation.from_rotvec(_RATE * expected[:, None] * [0, 1, 0]).inv()
  turn = turn * Rotation.from_rotvec(found.pose[:, 0])
  assert turn.magnitude().max() < 1e-9


def test_times_in_whole_milliseconds_lose_no_row(walks):
  times = np.round(np.arange(100) / 30, 3)
  found = _whole(_turning(walks[0], times, np.arange(100)))
  assert len(found) == 100
  np.testing.assert_allclose(
    found.transl[:, 0], _RATE * np.arange(100) / 30, atol=_RATE * 1e-3
  )


def test_one_row_is_one_frame(walks):
  walk = walks[0]
  columns = {
    name: value[:1]
    for name, value in walk._asdict().items()
    if isinstance(value, np.ndarray) and len(value) == 40
  }
  found = _whole(walk._replace(**columns))
  assert len(found) == 1
  np.testing.assert_allclose(found.pose, walk.pose_world[:1], atol=1e-6)
