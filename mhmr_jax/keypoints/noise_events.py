"""Finds a detector's temporary errors: swaps, outliers and jumps to somebody else.

In all of them, points leap away from one frame to the next and leap back soon after.
Points that leap and stay are taken for movement, or a cut.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import median_filter

from mhmr_jax.body.joints import COCO_FLIP

# The left points of the pairs: shoulders, elbows, wrists, hips, knees, ankles. In the
# face, left and right are too near each other to tell a swap.
_LEFT = np.array([5, 7, 9, 11, 13, 15])
_RIGHT = np.array(COCO_FLIP)[_LEFT]
_MAX_FRAMES = 30  # What lasts longer is taken for the truth.
# Least distances, in sizes of the person.
_MIN_LEAP = 0.06
_MIN_JUMP = 0.25
_MIN_SWAP = 0.1
_CALM = 15  # Frames whose median is a point's usual speed.


@dataclasses.dataclass(frozen=True)
class Events:
  """The frames of one clip in which points are misplaced."""

  swaps: Bool[np.ndarray, "time 6"]  # The pairs from shoulders to ankles.
  outliers: Bool[np.ndarray, "time 17"]
  jumps: Bool[np.ndarray, "time"]
  outlier_distances: Float[np.ndarray, "outliers"]  # Sizes of the person.
  runs: list[int]  # Length in frames of each event; misses count as events.

  @property
  def misplaced(self) -> Bool[np.ndarray, "time 17"]:
    """The points that are not where they belong; swaps are not among them."""
    return self.outliers | self.jumps[:, None]


def find(
  points: Float[np.ndarray, "time 17 2"], reported: Bool[np.ndarray, "time 17"]
) -> tuple[Float[np.ndarray, "time 17 2"], Events]:
  """Finds the events of a clip, and undoes its swaps.

  Args:
    points: positions in units of the person's size.
    reported: False where a point is missing.

  Returns:
    The points without swaps, zeros where missing; and the events.
  """
  points = np.where(reported[..., None], points, np.nan)
  # Missing points keep their last place: else the centre would leap as they go.
  centre = np.median(_hold(points), axis=1)
  jumps, _ = _excursions(centre[:, None], np.full((len(points), 1), _MIN_JUMP))
  points, swaps = _unswap(points)
  held = _hold(np.where(jumps[..., None], np.nan, points - centre[:, None]))
  steps = np.linalg.norm(np.diff(held, axis=0, prepend=held[:1]), axis=-1)
  usual_speed = median_filter(steps, (_CALM, 1))
  outliers, distances = _excursions(held, _MIN_LEAP + 3 * usual_speed)
  outliers &= reported & ~jumps
  runs = [*_runs(jumps), *_runs(swaps), *_runs(outliers), *_runs(~reported)]
  events = Events(swaps, outliers, jumps[:, 0], distances, runs)
  return np.where(reported[..., None], points, 0), events


def _hold(
  values: Float[np.ndarray, "time *points 2"],
) -> Float[np.ndarray, "time *points 2"]:
  """Replaces NaN by the last value before it, else by the first one after it."""
  values = values.copy()
  for ordered in (values, values[::-1]):
    known = np.isfinite(ordered[..., 0])
    frames = np.arange(len(values)).reshape(-1, *[1] * (known.ndim - 1))
    last = np.maximum.accumulate(np.where(known, frames, 0), axis=0)
    ordered[...] = np.take_along_axis(ordered.copy(), last[..., None], axis=0)
  return np.nan_to_num(values)


def _excursions(
  values: Float[np.ndarray, "time points 2"],
  threshold: Float[np.ndarray, "time points"],
) -> tuple[Bool[np.ndarray, "time points"], Float[np.ndarray, "excursions"]]:
  """Finds the times at which points have leapt away and will leap back.

  Returns:
    True from the leap, a step above the threshold, until the point is back; and how
    far it leapt each time.
  """
  flags = np.zeros(threshold.shape, bool)
  steps = np.linalg.norm(np.diff(values, axis=0, prepend=values[:1]), axis=-1)
  distances = []
  for point in range(values.shape[1]):
    leaps = np.flatnonzero(steps[:, point] > threshold[:, point]).tolist()
    free_from = 0
    for number, start in enumerate(leaps):
      if start < free_from:
        continue
      for end in leaps[number + 1 :]:
        if end - start > _MAX_FRAMES:
          break
        back = np.linalg.norm(values[end, point] - values[start - 1, point])
        if back < 0.5 * steps[start, point]:
          flags[start:end, point] = True
          distances.append(steps[start, point])
          free_from = end + 1
          break
  return flags, np.array(distances)


def _unswap(
  points: Float[np.ndarray, "time 17 2"],
) -> tuple[Float[np.ndarray, "time 17 2"], Bool[np.ndarray, "time 6"]]:
  """Exchanges left and right where that continues both points' movement better.

  Returns:
    The points, and for each pair the frames in which it was exchanged.
  """
  points = points.copy()
  swaps = np.zeros((len(points), len(_LEFT)), bool)
  pairs = np.stack([points[:, _LEFT], points[:, _RIGHT]], axis=2)
  since = np.full(len(_LEFT), -1)  # The frame at which each pair's swap began.
  # Each pair's last known places, and their movement in a frame where that is known.
  before, step = pairs[0], np.zeros_like(pairs[0])
  for frame in range(1, len(pairs)):
    expected = before + step
    now = pairs[frame]
    stay = np.linalg.norm(now - expected, axis=-1).sum(-1)
    cross = np.linalg.norm(now[:, ::-1] - expected, axis=-1).sum(-1)
    swapped = (cross < 0.5 * stay) & (stay > _MIN_SWAP)
    since = np.where(swapped, np.where(since < 0, frame, since), -1)
    # A swap that lasts too long is the truth, and the frames before it were not.
    late = swapped & (frame - since >= _MAX_FRAMES)
    for pair in np.flatnonzero(late):
      swaps[since[pair] : frame, pair] = False
      swapped[pair], since[pair] = False, -1
    swaps[frame] = swapped
    now = np.where(swapped[:, None, None], now[:, ::-1], now)
    known = np.isfinite(now).all(axis=(1, 2))[:, None, None]
    step = np.where(known & np.isfinite(before), now - before, 0)
    step = np.where(late[:, None, None], 0, step)
    before = np.where(known, now, before)
  pairs = np.where(swaps[..., None, None], pairs[:, :, ::-1], pairs)
  points[:, _LEFT], points[:, _RIGHT] = pairs[:, :, 0], pairs[:, :, 1]
  return points, swaps


def _runs(flags: Bool[np.ndarray, "time columns"]) -> list[int]:
  """Lengths of the runs of True along time."""
  padded = np.pad(flags, ((1, 1), (0, 0))).astype(np.int8)
  change = np.diff(padded, axis=0).T
  starts, ends = np.nonzero(change == 1)[1], np.nonzero(change == -1)[1]
  return (ends - starts).tolist()
