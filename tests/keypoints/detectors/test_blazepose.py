"""Whom the landmarker follows, with stand-ins for its networks; and the decoding."""

import numpy as np
import pytest

from mhmr_jax.keypoints.detectors import blazepose, regions

_FRAME = np.zeros((100, 100, 3), np.uint8)
_WIDE = np.zeros((90, 160, 3), np.uint8)


def _region(x, y=50.0, side=40.0):
  return np.array([x, y, side, 0.0])


class _Scene:
  """People at places; the finders see those who stand there."""

  def __init__(self, *places):
    self.places = list(places)
    self.searched = []
    self.looked = 0

  def find_people(self, image, part):
    del image
    self.searched.append(part)
    return [_region(x) for x in self.places]

  def find_landmarks(self, image, region):
    del image
    self.looked += 1
    near = [x for x in self.places if abs(x - region[0]) < 10]
    if not near:
      return None
    landmarks = np.zeros((33, 4))
    landmarks[:, :2] = [near[0], 50.0]
    return blazepose.Person(landmarks, np.zeros((33, 3)), _region(near[0]))


def _landmarker(scene, people=4):
  return blazepose.Landmarker(scene.find_people, scene.find_landmarks, people)


def _places(found):
  return [float(person.landmarks[0, 0]) for person in found]


def test_nobody_else_is_searched_for_in_every_frame():
  scene = _Scene(20.0)
  find = _landmarker(scene)
  for number in range(60):
    scene.places[0] += 0.5
    assert _places(find(_FRAME, number / 30)) == scene.places
  # In the first frame, and about five times in each of two seconds.
  assert len(scene.searched) == pytest.approx(10, abs=1)
  assert scene.looked == 60


def test_who_comes_in_is_seen_within_a_fifth_of_a_second():
  scene = _Scene(20.0)
  find = _landmarker(scene)
  for number in range(10):
    find(_FRAME, number / 30)
  scene.places.append(80.0)
  counts = [len(find(_FRAME, number / 30)) for number in range(10, 17)]
  assert counts[-1] == 2


def test_who_is_lost_is_searched_for_in_every_frame_for_half_a_second():
  scene = _Scene(20.0, 80.0)
  find = _landmarker(scene)
  find(_FRAME, 0.0)
  scene.places.pop()
  for number in range(1, 60):
    assert _places(find(_FRAME, number / 30)) == [20.0]
  assert len(scene.searched) == pytest.approx(1 + 15 + 7, abs=2)
  scene.places.append(80.0)
  scene.places.pop(0)
  find(_FRAME, 2.0)
  # The other is there at once, in the frame after the loss at the latest.
  assert _places(find(_FRAME, 2.03)) == [80.0]


def test_nobody_is_followed_twice_and_no_more_than_wanted():
  scene = _Scene(20.0, 21.0, 80.0)
  assert _places(_landmarker(scene)(_FRAME, 0.0)) == [20.0, 80.0]
  find = _landmarker(scene, people=1)
  for number in range(30):
    assert _places(find(_FRAME, number / 30)) == [20.0]
  assert len(scene.searched) == 2
  # Two who were followed end up at one place: one of them is let go.
  scene = _Scene(20.0, 80.0)
  find = _landmarker(scene)
  find(_FRAME, 0.0)
  scene.find_landmarks = lambda image, region: None
  meeting = blazepose.Person(np.full((33, 4), 50.0), np.zeros((33, 3)), _region(50.0))
  find = blazepose.Landmarker(scene.find_people, lambda image, region: meeting, 4)
  assert len(find(_FRAME, 0.0)) == 1


def test_parts_are_searched_in_turn():
  scene = _Scene(20.0)
  find = _landmarker(scene)
  for number in range(5):
    find(_WIDE, number / 4)
  places = [tuple(part[:3].tolist()) for part in scene.searched]
  whole = (80.0, 45.0, 160.0)
  assert len(places) == 4 + 4 * 2
  assert places[:4] == [whole] + [
    tuple(p[:3].tolist()) for p in regions.parts(_WIDE.shape)
  ]
  assert places[4::2] == [whole] * 4
  assert len(set(places[5::2])) == 3


def test_boxes_that_overlap_are_one_person_by_their_scores():
  boxes = np.array([[0, 0, 2, 2], [0, 0, 2, 1.9], [5, 5, 6, 6], [7, 7, 7, 7]], float)
  points = np.arange(8.0).reshape(4, 1, 2)
  scores = np.array([0.6, 0.9, 0.7, 0.5])
  people = blazepose._suppress(boxes, points, scores)
  first = (0.6 * points[0] + 0.9 * points[1]) / 1.5
  np.testing.assert_allclose(people, [first, points[2], points[3]])
  assert blazepose._suppress(boxes[:0], points[:0], scores[:0]).shape == (0, 1, 2)


def test_heatmaps_refine_only_what_they_are_sure_of():
  heatmaps = np.full((64, 64, 3), -20.0)
  heatmaps[10, 20, 0] = 5.0
  heatmaps[10, 21, 0] = 5.0
  heatmaps[30, 30, 1] = -1.0
  points = np.array([[22.5, 9.5], [30.5, 30.5], [-3.0, 80.0]]) / 64
  refined = blazepose._refine(points, heatmaps) * 64
  np.testing.assert_allclose(refined[0], [20.5, 10], atol=1e-3)
  np.testing.assert_allclose(refined[1:], points[1:] * 64)


def test_heatmaps_refine_points_near_their_edges_by_what_is_inside():
  rng = np.random.default_rng(0)
  points = rng.uniform(-0.1, 1.1, (39, 2))
  heatmaps = rng.normal(1, 4, (64, 64, 39))
  refined = blazepose._refine(points, heatmaps)
  chance = 1 / (1 + np.exp(-heatmaps))
  y, x = np.mgrid[:64, :64]
  for number, (column, row) in enumerate(np.trunc(points * 64)):
    near = (abs(x - column) <= 3) & (abs(y - row) <= 3)
    inside = 0 <= column < 64 and row >= 0
    expected = points[number]
    if inside and near.any() and chance[near, number].max() >= 0.5:
      weight = chance[near, number]
      expected = [np.average(axis[near], weights=weight) / 64 for axis in (x, y)]
    np.testing.assert_allclose(refined[number], expected, atol=1e-6)


def test_anchors_are_as_many_as_the_network_has():
  anchors = blazepose._anchors()
  assert anchors.shape == (2254, 2)
  np.testing.assert_allclose(anchors[0], 0.5 / 28)
  np.testing.assert_allclose(anchors[1], anchors[0])
  np.testing.assert_allclose(anchors[-1], 6.5 / 7)
