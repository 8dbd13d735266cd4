"""Follows people through a video: which detections are of the same person."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints.formats import Detections

# Detectors report guesses far off the body with scores below this.
_MIN_SCORE = 0.1
_MIN_POINTS = 3
_BRIDGE_SECONDS = 0.5  # A person may be missed for so long and is still followed.
_REJOIN_SECONDS = 2.0  # Or for so long, if nobody else could be meant.
# Distances are in sizes of the person (the longer side of the box).
_GATE = 0.5
_GATE_GROWTH = 1.0  # A second: who was not seen for a while may be farther away.
_MEMORY = 0.7  # Of the running mean of the velocity, from frame to frame.


@dataclasses.dataclass(frozen=True)
class Track:
  """One person: the frames in which they were detected, ascending, and where."""

  frame_index: Int[np.ndarray, "frames"]
  keypoints: Float[np.ndarray, "frames 17 3"]

  @property
  def area(self) -> float:
    """The sum of the boxes' areas over the clip, px²."""
    sides = [np.ptp(_seen(person), axis=0) for person in self.keypoints]
    return float(np.prod(sides, axis=-1).sum())


@dataclasses.dataclass
class _Following:
  """A track while it grows."""

  frames: list[int]
  people: list[np.ndarray]
  size: float
  velocity: np.ndarray  # px a frame.

  @classmethod
  def start(cls, frame: int, person: np.ndarray) -> "_Following":
    return cls([frame], [person], _size(person), np.zeros(2))

  def expected(self, frame: int) -> np.ndarray:
    """The last detection, moved on at the person's velocity."""
    person = self.people[-1].copy()
    person[:, :2] += self.velocity * (frame - self.frames[-1])
    return person

  def add(self, frame: int, person: np.ndarray) -> None:
    elapsed = frame - self.frames[-1]
    moved = _shift(self.people[-1], person) / elapsed
    memory = _MEMORY**elapsed
    self.velocity = memory * self.velocity + (1 - memory) * moved
    self.size = max(0.9 * self.size, _size(person))
    self.frames.append(frame)
    self.people.append(person)


def track(detections: Detections, fps: float = 30.0) -> list[Track]:
  """Joins detections to tracks, the largest person over the clip first.

  In every frame, the Hungarian method assigns detections to the people followed so
  far by the distance of their points from where they are expected. Gaps of up to half
  a second are bridged. Afterwards tracks are rejoined over up to two seconds where
  the end of one and the start of the other fit each other.
  """
  bridge = max(1, round(_BRIDGE_SECONDS * fps))
  active: list[_Following] = []
  ended: list[_Following] = []
  for frame, found in enumerate(detections):
    people = [p for p in found if (p[:, 2] > _MIN_SCORE).sum() >= _MIN_POINTS]
    ended += [one for one in active if frame - one.frames[-1] > bridge]
    active = [one for one in active if frame - one.frames[-1] <= bridge]
    assigned = _assign(active, people, frame, fps)
    for index, person in enumerate(people):
      if index in assigned:
        active[assigned[index]].add(frame, person)
      else:
        active.append(_Following.start(frame, person))
  tracks = [
    Track(np.array(one.frames), np.stack(one.people))
    for one in _rejoin(ended + active, fps)
  ]
  return sorted(tracks, key=lambda one: -one.area)


def largest(tracks: list[Track]) -> Track:
  """The person with the largest sum of box areas over the clip."""
  if not tracks:
    raise InputError("No person was found: the keypoints have no detection.")
  return max(tracks, key=lambda one: one.area)


def _assign(
  active: list[_Following], people: list[np.ndarray], frame: int, fps: float
) -> dict[int, int]:
  """Which of `active` each of `people` continues."""
  if not active or not people:
    return {}
  cost = np.array(
    [[_distance(one, person, frame) for person in people] for one in active]
  )
  waited = np.array([frame - one.frames[-1] - 1 for one in active])
  gate = _GATE + _GATE_GROWTH * waited[:, None] / fps
  # A pair outside the gate costs more than any within, so it is never preferred.
  rows, columns = linear_sum_assignment(np.where(cost < gate, cost, 1e3))
  return {
    int(column): int(row)
    for row, column in zip(rows, columns, strict=True)
    if cost[row, column] < gate[row, 0]
  }


def _distance(one: _Following, person: np.ndarray, frame: int) -> float:
  """Mean distance of the points seen in both, in sizes of the larger of the two.

  Half of it is the points' own, half that of the boxes' centres: a swap of left and
  right moves every point of a limb, but not the box.
  """
  expected = one.expected(frame)
  size = max(one.size, _size(person))
  centres = np.linalg.norm(_centre(expected) - _centre(person))
  common = (expected[:, 2] > _MIN_SCORE) & (person[:, 2] > _MIN_SCORE)
  if common.sum() < _MIN_POINTS:
    return float(centres / size)
  points = np.linalg.norm((expected - person)[common, :2], axis=-1).mean()
  return float((points + centres) / (2 * size))


def _rejoin(pieces: list[_Following], fps: float) -> list[_Following]:
  """Joins pieces that follow each other, where each is the other's only choice."""
  longest = round(_REJOIN_SECONDS * fps)
  pieces = sorted(pieces, key=lambda one: one.frames[0])
  starts = np.array([one.frames[0] for one in pieces])
  successors: dict[int, list[int]] = {}
  predecessors: dict[int, list[int]] = {}
  for before, one in enumerate(pieces):
    end = one.frames[-1]
    low, high = np.searchsorted(starts, [end + 1, end + longest + 1])
    for after in range(low, high):
      if _fits(one, pieces[after]):
        successors.setdefault(before, []).append(after)
        predecessors.setdefault(after, []).append(before)
  joined: list[_Following] = []
  owner: dict[int, _Following] = {}
  for index, one in enumerate(pieces):
    choices = predecessors.get(index, [])
    if len(choices) == 1 and len(successors[choices[0]]) == 1:
      head = owner[choices[0]]
      head.frames += one.frames
      head.people += one.people
    else:
      head = one
      joined.append(one)
    owner[index] = head
  return joined


def _fits(before: _Following, after: _Following) -> bool:
  """Alike in size, and no farther apart than one size."""
  sizes = sorted([_size(before.people[-1]), _size(after.people[0])])
  away = np.linalg.norm(_centre(before.people[-1]) - _centre(after.people[0]))
  return bool(sizes[1] < 1.5 * sizes[0] and away < sizes[1])


def _shift(before: np.ndarray, after: np.ndarray) -> np.ndarray:
  common = (before[:, 2] > _MIN_SCORE) & (after[:, 2] > _MIN_SCORE)
  if common.sum() < _MIN_POINTS:
    return _centre(after) - _centre(before)
  return np.median((after - before)[common, :2], axis=0)


def _seen(person: np.ndarray) -> np.ndarray:
  return person[person[:, 2] > _MIN_SCORE, :2]


def _centre(person: np.ndarray) -> np.ndarray:
  points = _seen(person)
  return (points.min(axis=0) + points.max(axis=0)) / 2


def _size(person: np.ndarray) -> float:
  return max(float(np.ptp(_seen(person), axis=0).max()), 1.0)
