"""Points that lie: they are dropped and counted, and true ones are kept."""

import json

import numpy as np
import pytest

from mhmr_jax.keypoints import formats, outliers, tracking
from tests.keypoints import people


def _walk(frames=60, step=4.0):
  """Somebody who walks to the right, all points seen."""
  walk = people.movement(0, frames)
  walk[..., 0] += step * np.arange(frames)[:, None]
  walk[..., 2] = np.random.default_rng(0).uniform(0.3, 1, (frames, 17))
  return walk


def _track(walk):
  (track,) = tracking.track([person[None] for person in walk])
  return track.keypoints


def test_nothing_true_is_dropped():
  walk = _walk()
  # Bent over, arms raised, small and large, and seen in part.
  walk[10:20, 7:11, 1] -= 150
  growth = 1 + np.sin(np.linspace(0, np.pi, 60))[:, None]
  walk[:, :, 1] *= growth
  walk[:, :, 0] += (walk[:, :, 0] - walk[:, :, 0].mean(1, keepdims=True)) * growth
  walk[30:40, 5:] = 0
  walk[40:50, :11] = 0
  walk[50, [0, 1, 2, 3, 4, 9]] = walk[49, [0, 1, 2, 3, 4, 9]]
  walk[50, [5, 6, 7, 8, *range(10, 17)]] = 0
  assert not outliers.of_track(walk).any()
  assert not outliers.of_frame(walk).any()


@pytest.mark.parametrize("far", [700.0, 2000.0, 3e4, 1e5, 1e9, 1e30])
def test_one_point_far_off_is_dropped_alone(far, caplog):
  walk = _walk()
  lying = walk.copy()
  lying[30, 9] = [far, far, 0.5]
  expected = walk.copy()
  expected[30, 9] = 0
  np.testing.assert_array_equal(_track(lying), expected)
  assert "1 keypoints are far off their person" in caplog.text


def test_points_at_a_place_for_missing_ones_are_missing(tmp_path, caplog):
  rng = np.random.default_rng(1)
  walk = _walk()
  for place in ([0.0, 0.0], [-1.0, -1.0], [320.0, 240.0]):
    missing = rng.uniform(size=walk.shape[:2]) < 0.3
    lying = np.where(missing[..., None], np.float32([*place, 0.3]), walk)
    path = tmp_path / "keypoints.json"
    entries = [
      {"image_id": number, "keypoints": person.ravel().tolist()}
      for number, person in enumerate(lying)
    ]
    path.write_text(json.dumps(entries))
    read = formats.read(path, "coco", len(walk), (640, 480))
    np.testing.assert_array_equal(np.stack(read)[:, 0, :, 2] == 0, missing)


def test_a_point_that_stays_behind_is_missing_and_a_standing_foot_is_not():
  walk = _walk(120, step=6.0)
  # A foot stands at one pixel for 20 frames, an elbow stays for 90.
  walk[20:40, 15] = walk[20, 15]
  expected = walk.copy()
  walk[20:110, 7] = walk[20, 7]
  expected[20:110, 7] = 0
  np.testing.assert_array_equal(_track(walk), expected)


def test_somebody_who_never_moves_keeps_all_points():
  still = np.repeat(_walk()[:1], 100, axis=0)
  np.testing.assert_array_equal(_track(still), still)
  assert not outliers.filler_places(still[:, None]).size


def test_nobody_and_few_points():
  assert outliers.filler_places([]).shape == (0, 2)
  assert not outliers.of_frame(np.zeros((1, 17, 3), np.float32)).any()
  assert outliers.of_frame(np.zeros((0, 17, 3), np.float32)).shape == (0, 17)
  few = np.zeros((3, 17, 3), np.float32)
  few[:, :2] = [[1, 1, 1], [900, 900, 1]]
  assert not outliers.of_track(few).any()
  same = np.full((3, 17, 3), 0.5, np.float32)
  assert not outliers.of_track(same).any()
