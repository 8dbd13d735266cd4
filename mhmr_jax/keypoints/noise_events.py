"""Finds what a detector did wrong for a while: swaps, outliers, somebody else's points.

All of them leap away from one frame to the next and leap back soon after; what leaps
and stays is movement, or a cut.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import median_filter

from mhmr_jax.body.joints import COCO_FLIP

# Left of the pairs: shoulders, elbows, wrists, hips, knees, ankles. In the face, left
# and right are too near each other to tell.
_LEFT = np.array([5, 7, 9, 11, 13, 15])
_RIGHT = np.array(COCO_FLIP)[_LEFT]
_LONGEST = 30  # Frames, after which it is taken for the truth.
# Sizes of the person.
_LEAST_LEAP = 0.06
_LEAST_JUMP = 0.25
_LEAST_SWAP = 0.1
_CALM = 15  # Frames over which a point's usual speed is taken.


@dataclasses.dataclass(frozen=True)
class Events:
  """When it happened, and how."""

  swaps: Bool[np.ndarray, "time 6"]  # Pairs from shoulders to ankles.
  outliers: Bool[np.ndarray, "time 17"]
  jumps: Bool[np.ndarray, "time"]
  away: Float[np.ndarray, "outliers"]  # How far, sizes of the person.
  runs: list[int]  # How long each event lasted, misses too, frames.

  @property
  def misplaced(self) -> Bool[np.ndarray, "time 17"]:
    """Which points are not where they belong; swaps were put right."""
    return self.outliers | self.jumps[:, None]


def find(
  points: Float[np.ndarray, "time 17 2"], seen: Bool[np.ndarray, "time 17"]
) -> tuple[Float[np.ndarray, "time 17 2"], Events]:
  """The points with swaps put right, in sizes of the person, and what happened."""
  points = np.where(seen[..., None], points, np.nan)
  # Missing points are held: else the middle would leap with what is missing.
  centre = np.median(_hold(points), axis=1)
  jumps, _ = _excursions(centre[:, None], np.full((len(points), 1), _LEAST_JUMP))
  points, swaps = _unswap(points)
  held = _hold(np.where(jumps[..., None], np.nan, points - centre[:, None]))
  steps = np.linalg.norm(np.diff(held, axis=0, prepend=held[:1]), axis=-1)
  outliers, away = _excursions(held, _LEAST_LEAP + 3 * median_filter(steps, (_CALM, 1)))
  outliers &= seen & ~jumps
  runs = [*_runs(jumps), *_runs(swaps), *_runs(outliers), *_runs(~seen)]
  events = Events(swaps, outliers, jumps[:, 0], away, runs)
  return np.where(seen[..., None], points, 0), events


def _hold(values: np.ndarray) -> np.ndarray:
  """Fills what is missing by what was there before, else by what comes after."""
  values = values.copy()
  for ordered in (values, values[::-1]):
    known = np.isfinite(ordered[..., 0])
    frames = np.arange(len(values)).reshape(-1, *[1] * (known.ndim - 1))
    last = np.maximum.accumulate(np.where(known, frames, 0), axis=0)
    ordered[...] = np.take_along_axis(ordered.copy(), last[..., None], axis=0)
  return np.nan_to_num(values)


def _excursions(
  values: np.ndarray, threshold: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Which of [time, points, 2] have leapt away and come back; how far each leapt."""
  flags = np.zeros(threshold.shape, bool)
  steps = np.linalg.norm(np.diff(values, axis=0, prepend=values[:1]), axis=-1)
  away = []
  for point in range(values.shape[1]):
    leaps = np.flatnonzero(steps[:, point] > threshold[:, point]).tolist()
    free_from = 0
    for number, start in enumerate(leaps):
      if start < free_from:
        continue
      for end in leaps[number + 1 :]:
        if end - start > _LONGEST:
          break
        back = np.linalg.norm(values[end, point] - values[start - 1, point])
        if back < 0.5 * steps[start, point]:
          flags[start:end, point] = True
          away.append(steps[start, point])
          free_from = end + 1
          break
  return flags, np.array(away)


def _unswap(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Exchanges left and right while that continues both points' movement better."""
  points = points.copy()
  swaps = np.zeros((len(points), len(_LEFT)), bool)
  pairs = np.stack([points[:, _LEFT], points[:, _RIGHT]], axis=2)
  since = np.full(len(_LEFT), -1)  # The frame at which each pair's swap began.
  # Unknown before the second frame, and after frames that lack a point: then held.
  before, step = pairs[0], np.zeros_like(pairs[0])
  for frame in range(1, len(pairs)):
    expected = before + step
    now = pairs[frame]
    stay = np.linalg.norm(now - expected, axis=-1).sum(-1)
    cross = np.linalg.norm(now[:, ::-1] - expected, axis=-1).sum(-1)
    swapped = (cross < 0.5 * stay) & (stay > _LEAST_SWAP)
    since = np.where(swapped, np.where(since < 0, frame, since), -1)
    # It has lasted too long: it was the truth, and what was before is wrong.
    late = swapped & (frame - since >= _LONGEST)
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


def _runs(flags: np.ndarray) -> list[int]:
  """Lengths of the runs of True along time."""
  padded = np.pad(flags, ((1, 1), (0, 0))).astype(np.int8)
  change = np.diff(padded, axis=0).T
  starts, ends = np.nonzero(change == 1)[1], np.nonzero(change == -1)[1]
  return (ends - starts).tolist()
