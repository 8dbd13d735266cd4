"""Random plausible key poses: stances for the legs, places for the hands.

Angles here are in degrees, sides count outwards, and legs are given in the upright
frame of the pelvis (they keep pointing to the floor when the pelvis tilts).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from mhmr_jax.motion import anatomy
from mhmr_jax.motion.anatomy import Array

Generator = np.random.Generator

# What a hand's place is counted from: the shoulder (in the chest's axes), or the knee
# or ankle of its side (in the pelvis's upright axes). In arm's lengths.
SHOULDER, KNEE, ANKLE = range(3)


@dataclasses.dataclass
class KeyPose:
  """One pose, before inverse kinematics."""

  pitch: float = 0.0
  roll: float = 0.0
  spine: Array = dataclasses.field(default_factory=lambda: np.zeros(3))
  neck: Array = dataclasses.field(default_factory=lambda: np.zeros(3))
  bow: Array = dataclasses.field(default_factory=lambda: np.zeros((5, 3)))
  legs: Array = dataclasses.field(default_factory=lambda: np.zeros((2, 3)))
  knees: Array = dataclasses.field(default_factory=lambda: np.zeros(2))
  # Added to a level foot where `flat` is 1, to a neutral ankle where it is 0.
  ankles: Array = dataclasses.field(default_factory=lambda: np.zeros((2, 2)))
  flat: Array = dataclasses.field(default_factory=lambda: np.ones(2))
  hands: Array = dataclasses.field(default_factory=lambda: np.zeros((2, 3)))
  poles: Array = dataclasses.field(default_factory=lambda: np.zeros((2, 3)))
  hand_from: int = SHOULDER
  forearms: Array = dataclasses.field(default_factory=lambda: np.zeros((2, 3)))


# Where a hand may be: mean and spread of its place, where the elbow points, weight.
_HANDS: dict[str, tuple[Sequence[float], Sequence[float], Sequence[float], float]] = {
  "hang": ((0.12, -0.95, 0.06), (0.1, 0.03, 0.14), (0.3, 0, -1), 3),
  "swing": ((0.08, -0.8, 0.25), (0.1, 0.12, 0.35), (0.3, -0.3, -1), 2.5),
  "waist": ((0.1, -0.72, 0.08), (0.06, 0.08, 0.1), (1, -0.1, -0.5), 1),
  "pocket": ((0.02, -0.8, 0.15), (0.05, 0.06, 0.08), (1, 0, -0.8), 0.7),
  "clasp": ((-0.3, -0.72, 0.35), (0.06, 0.15, 0.12), (0.8, -0.3, -0.3), 1),
  "hold": ((-0.15, -0.4, 0.55), (0.18, 0.18, 0.15), (0.7, -1, 0), 2.5),
  "forward": ((-0.05, -0.1, 0.88), (0.3, 0.3, 0.12), (0.5, -1, 0), 2.5),
  "face": ((-0.2, 0.25, 0.4), (0.14, 0.15, 0.1), (0.7, -1, 0.2), 1.3),
  "head": ((-0.1, 0.6, 0.1), (0.15, 0.12, 0.14), (1, 0.1, 0.4), 1),
  "nape": ((-0.15, 0.35, -0.15), (0.08, 0.08, 0.05), (1, 0.5, 0.3), 0.5),
  "overhead": ((0.0, 0.92, 0.08), (0.3, 0.12, 0.25), (1, -0.2, 0.3), 2),
  "aside": ((0.88, 0, 0.05), (0.12, 0.4, 0.28), (0, -1, -0.4), 1.8),
  "crossed": ((-0.6, -0.4, 0.35), (0.1, 0.1, 0.06), (0.6, -1, 0), 0.8),
  "across": ((-0.75, -0.1, 0.3), (0.1, 0.2, 0.08), (0.6, -1, 0.3), 0.6),
  "behind": ((-0.25, -0.75, -0.28), (0.1, 0.1, 0.05), (1, 0, -0.8), 0.6),
  "backward": ((0.2, -0.75, -0.45), (0.12, 0.15, 0.15), (0.3, 0.3, -1), 0.8),
  "anywhere": ((0, 0, 0), (0, 0, 0), (0.7, -0.7, -0.2), 4),
}
_HAND_NAMES = tuple(_HANDS)
_HAND_WEIGHTS = np.array([weight for *_, weight in _HANDS.values()])
_HAND_STEPS = np.cumsum(_HAND_WEIGHTS / _HAND_WEIGHTS.sum())


def place_hand(rng: Generator, name: str = "") -> tuple[Array, Array]:
  """A hand's place from its shoulder, in arm's lengths, and its elbow's direction."""
  name = name or _HAND_NAMES[int(np.searchsorted(_HAND_STEPS, rng.random()))]
  mean, spread, pole, _ = _HANDS[name]
  place = _anywhere(rng) if name == "anywhere" else rng.normal(mean, spread)
  return place, rng.normal(pole, 0.3)


