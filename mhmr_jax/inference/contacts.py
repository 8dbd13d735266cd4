"""When a foot stands still, from what the network says of it and how the foot moves.

A foot stands where its ball rests on the ground: the heel may already be off it.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import minimum_filter1d
from scipy.special import expit

# m/s and m above the lowest place within a second; at these a foot stands as probably
# as not, and the widths of the change from one to the other.
_SPEED, _SPEED_WIDTH = 0.4, 0.1
_HEIGHT, _HEIGHT_WIDTH = 0.12, 0.03
_SECONDS = 1.0
# A contact begins above the first probability and lasts as long as it is above the
# second; shorter ones are none.
_BEGINS, _LASTS = 0.5, 0.35
_SHORTEST = 0.1  # s.


def probability(
  standing: Float[np.ndarray, "N 2"],
  toes: Float[np.ndarray, "N 2 3"],
  rays: Float[np.ndarray, "N 3"],
  times: Float[np.ndarray, "N"],
) -> Float[np.ndarray, "N 2"]:
  """How probably each foot stands still: the least of three probabilities.

  They are the network's, and those by the foot's speed and height. Depth is noisy:
  only the speed across the viewing ray counts.

  Args:
    standing: the network's; all 0 if it says nothing, and then only motion counts.
    toes: the balls of the feet, metres, y up.
    rays: the unit vectors from the camera to the person.
    times: of the rows, s.
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
  return np.minimum(np.minimum(slow, low), network).astype(np.float64)


def rows_in(seconds: float, times: Float[np.ndarray, "N"]) -> int:
  """How many rows, at least one, a span of time has; `times` may be uneven."""
  if len(times) < 2:
    return 1
  return max(1, round(seconds / float(np.median(np.diff(times)))))


def intervals(
  probability: Float[np.ndarray, "N"], times: Float[np.ndarray, "N"]
) -> list[tuple[int, int]]:
  """The contacts of one foot: the first row of each and the row after its last."""
  found = []
  lasting = probability > _LASTS
  edges = np.diff(np.concatenate([[0], lasting.astype(int), [0]]))
  starts, stops = np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)
  for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
    begun = np.flatnonzero(probability[start:stop] > _BEGINS)
    if len(begun):
      start, stop = start + int(begun[0]), stop
      if times[stop - 1] - times[start] >= _SHORTEST:
        found.append((start, stop))
  return found


def held(contacts: list[tuple[int, int]], rows: int) -> Bool[np.ndarray, "rows"]:
  """Whether a row is in one of the contacts."""
  mask = np.zeros(rows, bool)
  for start, stop in contacts:
    mask[start:stop] = True
  return mask
