"""Bends a limb of two bones so that its end reaches a point, in many frames at once."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_SHORTEST = 1e-9


class Bend(NamedTuple):
  """The rotations that move a limb's bones, in the frame of the given points."""

  upper: Float[np.ndarray, "N 3 3"]
  lower: Float[np.ndarray, "N 3 3"]  # In place of the upper one's, not after it.


def reach(
  root: Float[np.ndarray, "N 3"],
  middle: Float[np.ndarray, "N 3"],
  end: Float[np.ndarray, "N 3"],
  hinge: Float[np.ndarray, "N 3"],
  target: Float[np.ndarray, "N 3"],
) -> Bend:
  """Turns the lower bone about its hinge, and then the whole limb the shortest way.

  A target that the limb can't reach is approached as far as the hinge allows. With a
  fixed hinge, a limb that is nearly straight bends to the same side in all frames.

  Args:
    root: the hip or shoulder.
    middle: the knee or elbow.
    end: the ankle or wrist.
    hinge: unit vectors, the axis of the middle joint.
    target: where the end should be.
  """
  upper, lower = middle - root, end - middle
  angle = _hinge_angle(upper, lower, hinge, np.linalg.norm(target - root, axis=-1))
  bend = about(hinge, angle)
  bent = upper + np.einsum("nij,nj->ni", bend, lower)
  turn = shortest_turn(bent, target - root)
  return Bend(turn, turn @ bend)


def _hinge_angle(
  upper: Float[np.ndarray, "N 3"],
  lower: Float[np.ndarray, "N 3"],
  hinge: Float[np.ndarray, "N 3"],
  distance: Float[np.ndarray, "N"],
) -> Float[np.ndarray, "N"]:
  """The smaller turn of the lower bone after which the limb has that length.

  The squared length is |u|² + |l|² + 2 u·R l, and u·R l = a + b cos(x) + c sin(x) for
  a turn x about the hinge.
  """
  dot = lambda one, other: np.sum(one * other, axis=-1)
  wanted = (distance**2 - dot(upper, upper) - dot(lower, lower)) / 2
  along = dot(lower, hinge)[:, None] * hinge
  b, c = dot(upper, lower - along), dot(upper, np.cross(hinge, lower))
  size = np.maximum(np.hypot(b, c), _SHORTEST)
  straight = np.arctan2(c, b)
  away = np.arccos(np.clip((wanted - dot(upper, along)) / size, -1, 1))
  options = np.stack([straight + away, straight - away])
  options = (options + np.pi) % (2 * np.pi) - np.pi
  nearest = np.abs(options).argmin(axis=0)
  return np.take_along_axis(options, nearest[None], axis=0)[0]


def about(
  axis: Float[np.ndarray, "N 3"], angle: Float[np.ndarray, "N"]
) -> Float[np.ndarray, "N 3 3"]:
  """The rotations about unit axes (Rodrigues); radians."""
  x, y, z = axis.T
  zero = np.zeros_like(x)
  rows = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1)
  skew = rows.reshape(-1, 3, 3)
  sine, cosine = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
  return np.eye(3) + sine * skew + (1 - cosine) * skew @ skew


def shortest_turn(
  start: Float[np.ndarray, "N 3"], end: Float[np.ndarray, "N 3"]
) -> Float[np.ndarray, "N 3 3"]:
  """The smallest rotations that turn vectors to other directions.

  Vectors that are opposite, or have no length, stay.
  """
  unit = lambda v: v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), _SHORTEST)
  start, end = unit(start), unit(end)
  cross = np.cross(start, end)
  sine = np.linalg.norm(cross, axis=-1)
  return about(unit(cross), np.arctan2(sine, np.sum(start * end, axis=-1)))
