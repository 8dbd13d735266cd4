"""Follows people through a video by joining detections of the same person."""

import collections
import dataclasses
import itertools

import numpy as np
from absl import logging
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from mhmr_jax.errors import InputError
from mhmr_jax.geometry import windows
from mhmr_jax.geometry.windows import MIN_SCORE
from mhmr_jax.keypoints import outliers
from mhmr_jax.keypoints.formats import Detections

_MIN_POINTS = 3
_BRIDGE_SECONDS = 0.5  # A person who is missed for so long is still followed.
REJOIN_SECONDS = 10.0  # Tracks are rejoined over so long, if nobody else fits.
_WALK_ON_SECONDS = 2.0  # Somebody hidden is thought to walk on for so long.
_RIVAL_SHARE = 0.2  # The length of a track that counts beside another.
_FIRST_FRAMES = 5  # Frames that tell the size of somebody who comes in.
# Distances are in sizes of the person (the longer side of the box).
_GATE = 0.5
_GATE_GROWTH = 1.0  # The gate widens by so much a second while a person is missed.
_STREAM_FPS = 30.0  # The rate in whose frames a stream's times are counted.
_MEMORY = 0.7  # Weight of the old velocity in its running mean, from frame to frame.


@dataclasses.dataclass(frozen=True)
class Track:
  """One person's detections (x, y px and score) and their ascending frame numbers."""

  frame_index: Int[np.ndarray, "frames"]
  keypoints: Float[np.ndarray, "frames 17 3"]

  @property
  def area(self) -> float:
    """The sum of the boxes' areas over the clip, px²."""
    boxes = windows.tight_boxes(self.keypoints)
    return float(np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1).sum())


@dataclasses.dataclass(eq=False)
class _OpenTrack:
  """A track that may still grow."""

  # The frames' numbers; of a stream, whose frames need not be even, fractions too.
  frames: list[float]
  people: list[np.ndarray]
  size: float
  velocity: np.ndarray  # px a frame.
  number: int = 0  # The person's number in a stream.

  @classmethod
  def start(cls, frame: float, person: np.ndarray) -> "_OpenTrack":
    return cls([frame], [person], _size(person), np.zeros(2))

  def expected(self, frame: float) -> np.ndarray:
    """The last detection, extrapolated to a frame at the person's velocity."""
    person = self.people[-1].copy()
    person[:, :2] += self.velocity * (frame - self.frames[-1])
    return person

  def add(self, frame: float, person: np.ndarray) -> None:
    elapsed = frame - self.frames[-1]
    moved = _shift(self.people[-1], person) / elapsed
    memory = _MEMORY**elapsed
    self.velocity = memory * self.velocity + (1 - memory) * moved
    self.size = max(0.9 * self.size, _size(person))
    self.frames.append(frame)
    self.people.append(person)


class _Follower:
  """Assigns each frame's people to tracks, by the frames so far."""

  def __init__(self, fps: float):
    self._fps = fps
    self._bridge = max(1, round(_BRIDGE_SECONDS * fps))
    self.active: list[_OpenTrack] = []
    self.ended: list[_OpenTrack] = []
    self.lying = 0  # How many points were taken as missing.

  def add(self, frame: float, found: Float[np.ndarray, "_ 17 3"]) -> list[_OpenTrack]:
    """Adds a frame's detections to tracks; returns the tracks that are in the frame."""
    is_far = outliers.of_frame(found)
    self.lying += int(is_far.sum())
    people = [
      one for one in _without(found, is_far) if _reported(one).sum() >= _MIN_POINTS
    ]
    is_lost = lambda one: frame - one.frames[-1] > self._bridge
    self.ended += filter(is_lost, self.active)
    self.active = list(itertools.filterfalse(is_lost, self.active))
    assigned = _assign(self.active, people, frame, self._fps)
    here = []
    for index, person in enumerate(people):
      if index in assigned:
        one = self.active[assigned[index]]
        one.add(frame, person)
      else:
        one = _OpenTrack.start(frame, person)
        self.active.append(one)
      here.append(one)
    return here


