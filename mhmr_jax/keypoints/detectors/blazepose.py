"""BlazePose: a network that finds people, and one that finds a person's landmarks.

Both networks are MediaPipe's. Their outputs are decoded as MediaPipe does: by anchors,
weighted suppression of boxes and refinement by heatmaps; and a person's region comes
from their landmarks in the frame before (Bazarevsky et al., "BlazePose: On-device
Real-time Body Pose Tracking", 2020; the graphs `pose_detector` and
`pose_landmarks_detector` of MediaPipe's Tasks).
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from mhmr_jax.keypoints.detectors import litert, regions

NUM_LANDMARKS = 33
_TORSO = [11, 12, 23, 24]  # Shoulders and hips.
_AUXILIARY = 2  # The middle of the hips and the circle's top follow the landmarks.
_POINTS = 39
_MIN_SCORE = 0.5

_DETECTOR_SIZE = 224
_ANCHORS_PER_CELL = {8: 2, 16: 2, 32: 6}  # By the stride of the network's layers.
_MAX_OVERLAP = 0.5

_SEARCH_SECONDS = 0.2
_LOST_SECONDS = 0.5
# Distances of one person's regions and torsos, in sides of the region.
_ALIKE_CENTRE = 0.15
_SAME_TORSO = 0.1
_SAME_SIZE = 1.5

_CROP_SIZE = 256
_HEATMAP_SIZE = 64
_HEATMAP_REACH = 3  # Cells around a point that refine it.


class Person(NamedTuple):
  """One person's landmarks in a frame."""

  # x and y, and depth in the same scale from the middle of the hips, px; how likely
  # the point is to be seen, from 0 to 1.
  landmarks: Float[np.ndarray, "33 4"]
  # Metres from the middle of the hips, in the camera's directions.
  world_landmarks: Float[np.ndarray, "33 3"]
  # Where to look for the person in the next frame.
  region: Float[np.ndarray, "4"]


_Image = UInt8[np.ndarray, "height width 3"]
_Region = Float[np.ndarray, "4"]


class PeopleFinder:
  """Finds people anywhere in an image; raises as `litert.Network`."""

  def __init__(self, content: bytes) -> None:
    """Loads the network from the content of `pose_detector.tflite`."""
    self._anchors = _anchors()
    shapes = [(1, len(self._anchors), 12), (1, len(self._anchors), 1)]
    self._network = litert.Network(content, _DETECTOR_SIZE, shapes)

  def __call__(
    self, image: UInt8[np.ndarray, "height width 3"], part: Float[np.ndarray, "4"]
  ) -> list[Float[np.ndarray, "4"]]:
    """The regions of the people in a part of an RGB image, the likeliest first."""
    pixels = regions.crop(image, part, _DETECTOR_SIZE, cv2.BORDER_CONSTANT)
    raw, logits = self._network(pixels.astype(np.float32) / 127.5 - 1)
    scores = _sigmoid(logits[:, 0])
    likely = scores >= _MIN_SCORE
    # A row is a box's centre and size, and four points; all from the anchor.
    rows = raw[likely].reshape(-1, 6, 2) / _DETECTOR_SIZE
    rows[:, [0, 2, 3, 4, 5]] += self._anchors[likely, None]
    boxes = np.concatenate(
      [rows[:, 0] - rows[:, 1] / 2, rows[:, 0] + rows[:, 1] / 2], 1
    )
    points = regions.to_image(_suppress(boxes, rows[:, 2:4], scores[likely]), part)
    return [regions.around(*person) for person in points]


