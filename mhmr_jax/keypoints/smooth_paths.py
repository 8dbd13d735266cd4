"""The positions of a person's points at any moment, by local regression along time.

A detector's points jitter from frame to frame. A quadratic is fitted to each point's
detections around a moment (Savitzky and Golay 1964; Cleveland 1979 for uneven times),
with weights that fall with the time to the moment and rise with the score; detections
far off the curve count little. The window is a span of time, so the result hardly
depends on the frame rate; it smooths, and interpolates between frames, without delay.
"""

import numpy as np
from jaxtyping import Float

from mhmr_jax.runtime.batching import blocks

# Half of the window, s. On captured motion with a jitter of 0.5 % of the person's size,
# seen at 20 to 60 frames a second, wider windows lower the mean error by less than they
# raise those of the fastest hundredth.
HALF_WINDOW = 0.13
# Where frames are far apart, the window reaches so many times from one to the next, but
# is not wider than so many usual ones.
_REACH, _WIDEST = 1.6, 1.25
# A detection counts a quarter if it is off by so many times as much as a half of them,
# and by so many times the least deviation, px.
_FAR, _LEAST_DEVIATION = 6.0, 0.5
_ROUNDS = 4  # A misplaced detection makes its neighbours look misplaced at first.
# The variance of a sure detection's jitter, divided by those of the slope and the
# curvature of movements over half a window; they matter where detections are few.
_SLOPE, _CURVATURE = 1e-4, 1e-3
_MOMENTS = 512  # Computed at once, to bound the memory: each takes 13 KB.


def positions(
  times: Float[np.ndarray, "frames"],
  keypoints: Float[np.ndarray, "frames 17 3"],
  moments: Float[np.ndarray, "n"],
) -> Float[np.ndarray, "n 17 2"]:
  """The points' places at some moments, px.

  In a gap between detections that is longer than half of the window they are
  interpolated linearly; beyond a point's first and last detection in the window they
  are not extrapolated. A point without any detection in the window is at 0, 0.

  Args:
    times: the times of the detections, ascending, s.
    keypoints: x, y px and score, which is 0 for a missing point.
    moments: from the first of the times to the last, s.
  """
  after = np.clip(np.searchsorted(times, moments), 0, len(times) - 1)
  before = np.where(times[after] > moments, np.maximum(after - 1, 0), after)
  span = times[after] - times[before]
  half = np.clip(_REACH * span, HALF_WINDOW, _WIDEST * HALF_WINDOW)
  points, weight = keypoints[..., :2], _weights(times, keypoints)
  places = _fitted(times, points, weight, moments, half)
  longest = np.maximum(moments - times[before], times[after] - moments)
  far = np.flatnonzero(longest >= half)
  at_ends = [
    _fitted(times, points, weight, times[end[far]], np.full(len(far), HALF_WINDOW))
    for end in (before, after)
  ]
  share = ((moments - times[before])[far] / span[far])[:, None, None]
  places[far] = (1 - share) * at_ends[0] + share * at_ends[1]
  return places


def _weights(
  times: Float[np.ndarray, "frames"], keypoints: Float[np.ndarray, "frames 17 3"]
) -> Float[np.ndarray, "frames 17"]:
  """How much each detection counts: its score, times Geman and McClure's weight."""
  score = np.maximum(keypoints[..., 2], 0).astype(np.float64)
  weight = score.copy()
  for _ in range(_ROUNDS):
    away = _deviations(times, keypoints[..., :2], weight)
    for point in range(17):  # One after the other, to save memory.
      own, found = away[:, point], score[:, point] > 0
      usual = np.median(own[found]) if found.any() else 0.0
      share = own / (_FAR * max(usual, _LEAST_DEVIATION))
      weight[:, point] = score[:, point] / np.square(1 + np.square(share))
  return weight


def _deviations(
  times: Float[np.ndarray, "frames"],
  points: Float[np.ndarray, "frames 17 2"],
  weight: Float[np.ndarray, "frames 17"],
) -> Float[np.ndarray, "frames 17"]:
  """How far each detection is from the course of those around it, px."""
  away = np.empty(weight.shape)
  for rows in blocks(len(times), _MOMENTS):
    half = np.full(len(times[rows]), HALF_WINDOW)
    smooth = _fitted(times, points, weight, times[rows], half)
    away[rows] = np.linalg.norm(points[rows].astype(np.float64) - smooth, axis=-1)
  return away


def _fitted(
  times: Float[np.ndarray, "frames"],
  points: Float[np.ndarray, "frames 17 2"],
  weight: Float[np.ndarray, "frames 17"],
  moments: Float[np.ndarray, "n"],
  half: Float[np.ndarray, "n"],
) -> Float[np.ndarray, "n 17 2"]:
  first = np.searchsorted(times, moments - half)
  count = np.searchsorted(times, moments + half, side="right") - first
  places = np.zeros((len(moments), 17, 2))
  for start in range(0, len(moments), _MOMENTS):
    rows = slice(start, start + _MOMENTS)
    frames = first[rows, None] + np.arange(count[rows].max(initial=1))
    inside = frames < (first + count)[rows, None]
    frames = np.minimum(frames, len(times) - 1)
    away = (times[frames] - moments[rows, None]) / half[rows, None]
    kernel = np.where(inside, (1 - np.minimum(np.abs(away), 1) ** 3) ** 3, 0)
    near = kernel[..., None] * weight[frames]
    places[rows] = _quadratic(away, near, points[frames].astype(np.float64))
  return places


def _quadratic(
  away: Float[np.ndarray, "n near"],
  weight: Float[np.ndarray, "n near 17"],
  points: Float[np.ndarray, "n near 17 2"],
) -> Float[np.ndarray, "n 17 2"]:
  """The value at 0 of the quadratics in `away` that fit the points best."""
  powers = away[..., None] ** np.arange(5)
  sums = np.einsum("nkp,nkd->npd", weight, powers, optimize=True)
  total = np.maximum(sums[..., 0], 1e-9)
  # About their mean, so that rounding is relative to the movement in the window.
  mean = np.einsum("nkp,nkpc->npc", weight, points) / total[..., None]
  right = np.einsum(
    "nkp,nkd,nkpc->npdc",
    weight,
    powers[..., :3],
    points - mean[:, None],
    optimize=True,
  )
  matrix = sums[..., np.arange(3)[:, None] + np.arange(3)]
  matrix[..., 0, 0] = total
  largest = np.maximum(weight.max(axis=1), 1e-9)
  matrix[..., 1, 1] += _SLOPE * largest
  matrix[..., 2, 2] += _CURVATURE * largest
  factors = np.linalg.solve(matrix, right)
  known = weight > 0
  place = lambda missing: np.where(known, away[..., None], missing)
  nearest = np.clip(0.0, place(np.inf).min(axis=1), place(-np.inf).max(axis=1))
  at = np.where(known.any(axis=1), nearest, 0)[..., None] ** np.arange(3)
  return mean + np.einsum("npd,npdc->npc", at, factors)