def track(detections: Detections, fps: float = 30.0) -> list[Track]:
  """Joins detections to tracks, the largest person over the clip first.

  In every frame, the Hungarian method assigns detections to the people followed so
  far by the distance of their points from where they are expected. Gaps of up to half
  a second are bridged. Afterwards tracks are rejoined over gaps of up to ten seconds,
  where one track ends and another begins at about the same place and size, unless it
  could be somebody else. So those who are hidden, or leave and return, keep their
  number.

  Points far off their person, or stuck at one place while the person walks away, become
  missing ones; a warning counts them.
  """
  follower = _Follower(fps)
  for frame, found in enumerate(detections):
    follower.add(float(frame), found)
  joined = _rejoin(follower.ended + follower.active, fps)
  # An array for each frame takes more memory than all that follows.
  follower.ended, follower.active = [], []
  tracks = [_closed(joined.pop(0)) for _ in range(len(joined))]
  is_lying = [outliers.of_track(one.keypoints) for one in tracks]
  lying = follower.lying + sum(int(points.sum()) for points in is_lying)
  if lying:
    logging.warning(
      "%d keypoints are far off their person, or stuck: they are taken as missing.",
      lying,
    )
  tracks = [
    dataclasses.replace(one, keypoints=_without(one.keypoints, points))
    for one, points in zip(tracks, is_lying, strict=True)
  ]
  return sorted(tracks, key=lambda one: -one.area)


def _closed(one: _OpenTrack) -> Track:
  return Track(np.array(one.frames, int), np.stack(one.people))


class StreamTracker:
  """Follows the people of a stream, whose later frames are not known.

  They are numbered from 1 on as they appear. Somebody who was lost for up to ten
  seconds keeps their number if they come back at about the same place and size, unless
  it could be somebody else.
  """

  def __init__(self) -> None:
    self._follower = _Follower(_STREAM_FPS)
    self._count = 0

  def add(
    self, seconds: float, found: Float[np.ndarray, "_ 17 3"]
  ) -> dict[int, Float[np.ndarray, "17 3"]]:
    """Returns the people in a frame by their numbers.

    Args:
      seconds: the time of the frame, later than that of the frame before.
      found: x, y px and score of everybody; points far off their person become missing.
    """
    frame = seconds * _STREAM_FPS
    here = self._follower.add(frame, found)
    gone = self._follower.ended
    gone[:] = [
      one for one in gone if frame - one.frames[-1] <= REJOIN_SECONDS * _STREAM_FPS
    ]
    new = [one for one in here if not one.number]
    pairs = [(a, b) for a in gone for b in new if _fits(a, b, _STREAM_FPS)]
    for before, after in pairs:
      if sum(before is a or after is b for a, b in pairs) == 1:
        after.number = before.number
        gone.remove(before)
    for one in new:
      if not one.number:
        self._count += 1
        one.number = self._count
    return {one.number: one.people[-1] for one in here}


def _without(
  keypoints: Float[np.ndarray, "*batch 17 3"], lying: Bool[np.ndarray, "*batch 17"]
) -> Float[np.ndarray, "*batch 17 3"]:
  return np.where(lying[..., None], np.zeros(3, keypoints.dtype), keypoints)


def largest(tracks: list[Track]) -> Track:
  """The person with the largest `area`; InputError where there is nobody."""
  if not tracks:
    raise InputError(
      "No person was found, as the keypoints have no detection: give those of a video "
      "that shows somebody."
    )
  return max(tracks, key=lambda one: one.area)


def _assign(
  active: list[_OpenTrack], people: list[np.ndarray], frame: float, fps: float
) -> dict[int, int]:
  """Maps the index of each person who is followed already to that of their track."""
  if not active or not people:
    return {}
  cost = np.array(
    [[_distance(one, person, frame) for person in people] for one in active]
  )
  waited = np.array([frame - one.frames[-1] - 1 for one in active])
  gate = _GATE + _GATE_GROWTH * waited[:, None] / fps
  # A pair outside the gate costs more than any within, so it is never preferred.
  rows, columns = _cheapest_pairs(np.where(cost < gate, cost, 1e3))
  return {
    int(column): int(row)
    for row, column in zip(rows, columns, strict=True)
    if cost[row, column] < gate[row, 0]
  }


def _cheapest_pairs(
  cost: Float[np.ndarray, "rows columns"],
) -> tuple[Int[np.ndarray, "pairs"], Int[np.ndarray, "pairs"]]:
  """The rows and columns whose pairs cost least in all, of the shorter side each one.

  It is what `scipy.optimize.linear_sum_assignment` finds, which takes half a second to
  import: as long as a detector takes for a dozen frames.
  """
  if 1 in cost.shape:  # Nearly always, and then the general way would take a third of
    best = np.unravel_index([cost.argmin()], cost.shape)  # the time of tracking.
    return best[0], best[1]
  # A sparse matrix has no element of cost 0, which would be no pair.
  return min_weight_full_bipartite_matching(csr_array(cost + 1))