def _anywhere(rng: Generator) -> Array:
  for _ in range(8):
    place = rng.normal((0.2, 0, 0.4), 1.0)
    place *= rng.uniform(0.35, 1.0) ** 0.5 / np.linalg.norm(place)
    inside = place[0] < 0 and -1.2 < place[1] < 0.15 and -0.3 < place[2] < 0.3
    if not inside and place[2] > -0.55 and place[0] > -0.8:
      break
  return place


def set_arms(rng: Generator, pose: KeyPose, names: Sequence[str] = ()) -> None:
  """Puts both hands somewhere: alike in four poses of ten."""
  name = names[int(rng.integers(len(names)))] if names else ""
  place, pole = place_hand(rng, name)
  pose.hands[:], pose.poles[:] = place, pole
  if rng.random() < 0.4:
    pose.hands[1] += rng.normal(0, 0.05, 3)
  else:
    pose.hands[1], pose.poles[1] = place_hand(rng, name)
  pose.hand_from = SHOULDER
  pose.forearms = rng.normal((10, 0, 0), (35, 15, 8), (2, 3))


def set_torso(rng: Generator, pose: KeyPose, scale: float = 1.0) -> None:
  """Adds bending, twisting and a look somewhere."""
  lively = scale * rng.gamma(2.0, 0.5)
  pose.spine = pose.spine + rng.normal((4, 0, 0), (9, 9, 7)) * (lively, lively, lively)
  pose.neck = pose.neck + rng.normal((2, 0, 0), (11, 20, 7))
  pose.roll += rng.normal(0, 3 * lively)
  tilt = rng.normal(0, 6)  # Of the pelvis; the small of the back makes up for it.
  pose.pitch += rng.normal(0, 4 * lively) + tilt
  pose.bow = rng.normal(0, (4, 3, 3), (5, 3))
  pose.bow[0, 0] -= tilt
  pose.bow[:3] += np.outer(rng.dirichlet((4, 4, 3)) - (0.36, 0.37, 0.27), pose.spine)
  chin = rng.normal(0, 10)
  pose.bow[3:, 0] += (-chin, chin)


def solve(poses: Sequence[KeyPose]) -> Float[Array, "poses angles"]:
  """The poses' angles, in radians: legs and arms by inverse kinematics."""
  stack = {
    field.name: np.array([getattr(pose, field.name) for pose in poses])
    for field in dataclasses.fields(KeyPose)
  }
  angles = np.zeros((len(poses), anatomy.NUM_ANGLES))
  angles[:, anatomy.PITCH] = np.radians(stack["pitch"])
  angles[:, anatomy.ROLL] = np.radians(stack["roll"])
  angles[:, anatomy.SPINE] = np.radians(stack["spine"])
  angles[:, anatomy.NECK] = np.radians(stack["neck"])
  angles[:, anatomy.BOW] = np.radians(stack["bow"]).reshape(len(poses), -1)
  _solve_legs(angles, stack)
  solve_arms(
    angles, stack["hands"], stack["poles"], stack["hand_from"], stack["forearms"]
  )
  return angles


