"""Holds standing feet where they stand, by the legs alone.

Every contact has a place, the mean of the foot's ball over the contact. The ball is
moved there, and before and after the contact the correction fades in and out. The hip,
the knee and the ankle turn for that; where a leg is too short, the pelvis sinks a
little. Everything above the pelvis keeps its place relative to it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from mhmr_jax.body.joints import SMPL_JOINTS
from mhmr_jax.geometry import two_bones
from mhmr_jax.inference import contacts
from mhmr_jax.inference.seen_motion import ANKLES, TOES
from mhmr_jax.runtime.batching import blocks

# The joints of the left and the right leg that turn.
LEGS = tuple(
  tuple(SMPL_JOINTS.index(f"{side}_{name}") for name in ("hip", "knee", "ankle"))
  for side in ("left", "right")
)
_FADE = 0.35  # s, before and after a contact.
# A foot that stands higher above the floor, m, stands on something else.
_ON_FLOOR = 0.12
# The share of a leg's length up to which the knee need not be quite straight, and the
# most that the pelvis sinks, m.
_REACH, _MOST_SINKING = 0.998, 0.06
_ROWS = 256  # Rows that are bent at once, to save memory.


class Soles(NamedTuple):
  """How high the joints of a foot that is flat on the floor are above it, metres."""

  ankle: float
  toe: float


class Body(NamedTuple):
  """A person in the world; y is up and the floor is at 0."""

  times: Float[np.ndarray, "N"]  # s.
  pelvis: Float[np.ndarray, "N 3 3"]  # Its rotation in the world.
  legs: Float[np.ndarray, "N 2 3 3 3"]  # Parent-relative; the joints are `LEGS`.
  joints: Float[np.ndarray, "N 24 3"]  # m.


class Goals(NamedTuple):
  """The target positions of a foot's ankle and ball."""

  ankle: Float[np.ndarray, "N 3"]
  toe: Float[np.ndarray, "N 3"]
  moved: Bool[np.ndarray, "N"]  # Whether a contact moves the foot in this row.


def lock(
  person: Body, probability: Float[np.ndarray, "N 2"], soles: Soles
) -> tuple[Float[np.ndarray, "N 2 3 3 3"], Float[np.ndarray, "N 3"]]:
  """Locks the feet to their contacts and lifts them to the floor.

  Args:
    person: the person whose feet slide.
    probability: the probability that each foot stands.
    soles: the soles of the person.

  Returns:
    The legs' parent-relative rotations, and the displacement of the pelvis, metres.
  """
  goals = [
    _goals(person, contacts.intervals(probability[:, side], person.times), side, soles)
    for side in (0, 1)
  ]
  need = np.stack([_sinking(person, goals[side], side) for side in (0, 1)])
  sinking = _envelope(need.max(axis=0), person.times)
  shift = np.zeros((len(sinking), 3))
  shift[:, 1] = -sinking
  legs = np.empty(person.legs.shape, np.float32)
  for at in blocks(len(legs), _ROWS):
    own = Body(*(field[at] for field in person))
    for side in (0, 1):
      own_goals = Goals(*(field[at] for field in goals[side]))
      legs[at, side] = _bend(own, own_goals, shift[at], side)
  return legs, shift


def _goals(
  person: Body, spans: list[tuple[int, int]], side: int, soles: Soles
) -> Goals:
  times = person.times
  lift = lambda joint, height: _envelope(np.maximum(height - joint[:, 1], 0), times)
  ankle, toe = person.joints[:, ANKLES[side]], person.joints[:, TOES[side]]
  correction, weight = _corrections(toe, spans, times, soles)
  ankle, toe = ankle + correction, toe + correction
  ankle[:, 1] += lift(ankle, soles.ankle)
  toe[:, 1] += (1 - weight) * lift(toe, soles.toe)
  toe[:, 1] = np.maximum(toe[:, 1], soles.toe)
  # The foot keeps its length: the ankle follows the ball, which is what stands.
  length = np.linalg.norm(
    person.joints[:, TOES[side]] - person.joints[:, ANKLES[side]], axis=1, keepdims=True
  )
  foot = ankle - toe
  ankle = toe + foot * length / np.linalg.norm(foot, axis=1, keepdims=True)
  return Goals(ankle, toe, weight > 0)


