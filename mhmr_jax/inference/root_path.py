"""The pelvis' path that best fits the measured places, standing feet and inertia.

The path minimises a sum of squares: of its distance from the measured places, which are
much less certain along the viewing ray than across it; of the speed of standing feet;
of standing feet's distance from the floor, except for feet that are clearly not on it;
and of the acceleration. All weights are per second, so that the rate of the rows
changes nothing. The normal equations are banded: any length is solved in linear time.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import solveh_banded

# Standard deviations of a measurement in 1/30 s: across and along the ray, as a share
# of the distance; of a standing foot's speed, m/s, and height, m; of the acceleration,
# m/s².
_ACROSS, _ALONG = 0.006, 0.05
_FOOT_SPEED, _FOOT_HEIGHT = 0.08, 0.03
_ACCELERATION = 4.0
_PER_SECOND = 30.0
# Metres; the weight of a foot's height falls to a quarter where it is so far off.
_ELSEWHERE = 0.1
_ITERATIONS, _FLOOR_ITERATIONS = 3, 5
_GAP = 0.5  # s; feet don't stand on from before a gap in the rows to after it.


class Evidence(NamedTuple):
  """What is known of the path of a pelvis; metres, the camera is the origin, y up."""

  times: Float[np.ndarray, "N"]  # s.
  measured: Float[np.ndarray, "N 3"]  # The pelvis.
  toes: Float[np.ndarray, "N 2 3"]  # The balls of the feet relative to the pelvis.
  contacts: Float[np.ndarray, "N 2"]  # The probability that each foot stands.
  toe_height: float  # The height of the ball of a foot that stands on the floor.


def solve(evidence: Evidence) -> Float[np.ndarray, "N 3"]:
  """The pelvis' path."""
  path = evidence.measured
  diagonal, right = _measurements(evidence)
  near, far = _inertia(evidence.times, diagonal)
  near = near + _standing(evidence, diagonal, right)
  for _ in range(_ITERATIONS):
    heights, height_right = _heights(evidence, path)
    full, full_right = diagonal.copy(), right.copy()
    full[:, 1, 1] += heights
    full_right[:, 1] += height_right
    path = _solved(full, near, far, full_right)
  return path


def floor(
  times: Float[np.ndarray, "N"],
  contacts: Float[np.ndarray, "N 2"],
  feet: Float[np.ndarray, "N 2"],
  near: float,
) -> float:
  """The floor's height that pulls a path neither up nor down as a whole.

  A path that is pulled so moves far along the rays, where it is least certain.

  Args:
    times: those of the rows, s.
    contacts: the probability that each foot stands.
    feet: the heights of the feet where the path was measured, m.
    near: about how high the floor is, m.
  """
  height = near
  for _ in range(_FLOOR_ITERATIONS):
    weight = _floor_weights(times, contacts, feet - height)
    height = float((weight * feet).sum() / weight.sum())
  return height