class LandmarkFinder:
  """Finds the landmarks of the person in a region; raises as `litert.Network`."""

  def __init__(self, content: bytes) -> None:
    """Loads the network from the content of `pose_landmarks_detector.tflite`."""
    heatmap = (1, _HEATMAP_SIZE, _HEATMAP_SIZE, _POINTS)
    mask = (1, _CROP_SIZE, _CROP_SIZE, 1)
    shapes = [(1, 5 * _POINTS), (1, 1), mask, heatmap, (1, 3 * _POINTS)]
    self._network = litert.Network(content, _CROP_SIZE, shapes)

  def __call__(
    self,
    image: UInt8[np.ndarray, "height width 3"],
    region: Float[np.ndarray, "4"],
  ) -> Person | None:
    """The person in a region of an RGB image; None where there is nobody."""
    pixels = regions.crop(image, region, _CROP_SIZE, cv2.BORDER_REPLICATE)
    raw, presence, _, heatmap, world = self._network(pixels.astype(np.float32) / 255)
    if presence[0] < _MIN_SCORE:
      return None
    # A row is x, y and depth in pixels of the crop, and two logits.
    rows = raw.reshape(_POINTS, 5)
    points = regions.to_image(_refine(rows[:, :2] / _CROP_SIZE, heatmap), region)
    own = slice(NUM_LANDMARKS)
    depth = rows[own, 2] * (region[2] / _CROP_SIZE)
    seen = _sigmoid(rows[own, 3])
    world_landmarks = world.reshape(_POINTS, 3)[own].astype(np.float64)
    world_landmarks[:, :2] @= regions.rotation(region).T
    following = points[NUM_LANDMARKS : NUM_LANDMARKS + _AUXILIARY]
    return Person(
      np.column_stack([points[own], depth, seen]),
      world_landmarks,
      regions.around(*following),
    )


class Landmarker:
  """Follows several people through the frames of a video.

  A person's region comes from their landmarks in the frame before. More people are
  searched for five times a second, as in every frame the search would take half of the
  time; and in every frame for half a second after somebody was lost, and while there is
  nobody. The network sees an oblong image scaled down, and finds little more than one
  person in it, so one of the image's parts is searched too, in turn.
  """

  def __init__(
    self,
    find_people: Callable[[_Image, _Region], list[_Region]],
    find_landmarks: Callable[[_Image, _Region], Person | None],
    people: int,
  ) -> None:
    """Makes one for a video.

    Args:
      find_people: gives the regions of the people in a part of an image.
      find_landmarks: gives the person in a region.
      people: how many are followed at most.
    """
    self._find_people = find_people
    self._find_landmarks = find_landmarks
    self._people = people
    self._followed: list[Person] = []
    self._search_until = -np.inf
    self._searched: float | None = None
    self._turn = 0

  def __call__(
    self, image: UInt8[np.ndarray, "height width 3"], seconds: float
  ) -> list[Person]:
    """Everybody in the next RGB frame, which shows the scene at a time in seconds."""
    candidates = [person.region for person in self._followed]
    if len(candidates) < self._people:
      for part in self._parts_to_search(image.shape, seconds):
        self._searched = seconds
        for region in self._find_people(image, part):
          if not any(_is_alike(region, other) for other in candidates):
            candidates.append(region)
    before = len(self._followed)
    self._followed = []
    for region in candidates[: self._people]:
      person = self._find_landmarks(image, region)
      if person and not any(_is_same(person, other) for other in self._followed):
        self._followed.append(person)
    if len(self._followed) < before:
      self._search_until = seconds + _LOST_SECONDS
    elif len(self._followed) > before:
      self._search_until = -np.inf
    return self._followed

  def _parts_to_search(
    self, shape: tuple[int, ...], seconds: float
  ) -> list[Float[np.ndarray, "4"]]:
    """The parts of the next image in which people are searched for."""
    whole, parts = regions.whole_image(shape), regions.parts(shape)
    if self._searched is None:
      return [whole, *parts]
    is_due = seconds - self._searched >= _SEARCH_SECONDS
    if not is_due and self._followed and seconds > self._search_until:
      return []
    self._turn += 1
    return [whole, *parts[self._turn % 3 :][:1]]


def _anchors() -> Float[np.ndarray, "anchors 2"]:
  """The centres of the cells, from 0 to 1, as often as a cell has anchors."""
  centres = []
  for stride, count in _ANCHORS_PER_CELL.items():
    cells = _DETECTOR_SIZE // stride
    y, x = (np.mgrid[:cells, :cells] + 0.5) / cells
    centres.append(np.stack([x, y], -1).reshape(-1, 2).repeat(count, axis=0))
  return np.concatenate(centres)


