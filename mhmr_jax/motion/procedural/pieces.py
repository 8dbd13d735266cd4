"""Pieces of procedural motion: how they are timed, joined and set on the ground."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mhmr_jax.body.joints import SMPL_JOINTS
from mhmr_jax.motion.procedural.anatomy import YAW


class Piece(NamedTuple):
  """A piece of motion in the angles of `anatomy`, whose path is not known yet.

  Attributes:
    angles: radians.
    lift: metres that the body is lifted off the ground.
  """

  angles: Float[np.ndarray, "time angles"]
  lift: Float[np.ndarray, "time"]


def minimum_jerk(
  time: Float[np.ndarray, "time"],
  knots: Float[np.ndarray, "knots"],
  values: Float[np.ndarray, "knots dims"],
  hold: float,
) -> Float[np.ndarray, "time dims"]:
  """Moves between values with minimum jerk, after resting for the part `hold`."""
  index = np.clip(np.searchsorted(knots, time, "right") - 1, 0, len(knots) - 2)
  part = (time - knots[index]) / (knots[index + 1] - knots[index])
  part = np.clip((part - hold) / (1 - hold), 0, 1)
  ease = (part**3 * (10 + part * (6 * part - 15)))[:, None]
  return values[index] + ease * (values[index + 1] - values[index])


def catmull_rom(
  time: Float[np.ndarray, "time"],
  knots: Float[np.ndarray, "knots"],
  values: Float[np.ndarray, "knots dims"],
) -> Float[np.ndarray, "time dims"]:
  """Passes through the values without stopping (Catmull-Rom)."""
  last = len(knots) - 1
  index = np.clip(np.searchsorted(knots, time, "right") - 1, 0, last - 1)
  before, after = np.maximum(index - 1, 0), np.minimum(index + 2, last)
  span = knots[index + 1] - knots[index]
  t = np.clip((time - knots[index]) / span, 0, 1)[:, None]
  start, end = values[index], values[index + 1]
  speed = (end - values[before]) * (span / (knots[index + 1] - knots[before]))[:, None]
  final = (values[after] - start) * (span / (knots[after] - knots[index]))[:, None]
  return (
    start * (1 + t * t * (2 * t - 3))
    + end * (t * t * (3 - 2 * t))
    + speed * (t * (1 - t) ** 2)
    - final * (t * t * (1 - t))
  )


def join(pieces: Sequence[Piece], overlap: int) -> Piece:
  """Joins pieces with `overlap` frames of cross-fading; the yaw is continuous."""
  angles, lift = pieces[0]
  weight = np.linspace(0, 1, overlap + 2)[1:-1]
  weight = weight * weight * (3 - 2 * weight)
  for piece in pieces[1:]:
    following = piece.angles.copy()
    following[:, YAW] += angles[-overlap, YAW] - following[0, YAW]
    mixed = weight[:, None] * (following[:overlap] - angles[-overlap:])
    mixed += angles[-overlap:]
    height = (1 - weight) * lift[-overlap:] + weight * piece.lift[:overlap]
    angles = np.concatenate([angles[:-overlap], mixed, following[overlap:]])
    lift = np.concatenate([lift[:-overlap], height, piece.lift[overlap:]])
  return Piece(angles, lift)


# Spheres that may touch the ground: joint, centre in its rest axes, radius (metres).
_CONTACTS: tuple[tuple[str, tuple[float, float, float], float], ...] = (
  ("pelvis", (0.0, -0.02, -0.06), 0.09),
  ("spine3", (0.0, 0.05, -0.05), 0.09),
  ("head", (0.0, 0.1, 0.02), 0.1),
  *(
    (f"{side}_{name}", (sign * x, y, z), radius)
    for side, sign in (("left", 1), ("right", -1))
    for name, (x, y, z), radius in (
      ("ankle", (0.0, -0.05, -0.05), 0.02),
      ("foot", (0.0, -0.01, 0.0), 0.02),
      ("foot", (0.0, -0.01, 0.07), 0.02),
      ("knee", (0.0, 0.0, 0.02), 0.05),
      ("hip", (0.04, -0.03, -0.03), 0.08),
      ("hand", (0.03, -0.01, 0.0), 0.02),
      ("elbow", (0.0, 0.0, 0.0), 0.04),
      ("shoulder", (0.0, 0.0, 0.0), 0.06),
    )
  ),
)
_JOINTS = np.array([SMPL_JOINTS.index(name) for name, _, _ in _CONTACTS])
_OFFSETS = np.array([offset for _, offset, _ in _CONTACTS])
_RADII = np.array([radius for _, _, radius in _CONTACTS])
_HANDS = [i for i, (name, _, _) in enumerate(_CONTACTS) if name.endswith("hand")]


def pelvis_path(
  points: Float[np.ndarray, "time 24 3"],
  world: Float[np.ndarray, "time 24 3 3"],
  lift: Float[np.ndarray, "time"],
  dt: float,
  by_hands: bool = False,
) -> Float[np.ndarray, "time 3"]:
  """The path of the pelvis on which the supporting points do not slide or sink.

  The lowest points support the body, and points within a few centimetres share the
  load; in the air the body keeps its speed.

  Args:
    points: the joints relative to the pelvis, metres.
    world: the joints' world rotations.
    lift: metres between the lowest point and the ground (y = 0).
    dt: seconds per frame.
    by_hands: whether the body hangs from its hands instead, which stay in place.
  """
  touching = points[:, _JOINTS] + np.einsum("tkab,kb->tka", world[:, _JOINTS], _OFFSETS)
  if by_hands:
    path = -touching[:, _HANDS].mean(axis=1)
    return path - path[0] * (1, 0, 1) + (0, 2.4, 0)
  height = touching[..., 1] - _RADII
  lowest = height.min(axis=1)
  load = np.exp((lowest[:, None] - height) / 0.01)
  load = load[1:] * load[:-1] + 1e-9
  load /= load.sum(axis=1, keepdims=True)
  step = -np.einsum("tk,tka->ta", load, np.diff(touching[..., ::2], axis=0))
  carried = (lift[1:] < 0.005) & (lift[:-1] < 0.005)
  if carried.any() and not carried.all():
    at = np.flatnonzero(carried)
    every = np.arange(len(step))
    step = np.stack([np.interp(every, at, step[at, i]) for i in (0, 1)], axis=1)
  step = _smooth(step, 0.05 / dt)
  path = np.zeros((len(points), 3))
  path[1:, ::2] = np.cumsum(step, axis=0)
  path[:, 1] = _smooth(-lowest[:, None], 0.04 / dt)[:, 0] + lift
  return path


def _smooth(
  values: Float[np.ndarray, "time dims"], width: float
) -> Float[np.ndarray, "time dims"]:
  """Smooths over time by a Gaussian whose standard deviation is `width` frames."""
  if not len(values):
    return values
  reach = int(np.ceil(2.5 * width))
  kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
  kernel /= kernel.sum()
  padded = np.pad(values, ((reach, reach), (0, 0)), "edge")
  windows = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=0)
  return windows @ kernel
