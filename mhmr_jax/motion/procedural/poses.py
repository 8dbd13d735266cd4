"""Key poses before inverse kinematics, random arms and trunks, and the kinematics.

Angles here are in degrees, positive outward on both sides. Legs are given in the
upright frame of the pelvis: they keep pointing to the floor when the pelvis tilts.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import field

import numpy as np
from jaxtyping import Float, Int

from mhmr_jax.body.joints import SMPL_JOINTS
from mhmr_jax.motion.procedural import anatomy

Generator = np.random.Generator

# The origin of a hand's position, which is in arm's lengths: the shoulder (axes of the
# chest), or the knee or ankle of its side (axes of the upright pelvis).
SHOULDER, KNEE, ANKLE = range(3)
_LANDMARKS = np.array(
  [
    [SMPL_JOINTS.index(f"{side}_{name}") for side in ("left", "right")]
    for name in ("knee", "ankle")
  ]
)
_CHEST = SMPL_JOINTS.index("spine3")


@dataclasses.dataclass
class KeyPose:
  """One pose, before inverse kinematics; left first where there are two sides.

  Attributes:
    pitch: the pitch of the pelvis, forward.
    roll: the roll of the pelvis, to the right.
    spine: forward bend, left turn and right lean, shared by the spine's joints.
    neck: the same for neck and head.
    bow: additional rotation vectors of spine1, spine2, spine3, neck and head.
    legs: forward lift, abduction and outward turn of each thigh.
    knees: bend of each knee.
    ankles: toes up, sole inward; added to a level foot where `flat` is 1, to a neutral
      ankle where it is 0.
    flat: see `ankles`.
    hands: each hand's position from its origin, arm's lengths.
    poles: the direction in which each elbow points.
    hand_from: the origin: SHOULDER, KNEE or ANKLE.
    forearms: pronation, palm flexion and deviation to the thumb.
  """

  pitch: float = 0.0
  roll: float = 0.0
  spine: Float[np.ndarray, "3"] = field(default_factory=lambda: np.zeros(3))
  neck: Float[np.ndarray, "3"] = field(default_factory=lambda: np.zeros(3))
  bow: Float[np.ndarray, "5 3"] = field(default_factory=lambda: np.zeros((5, 3)))
  legs: Float[np.ndarray, "2 3"] = field(default_factory=lambda: np.zeros((2, 3)))
  knees: Float[np.ndarray, "2"] = field(default_factory=lambda: np.zeros(2))
  ankles: Float[np.ndarray, "2 2"] = field(default_factory=lambda: np.zeros((2, 2)))
  flat: Float[np.ndarray, "2"] = field(default_factory=lambda: np.ones(2))
  hands: Float[np.ndarray, "2 3"] = field(default_factory=lambda: np.zeros((2, 3)))
  poles: Float[np.ndarray, "2 3"] = field(default_factory=lambda: np.zeros((2, 3)))
  hand_from: int = SHOULDER
  forearms: Float[np.ndarray, "2 3"] = field(default_factory=lambda: np.zeros((2, 3)))


# Regions of a hand: mean and standard deviation of its position, the elbow's
# direction, and the weight by which the region is drawn.
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


def place_hand(
  rng: Generator, name: str = ""
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
  """Draws a hand's position from its shoulder, arm's lengths, and its elbow's pole."""
  name = name or _HAND_NAMES[int(np.searchsorted(_HAND_STEPS, rng.random()))]
  mean, spread, pole, _ = _HANDS[name]
  place = _anywhere(rng) if name == "anywhere" else rng.normal(mean, spread)
  return place, rng.normal(pole, 0.3)


def _anywhere(rng: Generator) -> np.ndarray:
  for _ in range(8):
    place = rng.normal((0.2, 0, 0.4), 1.0)
    place *= rng.uniform(0.35, 1.0) ** 0.5 / np.linalg.norm(place)
    inside = place[0] < 0 and -1.2 < place[1] < 0.15 and -0.3 < place[2] < 0.3
    if not inside and place[2] > -0.55 and place[0] > -0.8:
      break
  return place


def set_arms(rng: Generator, pose: KeyPose, names: Sequence[str] = ()) -> None:
  """Draws positions for both hands, nearly symmetric ones in four poses of ten."""
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
  """Adds a random bend and twist of the spine and a random direction of the head."""
  lively = scale * rng.gamma(2.0, 0.5)
  pose.spine = pose.spine + rng.normal((4, 0, 0), (9, 9, 7)) * (lively, lively, lively)
  pose.neck = pose.neck + rng.normal((2, 0, 0), (11, 20, 7))
  pose.roll += rng.normal(0, 3 * lively)
  tilt = rng.normal(0, 6)  # The pelvis tilts; the lower back compensates for it.
  pose.pitch += rng.normal(0, 4 * lively) + tilt
  pose.bow = rng.normal(0, (4, 3, 3), (5, 3))
  pose.bow[0, 0] -= tilt
  pose.bow[:3] += np.outer(rng.dirichlet((4, 4, 3)) - (0.36, 0.37, 0.27), pose.spine)
  chin = rng.normal(0, 10)
  pose.bow[3:, 0] += (-chin, chin)