def _distance(one: _OpenTrack, person: np.ndarray, frame: float) -> float:
  """How far a person is from where a track expects its own, in sizes of the larger.

  It is the mean of two distances: that of the points which both report, and that of
  the boxes' centres. A swap of left and right moves every point of a limb, but not
  the box.
  """
  expected = one.expected(frame)
  size = max(one.size, _size(person))
  centres = np.linalg.norm(_centre(expected) - _centre(person))
  common = _reported(expected) & _reported(person)
  if common.sum() < _MIN_POINTS:
    return float(centres / size)
  points = np.linalg.norm((expected - person)[common, :2], axis=-1).mean()
  return float((points + centres) / (2 * size))


def _rejoin(pieces: list[_OpenTrack], fps: float) -> list[_OpenTrack]:
  """Joins tracks that follow each other, unless it could be somebody else.

  The shortest gaps are closed first. A track that begins while another one is seen that
  fits as well, or before which two ended that were seen together, stays alone.
  """
  pieces = sorted(pieces, key=lambda one: one.frames[0])
  pairs = _followers(pieces, fps)
  successors, predecessors = (
    collections.defaultdict(list),
    collections.defaultdict(list),
  )
  for before, after in pairs:
    successors[before].append(after)
    predecessors[after].append(before)
  following: dict[int, int] = {}
  leading: dict[int, int] = {}
  for before, after in sorted(pairs, key=lambda pair: _gap(pieces, *pair)):
    if before in following or after in leading:
      continue
    rivals = [(after, one) for one in successors[before] if one not in leading]
    rivals += [(before, one) for one in predecessors[after] if one not in following]
    if not any(
      chosen != rival and _competes(pieces[chosen], pieces[rival])
      for chosen, rival in rivals
    ):
      following[before], leading[after] = after, before
  joined = []
  for index, head in enumerate(pieces):
    if index in leading:
      continue
    while index in following:
      index = following[index]
      head.frames += pieces[index].frames
      head.people += pieces[index].people
    joined.append(head)
  return joined


def _followers(pieces: list[_OpenTrack], fps: float) -> list[tuple[int, int]]:
  """The pairs of tracks, in order of their first frames, that one person may have."""
  starts = np.array([one.frames[0] for one in pieces])
  longest = round(REJOIN_SECONDS * fps)
  pairs = []
  for before, one in enumerate(pieces):
    end = one.frames[-1]
    low, high = np.searchsorted(starts, [end + 1, end + longest + 1])
    pairs += [(before, k) for k in range(low, high) if _fits(one, pieces[k], fps)]
  return pairs


def _gap(pieces: list[_OpenTrack], before: int, after: int) -> float:
  return pieces[after].frames[0] - pieces[before].frames[-1]


def _competes(chosen: _OpenTrack, rival: _OpenTrack) -> bool:
  """Whether a track is seen together with another, and not only for a moment."""
  together = chosen.frames[0] <= rival.frames[-1] and (
    rival.frames[0] <= chosen.frames[-1]
  )
  return together and len(rival.frames) > _RIVAL_SHARE * len(chosen.frames)


def _fits(before: _OpenTrack, after: _OpenTrack, fps: float) -> bool:
  """Whether one track may continue another: alike in size, at most one size apart.

  Somebody may have stayed, or for a while have walked on.
  """
  size = max(map(_size, after.people[:_FIRST_FRAMES]))
  sizes = sorted([before.size, size])
  places = [before.people[-1]]
  if after.frames[0] - before.frames[-1] <= _WALK_ON_SECONDS * fps:
    places.append(before.expected(after.frames[0]))
  there = _centre(after.people[0])
  away = min(np.linalg.norm(_centre(place) - there) for place in places)
  return bool(sizes[1] < 1.5 * sizes[0] and away < sizes[1])


def _shift(
  before: Float[np.ndarray, "17 3"], after: Float[np.ndarray, "17 3"]
) -> Float[np.ndarray, "2"]:
  """The median movement of the points that both report, px."""
  common = _reported(before) & _reported(after)
  if common.sum() < _MIN_POINTS:
    return _centre(after) - _centre(before)
  return np.median((after - before)[common, :2], axis=0)


def _reported(person: Float[np.ndarray, "17 3"]) -> Bool[np.ndarray, "17"]:
  return person[:, 2] > MIN_SCORE


def _centre(person: Float[np.ndarray, "17 3"]) -> Float[np.ndarray, "2"]:
  points = person[_reported(person), :2]
  return (points.min(axis=0) + points.max(axis=0)) / 2


def _size(person: Float[np.ndarray, "17 3"]) -> float:
  return max(float(np.ptp(person[_reported(person), :2], axis=0).max()), 1.0)