def _spans(times: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
  """The time that each row stands for, s; gaps add nothing."""
  if len(times) < 2:
    return np.full(len(times), 1 / _PER_SECOND)
  steps = np.diff(times)
  spans = np.append(steps, steps[-1]) / 2 + np.append(steps[0], steps) / 2
  return np.minimum(spans, 2 * np.median(steps))


def _measurements(
  evidence: Evidence,
) -> tuple[Float[np.ndarray, "N 3 3"], Float[np.ndarray, "N 3"]]:
  distance = np.linalg.norm(evidence.measured, axis=1, keepdims=True)
  ray = evidence.measured / distance
  weight = (_spans(evidence.times) * _PER_SECOND / distance[:, 0] ** 2)[:, None, None]
  outer = ray[:, :, None] * ray[:, None]
  across = (np.eye(3) - outer) / _ACROSS**2
  diagonal = weight * (across + outer / _ALONG**2)
  return diagonal, (diagonal @ evidence.measured[..., None])[..., 0]


def _inertia(
  times: Float[np.ndarray, "N"], diagonal: Float[np.ndarray, "N 3 3"]
) -> tuple[Float[np.ndarray, "N"], Float[np.ndarray, "N"]]:
  """Adds accelerations to the diagonal; returns what links a row to the next two."""
  rows = len(times)
  near, far = np.zeros(rows), np.zeros(rows)
  if rows < 3:
    return near, far
  before, after = np.diff(times)[:-1], np.diff(times)[1:]
  first = 2 / (before * (before + after))
  last = 2 / (after * (before + after))
  middle = -first - last
  weight = (before + after) / 2 * _PER_SECOND / _ACCELERATION**2
  for offset, factor in enumerate((first, middle, last)):
    scalar = weight * factor**2
    diagonal[offset : rows - 2 + offset] += scalar[:, None, None] * np.eye(3)
  near[: rows - 2] += weight * first * middle
  near[1 : rows - 1] += weight * middle * last
  far[: rows - 2] += weight * first * last
  return near, far


def _standing(
  evidence: Evidence,
  diagonal: Float[np.ndarray, "N 3 3"],
  right: Float[np.ndarray, "N 3"],
) -> Float[np.ndarray, "N"]:
  """Adds the speeds of standing feet; returns what links a row to the next one."""
  near = np.zeros(len(evidence.times))
  step = np.diff(evidence.times)
  for side in (0, 1):
    both = evidence.contacts[:-1, side] * evidence.contacts[1:, side]
    both = np.where(step < _GAP, both, 0.0)
    weight = both**2 * _PER_SECOND / (_FOOT_SPEED**2 * step)
    pull = weight[:, None] * np.diff(evidence.toes[:, side], axis=0)
    diagonal[:-1] += weight[:, None, None] * np.eye(3)
    diagonal[1:] += weight[:, None, None] * np.eye(3)
    near[:-1] -= weight
    right[:-1] += pull
    right[1:] -= pull
  return near


def _floor_weights(
  times: Float[np.ndarray, "N"],
  contacts: Float[np.ndarray, "N 2"],
  off: Float[np.ndarray, "N 2"],
) -> Float[np.ndarray, "N 2"]:
  """How strongly the floor holds each foot, by Geman and McClure's robust weights.

  Args:
    times: those of the rows, s.
    contacts: the probability that each foot stands.
    off: how high each foot is above the floor, m.
  """
  robust = 1 / np.square(1 + np.square(off / _ELSEWHERE))
  seconds = _spans(times)[:, None]
  return seconds * _PER_SECOND * np.square(contacts) / _FOOT_HEIGHT**2 * robust


def _heights(
  evidence: Evidence, path: Float[np.ndarray, "N 3"]
) -> tuple[Float[np.ndarray, "N"], Float[np.ndarray, "N"]]:
  """The weight and the pull of the floor in each row."""
  wanted = evidence.toe_height - evidence.toes[..., 1]
  off = path[:, None, 1] - wanted
  weight = _floor_weights(evidence.times, evidence.contacts, off)
  return weight.sum(axis=1), (weight * wanted).sum(axis=1)


def _solved(
  diagonal: Float[np.ndarray, "N 3 3"],
  near: Float[np.ndarray, "N"],
  far: Float[np.ndarray, "N"],
  right: Float[np.ndarray, "N 3"],
) -> Float[np.ndarray, "N 3"]:
  """Solves the normal equations, whose unknowns are the rows' x, y and z in turn."""
  rows = len(right)
  band = np.zeros((7, rows, 3))  # The upper form of LAPACK's symmetric band.
  for lag in range(3):
    for column in range(lag, 3):
      band[6 - lag, :, column] = diagonal[:, column - lag, column]
  band[3, 1:] = near[:-1, None]
  band[0, 2:] = far[:-2, None]
  solved = solveh_banded(band.reshape(7, -1), right.reshape(-1))
  return np.asarray(solved).reshape(rows, 3)