def _suppress(
  boxes: Float[np.ndarray, "n 4"],
  points: Float[np.ndarray, "n k 2"],
  scores: Float[np.ndarray, "n"],
) -> Float[np.ndarray, "people k 2"]:
  """The mean points, weighted by score, of the boxes that overlap the best ones."""
  left = np.argsort(-scores, kind="stable")
  people = []
  while len(left):
    overlapping = _overlap(boxes[left[0]], boxes[left]) > _MAX_OVERLAP
    # A box without an area overlaps nothing, not even itself.
    overlapping[0] = True
    group = left[overlapping]
    people.append(np.average(points[group], axis=0, weights=scores[group]))
    left = left[~overlapping]
  return np.array(people).reshape(-1, *points.shape[1:])


def _overlap(
  box: Float[np.ndarray, "4"], others: Float[np.ndarray, "n 4"]
) -> Float[np.ndarray, "n"]:
  """The intersection of boxes [x0, y0, x1, y1] with one, divided by their union."""
  low = np.maximum(box[:2], others[:, :2])
  high = np.minimum(box[2:], others[:, 2:])
  common = np.prod(np.maximum(high - low, 0), axis=-1)
  areas = np.prod(others[:, 2:] - others[:, :2], axis=-1)
  return common / np.maximum(areas + np.prod(box[2:] - box[:2]) - common, 1e-12)


def _refine(
  points: Float[np.ndarray, "k 2"], heatmaps: Float[np.ndarray, "size size k"]
) -> Float[np.ndarray, "k 2"]:
  """Moves points to the mean of their heatmaps around them, where it is sure of them.

  Points in the crop go from 0 to 1. A point up to three cells below the crop is moved
  too, as in MediaPipe.
  """
  cells = np.trunc(np.clip(points * _HEATMAP_SIZE, -1e6, 1e6)).astype(int)
  size = np.array(heatmaps.shape[1::-1])
  index = np.flatnonzero((cells >= 0).all(axis=-1) & (cells[:, 0] < _HEATMAP_SIZE))
  # Those beside the heatmap weigh nothing.
  around = cells[index, None] + np.arange(-_HEATMAP_REACH, _HEATMAP_REACH + 1)[:, None]
  within = (around >= 0) & (around < size)
  columns, rows = np.moveaxis(np.clip(around, 0, size - 1), -1, 0)
  patches = _sigmoid(heatmaps[rows[:, :, None], columns[:, None], index[:, None, None]])
  patches *= within[:, :, None, 1] & within[:, None, :, 0]
  sure = patches.max(axis=(1, 2)) >= _MIN_SCORE
  index, patches, around = index[sure], patches[sure], around[sure]
  refined = points.copy()
  means = [(patches.sum(axis) * around[..., c]).sum(1) for c, axis in enumerate((1, 2))]
  total = patches.sum((1, 2)) * _HEATMAP_SIZE
  refined[index] = np.stack(means, -1) / total[:, None]
  return refined


def _is_alike(region: Float[np.ndarray, "4"], followed: Float[np.ndarray, "4"]) -> bool:
  """Whether a found region is that of a person who is followed already."""
  sides = sorted([region[2], followed[2]])
  away = np.linalg.norm(region[:2] - followed[:2])
  return bool(away < _ALIKE_CENTRE * sides[1] and sides[1] < _SAME_SIZE * sides[0])


def _is_same(person: Person, other: Person) -> bool:
  """Whether two regions showed the same person, whose limbs may differ in names."""
  torsos = [one.landmarks[_TORSO, :2].mean(axis=0) for one in (person, other)]
  away = np.linalg.norm(torsos[0] - torsos[1])
  sides = sorted([person.region[2], other.region[2]])
  return bool(away < _SAME_TORSO * sides[1] and sides[1] < _SAME_SIZE * sides[0])


def _sigmoid(
  logits: Float[np.ndarray, "*shape"],
) -> Float[np.ndarray, "*shape"]:
  return 1 / (1 + np.exp(-np.clip(logits, -80, 80)))