def solve(poses: Sequence[KeyPose]) -> Float[np.ndarray, "poses angles"]:
  """The poses' angles in radians, arms and legs by inverse kinematics."""
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


def leg_rotation(
  legs: Float[np.ndarray, "*batch 3"],
) -> Float[np.ndarray, "*batch 3 3"]:
  """A thigh's rotation by forward lift, abduction and outward turn, in radians."""
  vectors = np.zeros((3, *legs.shape))
  vectors[0, ..., 0] = -legs[..., 0]
  vectors[1, ..., 2] = legs[..., 1]
  vectors[2, ..., 1] = legs[..., 2]
  lift, abduction, turn = anatomy.rotation(vectors)
  return lift @ abduction @ turn


def set_hips(
  angles: Float[np.ndarray, "*batch angles"], thighs: Float[np.ndarray, "*batch 2 3 3"]
) -> None:
  """Writes the hips' angles from the thighs' rotations in the upright frame."""
  pelvis = anatomy.pelvis_rotation(angles)[..., None, :, :]
  local = np.swapaxes(pelvis, -1, -2) @ anatomy.mirror(thighs)
  anatomy.sides(angles)[..., anatomy.HIP] = anatomy.hip_angles(anatomy.mirror(local))


def _solve_legs(
  angles: Float[np.ndarray, "poses angles"], stack: dict[str, np.ndarray]
) -> None:
  legs, knees = np.radians(stack["legs"]), np.radians(stack["knees"])
  set_hips(angles, leg_rotation(legs))
  side = anatomy.sides(angles)
  side[..., anatomy.KNEE] = knees
  level = np.clip(knees - legs[..., 0], np.radians(-50), np.radians(35))
  side[..., anatomy.ANKLE] = np.radians(stack["ankles"])
  side[..., anatomy.ANKLE_UP] += level * stack["flat"]


def solve_arms(
  angles: Float[np.ndarray, "poses angles"],
  hands: Float[np.ndarray, "poses 2 3"],
  poles: Float[np.ndarray, "poses 2 3"],
  hand_from: Int[np.ndarray, "poses"],
  forearms: Float[np.ndarray, "poses 2 3"],
) -> None:
  """Writes the angles of the arms; a raised hand raises its collar too."""
  arm = anatomy.arm()
  length = np.linalg.norm(arm.upper) + np.linalg.norm(arm.lower)
  place = hands * length
  if np.any(hand_from != SHOULDER):
    away = hand_from != SHOULDER
    place[away] = _from_landmark(angles[away], place[away], hand_from[away])
  side = anatomy.sides(angles)
  up = np.clip(place[..., 1] / length + 0.2, 0, 1.2)
  forward = np.clip(place[..., 2] / length, -0.5, 1) * np.clip(1.2 - up, 0, 1)
  side[..., anatomy.COLLAR_UP] += np.radians(18) * up
  side[..., anatomy.COLLAR_FORWARD] += np.radians(10) * forward
  collar = np.zeros((*up.shape, 3))
  collar[..., 2] = side[..., anatomy.COLLAR_UP]
  collar[..., 1] = -side[..., anatomy.COLLAR_FORWARD]
  collar = anatomy.rotation(collar)
  bone = anatomy.collar_bone()
  target = place - (collar @ bone - bone)
  upper, side[..., anatomy.ELBOW] = anatomy.reach(arm, target, poles)
  local = np.swapaxes(collar, -1, -2) @ upper
  side[..., anatomy.SHOULDER] = anatomy.shoulder_angles(local)
  side[..., anatomy.PRONATION] = np.radians(forearms[..., 0])
  side[..., anatomy.WRIST] = np.radians(forearms[..., 1:])


def _from_landmark(
  angles: Float[np.ndarray, "poses angles"],
  place: Float[np.ndarray, "poses 2 3"],
  hand_from: Int[np.ndarray, "poses"],
) -> Float[np.ndarray, "poses 2 3"]:
  """Converts positions relative to a knee or ankle to ones relative to the shoulder."""
  upright = angles.copy()
  upright[:, anatomy.YAW] = 0
  points, world = anatomy.forward_kinematics(anatomy.local_rotations(upright))
  signs = np.array([[1, 1, 1], [-1, 1, 1]])
  leg_joints = _LANDMARKS[hand_from - KNEE]
  landmark = np.take_along_axis(points, leg_joints[..., None], axis=1)
  # The shoulders, as if the collars were at rest.
  chest = world[:, _CHEST]
  shoulders = points[:, _CHEST, None] + np.einsum(
    "tab,jb->tja", chest, anatomy.shoulders_from_chest()
  )
  offset = landmark + place * signs - shoulders
  return np.einsum("tba,tjb->tja", chest, offset) * signs