def _corrections(
  toe: Float[np.ndarray, "N 3"],
  spans: list[tuple[int, int]],
  times: Float[np.ndarray, "N"],
  soles: Soles,
) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, "N"]]:
  """The displacement of the ball to its contacts, and its weight from 0 to 1."""
  correction, weight = np.zeros_like(toe), np.zeros(len(toe))
  held = np.zeros(len(toe), bool)
  for start, stop in spans:
    held[start:stop] = True
  for start, stop in spans:
    place = toe[start:stop].mean(axis=0)
    on_floor = abs(place[1] - soles.toe) < _ON_FLOOR
    place[1] = soles.toe if on_floor else max(place[1], soles.toe)
    correction[start:stop], weight[start:stop] = place - toe[start:stop], 1
    for row, first, end in (
      (start, np.searchsorted(times, times[start] - _FADE), start),
      (stop - 1, stop, np.searchsorted(times, times[stop - 1] + _FADE, "right")),
    ):
      near = np.arange(first, end)[~held[first:end]]
      fade = _smooth_step(1 - np.abs(times[near] - times[row]) / _FADE)
      correction[near] += fade[:, None] * (place - toe[row])
      weight[near] = np.maximum(weight[near], fade)
  return correction, weight


def _smooth_step(share: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
  share = np.clip(share, 0, 1)
  return share * share * (3 - 2 * share)


def _envelope(
  values: Float[np.ndarray, "N"], times: Float[np.ndarray, "N"]
) -> Float[np.ndarray, "N"]:
  """A smooth curve that is nowhere below the values, and near them."""
  if not values.any():
    return values
  # The means are over no more than the maximum's window, so that each has the value.
  rows = contacts.rows_in(_FADE / 2, times)
  highest = maximum_filter1d(values, 4 * rows + 1, mode="nearest")
  for _ in range(2):
    highest = uniform_filter1d(highest, 2 * rows + 1, mode="nearest")
  return np.maximum(highest, values)


def _sinking(person: Body, goals: Goals, side: int) -> Float[np.ndarray, "N"]:
  """How far the pelvis has to sink for a leg to reach its goal."""
  hip, knee, ankle = (person.joints[:, joint] for joint in LEGS[side])
  length = np.linalg.norm(knee - hip, axis=1) + np.linalg.norm(ankle - knee, axis=1)
  away = hip - goals.ankle
  level = np.square(away[:, [0, 2]]).sum(axis=1)
  highest = np.sqrt(np.maximum(np.square(_REACH * length) - level, 0))
  need = np.where(goals.moved, away[:, 1] - highest, 0)
  return np.clip(need, 0, _MOST_SINKING)


def _bend(
  person: Body, goals: Goals, shift: Float[np.ndarray, "N 3"], side: int
) -> Float[np.ndarray, "N 3 3 3"]:
  """Turns a leg's hip, knee and ankle so that the foot reaches its goals."""
  hip, knee, ankle = LEGS[side]
  joints = person.joints + shift[:, None]
  thigh = person.pelvis @ person.legs[:, side, 0]
  shank = thigh @ person.legs[:, side, 1]
  foot = shank @ person.legs[:, side, 2]
  # The knee bends about the thigh's own x.
  bend = two_bones.reach(
    joints[:, hip], joints[:, knee], joints[:, ankle], thigh[..., 0], goals.ankle
  )
  thigh, shank = bend.upper @ thigh, bend.lower @ shank
  before = person.joints[:, TOES[side]] - person.joints[:, ankle]
  foot = two_bones.shortest_turn(before, goals.toe - goals.ankle) @ foot
  relative = lambda parent, own: np.swapaxes(parent, -1, -2) @ own
  return np.stack(
    [relative(person.pelvis, thigh), relative(thigh, shank), relative(shank, foot)],
    axis=1,
  )
