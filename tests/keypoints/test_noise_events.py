"""Events put into clean clips are found where they were put."""

import numpy as np

from mhmr_jax.body.joints import COCO_FLIP
from mhmr_jax.keypoints import noise_events
from tests.keypoints.people import FRAMES, HEIGHT, STANDING, movement


def test_events_are_where_they_were_put():
  keypoints = movement(0)
  points, reported = keypoints[..., :2] / HEIGHT, np.ones((FRAMES, 17), bool)
  points = points.copy()
  legs = np.arange(11, 17)
  points[50:58, legs] = points[50:58, np.array(COCO_FLIP)[legs]]
  points[100:104, 9] += [0.3, -0.2]
  points[150:160] += [0.8, 0.0]
  points[200:, 10] += [0.3, 0.3]  # It leaps and stays.
  reported[210:213, 3] = False
  restored, events = noise_events.find(points, reported)
  swaps = np.zeros((FRAMES, 6), bool)
  swaps[50:58, 3:] = True
  np.testing.assert_array_equal(events.swaps, swaps)
  outliers = np.zeros((FRAMES, 17), bool)
  outliers[100:104, 9] = True
  np.testing.assert_array_equal(events.outliers, outliers)
  assert np.flatnonzero(events.jumps).tolist() == list(range(150, 160))
  np.testing.assert_allclose(events.outlier_distances, np.hypot(0.3, 0.2), rtol=0.2)
  assert sorted(events.runs) == [3, 4, 8, 8, 8, 10]
  np.testing.assert_allclose(
    restored[50:58], keypoints[50:58, :, :2] / HEIGHT, atol=1e-6
  )


def test_crossing_legs_are_no_swap():
  time = np.arange(120)[:, None]
  points = np.tile(STANDING, (120, 1, 1))
  swing = 0.25 * np.sin(2 * np.pi * time / 20)
  points[:, 15], points[:, 16] = (
    [0, 1] + swing * [1, 0],
    [0, 0.99] - swing * [1, 0],
  )
  _, events = noise_events.find(points, np.ones((120, 17), bool))
  assert not events.swaps.any()
