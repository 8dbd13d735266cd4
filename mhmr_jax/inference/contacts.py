"""Tells when a foot stands still, from the network's output and the foot's motion.

A foot stands where its ball rests on the ground: the heel may already be off it.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import minimum_filter1d
from scipy.special import expit

# m/s, and m above the lowest place within a second: at these a foot stands as probably
# as not. The widths are of the change from one to the other.
_SPEED, _SPEED_WIDTH = 0.4, 0.1
_HEIGHT, _HEIGHT_WIDTH = 0.25, 0.05
_SECONDS = 1.0
# A contact begins above the first probability and lasts as long as it is above the
# second; shorter ones are none.
_BEGINS, _LASTS = 0.4, 0.25
_SHORTEST = 0.1  # s.
_GAP = 0.5  # s; a contact ends at a gap in the rows.
# What contacts have at least, and all else at most.
_HELD, _FREE = 0.55, 0.45


def probability(
  standing: Float[np.ndarray, "N 2"],
  toes: Float[np.ndarray, "N 2 3"],
  rays: Float[np.ndarray, "N 3"],
  times: Float[np.ndarray, "N"],
) -> Float[np.ndarray, "N 2"]:
  """The probability that each foot stands still: the least of three probabilities.

  They are the network's, one by the foot's speed and one by its height. Depth is noisy:
  only the speed across the viewing ray counts. On real video the network is unsure of
  standing feet and sure of moving ones, so a contact begins at less than a half of the
  network's probability. The result is above a half in contacts and nowhere else.

  Args:
    standing: the network's probability; if all are 0, only motion counts.
    toes: the balls of the feet, metres, y up.
    rays: the unit vectors from the camera to the person.
    times: the times of the rows, s.
  """
  if len(times) < 2:
    return np.zeros_like(standing, np.float64)
  velocity = np.gradient(toes, times, axis=0)
  along = np.sum(velocity * rays[:, None], axis=-1, keepdims=True)
  speed = np.linalg.norm(velocity - along * rays[:, None], axis=-1)
  rows = 2 * rows_in(_SECONDS, times) + 1
  lowest = minimum_filter1d(toes[..., 1].min(axis=1), rows, mode="nearest")
  height = toes[..., 1] - lowest[:, None]
  slow = expit((_SPEED - speed) / _SPEED_WIDTH)
  low = expit((_HEIGHT - height) / _HEIGHT_WIDTH)
  network = standing if np.any(standing) else np.ones_like(standing)
  least = np.minimum(np.minimum(slow, low), network).astype(np.float64)
  held = np.stack([_held(least[:, side], times) for side in (0, 1)], axis=1)
  return np.where(held, np.maximum(least, _HELD), np.minimum(least, _FREE))


def rows_in(seconds: float, times: Float[np.ndarray, "N"]) -> int:
  """The number of rows, at least one, in a span of time; `times` may be uneven."""
  if len(times) < 2:
    return 1
  return max(1, round(seconds / float(np.median(np.diff(times)))))


def _held(
  probability: Float[np.ndarray, "N"], times: Float[np.ndarray, "N"]
) -> Bool[np.ndarray, "N"]:
  """The contacts of one foot."""
  held = np.zeros(len(times), bool)
  for start, stop in _runs(probability > _LASTS, times):
    begun = np.flatnonzero(probability[start:stop] > _BEGINS)
    if len(begun):
      first = start + int(begun[0])
      held[first:stop] = times[stop - 1] - times[first] >= _SHORTEST
  return held


def intervals(
  probability: Float[np.ndarray, "N"], times: Float[np.ndarray, "N"]
) -> list[tuple[int, int]]:
  """The contacts of one foot: the first row of each and the row after its last."""
  return _runs(probability > 0.5, times)


def _runs(
  mask: Bool[np.ndarray, "N"], times: Float[np.ndarray, "N"]
) -> list[tuple[int, int]]:
  """The stretches of rows in a mask, cut at gaps in time."""
  breaks = np.flatnonzero(np.diff(times) > _GAP) + 1
  runs = []
  for part in np.split(np.arange(len(mask)), breaks):
    edges = np.diff(np.concatenate([[0], mask[part].astype(int), [0]]))
    starts, stops = np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)
    runs += [
      (int(part[0] + a), int(part[0] + b)) for a, b in zip(starts, stops, strict=True)
    ]
  return runs