def leg_rotation(legs: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3 3"]:
  """A thigh's rotation from forward lift, abduction and outward turn, in radians."""
  vectors = np.zeros((3, *legs.shape))
  vectors[0, ..., 0] = -legs[..., 0]
  vectors[1, ..., 2] = legs[..., 1]
  vectors[2, ..., 1] = legs[..., 2]
  lift, abduction, turn = anatomy.rotation(vectors)
  return lift @ abduction @ turn


def set_hips(
  angles: Float[Array, "*batch angles"], thighs: Float[Array, "*batch 2 3 3"]
) -> None:
  """Writes the hips' angles from the thighs' rotations in the upright frame."""
  pelvis = anatomy.pelvis_rotation(angles)[..., None, :, :]
  local = np.swapaxes(pelvis, -1, -2) @ anatomy.mirror(thighs)
  anatomy.sides(angles)[..., anatomy.HIP] = anatomy.hip_angles(anatomy.mirror(local))


def _solve_legs(angles: Float[Array, "poses angles"], stack: dict[str, Array]) -> None:
  legs, knees = np.radians(stack["legs"]), np.radians(stack["knees"])
  set_hips(angles, leg_rotation(legs))
  side = anatomy.sides(angles)
  side[..., anatomy.KNEE] = knees
  level = np.clip(knees - legs[..., 0], np.radians(-50), np.radians(35))
  side[..., anatomy.ANKLE] = np.radians(stack["ankles"])
  side[..., 13] += level * stack["flat"]


def solve_arms(
  angles: Float[Array, "poses angles"],
  hands: Float[Array, "poses 2 3"],
  poles: Float[Array, "poses 2 3"],
  hand_from: Int[Array, "poses"],
  forearms: Float[Array, "poses 2 3"],
) -> None:
  """Writes the angles of the arms: raised hands take the shoulder with them."""
  arm = anatomy.arm()
  length = np.linalg.norm(arm.upper) + np.linalg.norm(arm.lower)
  place = hands * length
  if np.any(hand_from != SHOULDER):
    away = hand_from != SHOULDER
    place[away] = _from_landmark(angles[away], place[away], hand_from[away])
  side = anatomy.sides(angles)
  up = np.clip(place[..., 1] / length + 0.2, 0, 1.2)
  forward = np.clip(place[..., 2] / length, -0.5, 1) * np.clip(1.2 - up, 0, 1)
  side[..., 0] += np.radians(18) * up
  side[..., 1] += np.radians(10) * forward
  collar = np.zeros((*up.shape, 3))
  collar[..., 2], collar[..., 1] = side[..., 0], -side[..., 1]
  collar = anatomy.rotation(collar)
  bone = anatomy.collar_bone()
  target = place - (collar @ bone - bone)
  upper, side[..., anatomy.ELBOW] = anatomy.reach(arm, target, poles)
  local = np.swapaxes(collar, -1, -2) @ upper
  side[..., anatomy.SHOULDER] = anatomy.shoulder_angles(local)
  side[..., anatomy.PRONATION] = np.radians(forearms[..., 0])
  side[..., anatomy.WRIST] = np.radians(forearms[..., 1:])


def _from_landmark(
  angles: Float[Array, "poses angles"],
  place: Float[Array, "poses 2 3"],
  hand_from: Int[Array, "poses"],
) -> Float[Array, "poses 2 3"]:
  """From an offset to a leg's joint, to one from the resting shoulder."""
  upright = angles.copy()
  upright[:, anatomy.YAW] = 0
  points, world = anatomy.forward_kinematics(anatomy.local_rotations(upright))
  signs = np.array([[1, 1, 1], [-1, 1, 1]])
  leg_joints = np.array([[4, 5], [7, 8]])[hand_from - 1]
  landmark = np.take_along_axis(points, leg_joints[..., None], axis=1)
  # The shoulders, as if the collars were at rest.
  shoulders = points[:, 9, None] + np.einsum(
    "tab,jb->tja", world[:, 9], anatomy.shoulders_from_chest()
  )
  offset = landmark + place * signs - shoulders
  return np.einsum("tba,tjb->tja", world[:, 9], offset) * signs
