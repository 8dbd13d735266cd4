"""Stances of the lower body, from which random key poses are made.

Angles are in degrees; `poses.KeyPose` says what each of them is.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from mhmr_jax.motion.procedural.poses import (
  ANKLE,
  KNEE,
  SHOULDER,
  Generator,
  KeyPose,
  set_arms,
  set_torso,
)

_REACHES = ("hold", "forward", "overhead", "anywhere", "face", "across")


def _stand(rng: Generator, pose: KeyPose) -> None:
  pose.legs = rng.normal((2, 4, 4), (6, 4, 8), (2, 3))
  pose.knees = np.abs(rng.normal(6, 8, 2)) + 2
  pose.legs[:, 0] += pose.knees * 0.5


def _wide(rng: Generator, pose: KeyPose) -> None:
  _stand(rng, pose)
  bend = rng.uniform(0, 60)
  pose.legs += (bend * 0.6, rng.uniform(8, 28), rng.uniform(-5, 25))
  pose.knees += bend * 1.15
  shift = rng.normal(0, 20)  # One knee bends more than the other.
  pose.legs[:, 0] += np.clip((shift / 2, -shift / 2), -5, 20)
  pose.knees += np.clip((shift, -shift), 0, 40)
  pose.pitch = bend * rng.uniform(0, 0.5)


def _stride(rng: Generator, pose: KeyPose) -> None:
  step = rng.uniform(10, 40)
  pose.legs = rng.normal(((step, 4, 5), (-0.7 * step, 4, 8)), (5, 4, 7))
  pose.knees = np.abs(rng.normal((8, 18), (8, 15))) + 2
  pose.flat = np.array([1.0, rng.uniform(0.2, 0.8)])


def _squat(rng: Generator, pose: KeyPose) -> None:
  depth = rng.uniform(0.25, 1.0)
  pose.legs = rng.normal((105 * depth, 12, 12), (8, 8, 10), (2, 3))
  pose.legs[1] += 0.6 * (pose.legs[0] - pose.legs[1])
  pose.knees = pose.legs[:, 0] + rng.normal(25 * depth, 5, 2)
  pose.pitch = rng.uniform(15, 45) * depth
  pose.spine[0] = rng.normal(25 * depth, 15)
  pose.neck[0] = -0.5 * (pose.spine[0] + pose.pitch) + rng.normal(0, 12)


def _lunge(rng: Generator, pose: KeyPose) -> None:
  depth = rng.uniform(0.3, 1)
  pose.legs = rng.normal(((85 * depth, 6, 5), (-22 * depth, 4, 5)), (8, 6, 9))
  pose.knees = np.abs(
    np.array([pose.legs[0, 0] * rng.uniform(0.7, 1.15), rng.uniform(0, 90) * depth])
  )
  pose.flat = np.array([1.0, 0.0])
  pose.ankles[1, 0] = rng.uniform(-20, 20)
  pose.pitch = rng.normal(8, 10)


def _one_leg(rng: Generator, pose: KeyPose) -> None:
  """Stepping high, climbing or balancing: one leg stands, the other is anywhere."""
  _stand(rng, pose)
  bend = rng.uniform(0, 25) if rng.random() < 0.6 else rng.uniform(0, 60)
  pose.legs[1] += (bend * 0.55, 0, 0)
  pose.knees[1] += bend
  lift = rng.uniform(10, 115)
  pose.legs[0] = (lift, rng.normal(8, 12), rng.normal(8, 15))
  pose.knees[0] = np.clip(lift + rng.normal(5, 30), 3, 140)
  pose.flat[0] = rng.random() < 0.3
  pose.ankles[0, 0] = rng.normal(-12, 15)


def _kick(rng: Generator, pose: KeyPose) -> None:
  _one_leg(rng, pose)
  kind = rng.integers(3)
  if kind == 0:  # To the front.
    pose.legs[0] = rng.normal((75, 5, 5), (25, 10, 15))
    pose.knees[0] = rng.uniform(3, 50)
    pose.pitch = rng.normal(-10, 8)
  elif kind == 1:  # To the side.
    pose.legs[0] = rng.normal((20, 55, -5), (20, 18, 20))
    pose.knees[0] = rng.uniform(3, 80)
    pose.roll = rng.normal(15, 8)
  else:  # To the back, or an arabesque.
    pose.legs[0] = rng.normal((-35, 8, 10), (15, 8, 12))
    pose.knees[0] = rng.uniform(3, 110)
    pose.pitch = rng.normal(25, 15)
  pose.flat[0] = 0
  pose.ankles[0, 0] = rng.normal(-20, 15)


def _bend(rng: Generator, pose: KeyPose) -> None:
  """Bends at the hips and back, the hands at the legs or hanging to the floor."""
  _stand(rng, pose)
  total = rng.uniform(20, 125)
  share = rng.uniform(0.35, 0.65)
  pose.pitch = total * share
  pose.spine[0] = total * (1 - share)
  pose.spine[2] = rng.normal(0, 12)
  pose.neck[0] = rng.normal(-0.2 * total, 15)
  bend = rng.uniform(0, 50)
  pose.legs[:, 0] += bend * 0.5 - 0.1 * total
  pose.knees += bend
  set_arms(rng, pose, ("hang", "swing", "forward", "hold", "backward", "anywhere"))
  if rng.random() < 0.5:
    _hands_to_legs(rng, pose)
  else:  # The arms hang from the bent trunk.
    pose.hands = hanging_hands(rng, total)


def hanging_hands(rng: Generator, pitch: float) -> np.ndarray:
  """Draws positions of hands that hang from a trunk bent forward by `pitch`."""
  angle = np.radians(pitch + rng.normal(0, 20, 2))
  length = rng.uniform(0.6, 0.97, 2)
  outward = rng.normal(0.05, 0.15, 2)
  return np.stack([outward, -length * np.cos(angle), length * np.sin(angle)], -1)


def _hands_to_legs(rng: Generator, pose: KeyPose) -> None:
  pose.hand_from = KNEE if rng.random() < 0.6 else ANKLE
  pose.hands = rng.normal((0.0, 0.08, 0.15), (0.12, 0.12, 0.12), (2, 3))
  pose.poles = rng.normal((1, 0.3, 0), 0.3, (2, 3))
  pose.forearms = rng.normal((10, 0, 0), (25, 15, 8), (2, 3))


def _chair(rng: Generator, pose: KeyPose) -> None:
  pose.legs = rng.normal((82, 8, 5), (9, 8, 9), (2, 3))
  pose.knees = rng.normal(82, 20, 2)
  if rng.random() < 0.25:  # Legs crossed.
    pose.legs[0] = rng.normal((98, -8, 5), (6, 4, 6))
    pose.knees[0] = rng.uniform(60, 100)
    pose.flat[0] = 0
  pose.pitch = rng.normal(-5, 12)
  pose.spine[0] = rng.normal(12, 14)
  if rng.random() < 0.5:
    set_arms(rng, pose)
  else:
    _hands_to_legs(rng, pose)
    pose.hand_from = KNEE


def _floor(rng: Generator, pose: KeyPose) -> None:
  kind = rng.integers(4)
  pose.flat[:] = 0
  if kind == 0:  # Legs out.
    pose.legs = rng.normal((88, 10, 15), (6, 12, 15), (2, 3))
    pose.knees = np.abs(rng.normal(5, 15, 2))
  elif kind == 1:  # Cross-legged.
    pose.legs = rng.normal((75, 45, 55), (8, 8, 8), (2, 3))
    pose.knees = rng.normal(122, 10, 2)
  elif kind == 2:  # Knees up.
    pose.legs = rng.normal((125, 6, 5), (12, 10, 10), (2, 3))
    pose.knees = rng.normal(95, 20, 2)
    pose.flat[:] = 1
  else:  # One leg each.
    pose.legs = rng.normal(((85, 15, 10), (115, 15, 10)), (8, 15, 15))
    pose.knees = np.abs(rng.normal((10, 95), (15, 20)))
  pose.pitch = rng.normal(-12, 14)
  pose.spine[0] = rng.normal(22, 15)
  names = ("hold", "backward", "clasp", "swing", "hang", "anywhere", "face")
  set_arms(rng, pose, names)
  if rng.random() < 0.35:
    _hands_to_legs(rng, pose)


def _kneel(rng: Generator, pose: KeyPose) -> None:
  pose.flat[:] = 0
  pose.ankles[:, 0] = rng.normal(-25, 20, 2)
  if rng.random() < 0.5:  # Between upright and sitting on the heels.
    heels = rng.uniform(0, 1)
    pose.legs = rng.normal((65 * heels, 6, 3), (6, 6, 6), (2, 3))
    pose.legs[1, 0] = pose.legs[0, 0] + rng.normal(0, 4)
    pose.knees = pose.legs[:, 0] + rng.normal(88, 4, 2)
  else:  # On one knee.
    pose.legs = rng.normal(((88, 12, 8), (2, 5, 3)), (10, 8, 8))
    pose.knees = rng.normal((88, 90), (12, 8))
    pose.flat[0] = 1
  pose.pitch = rng.normal(6, 12)


def _crawl(rng: Generator, pose: KeyPose) -> None:
  pose.pitch = rng.normal(68, 12)
  pose.spine[0] = rng.normal(10, 12)
  pose.neck[0] = rng.normal(-35, 15)
  swing = rng.normal(0, 20)
  pose.legs = rng.normal(((swing, 6, 3), (-swing, 6, 3)), (8, 5, 5))
  pose.knees = rng.normal(90, 8, 2) + pose.legs[:, 0]
  if rng.random() < 0.3:  # On hands and feet.
    pose.legs = rng.normal((40, 8, 5), (20, 6, 6), (2, 3))
    pose.knees = np.abs(rng.normal(40, 20, 2))
  pose.flat[:] = 0
  pose.ankles[:, 0] = rng.normal(-20, 20, 2)
  pose.hand_from = SHOULDER
  pose.hands = hanging_hands(rng, 90.0)
  pose.poles = rng.normal((0.6, -0.6, -0.6), 0.25, (2, 3))
  pose.forearms = rng.normal((20, -45, 0), (25, 20, 8), (2, 3))


def _supine(rng: Generator, pose: KeyPose) -> None:
  pose.pitch = rng.normal(-88, 8)
  _lie(rng, pose, rng.uniform(0, 100) if rng.random() < 0.5 else 5.0)


def _prone(rng: Generator, pose: KeyPose) -> None:
  pose.pitch = rng.normal(85, 8)
  _lie(rng, pose, rng.uniform(-5, 10))


def _lie(rng: Generator, pose: KeyPose, lift: float) -> None:
  pose.roll = rng.normal(0, 12)
  # Legs are given in the upright frame, and those of a lying person are level.
  pose.legs = rng.normal((lift - pose.pitch, 8, 8), (8, 8, 12), (2, 3))
  pose.knees = np.abs(rng.normal(lift, 15, 2))
  pose.flat[:] = 0
  pose.ankles[:, 0] = rng.normal(-25, 10, 2)


def _climb(rng: Generator, pose: KeyPose) -> None:
  """Climbs a ladder, a tree or a wall: legs drawn up, arms up or in front."""
  pose.legs = rng.normal((55, 14, 12), (28, 12, 14), (2, 3))
  pose.knees = np.clip(pose.legs[:, 0] + rng.normal(18, 22, 2), 3, 140)
  pose.flat = rng.uniform(0, 1, 2)
  pose.ankles[:, 0] = rng.normal(-5, 12, 2)
  pose.pitch = rng.normal(8, 14)
  pose.roll = rng.normal(0, 8)
  pose.spine = rng.normal((10, 0, 0), (15, 10, 10))
  set_arms(rng, pose, ("forward", "overhead", "hold", "anywhere", "overhead"))


def _hang(rng: Generator, pose: KeyPose) -> None:
  """Hangs from the hands; the legs dangle."""
  lift = rng.normal(10, 18)
  pose.legs = rng.normal((lift, 5, 5), (12, 7, 8), (2, 3))
  bend = rng.uniform(0, 110)
  pose.knees = np.abs(rng.normal(bend, 15, 2))
  pose.flat[:] = 0
  pose.ankles[:, 0] = rng.normal(-25, 12, 2)
  pose.pitch = rng.normal(5, 12)
  set_arms(rng, pose, ("overhead",))


def _leap(rng: Generator, pose: KeyPose) -> None:
  """In the air, the legs tucked, straddled or split."""
  kind = rng.integers(3)
  if kind == 0:
    pose.legs = rng.normal((75, 8, 5), (25, 8, 8), (2, 3))
    pose.knees = np.clip(pose.legs[:, 0] + rng.normal(15, 20, 2), 5, 140)
  elif kind == 1:
    pose.legs = rng.normal((10, 35, 10), (12, 10, 10), (2, 3))
    pose.knees = np.abs(rng.normal(10, 12, 2))
  else:
    pose.legs = rng.normal(((60, 5, 5), (-25, 5, 8)), (18, 6, 8))
    pose.knees = np.abs(rng.normal((25, 45), (25, 30)))
  pose.flat[:] = 0
  pose.ankles[:, 0] = rng.normal(-25, 10, 2)


STANCES: dict[str, Callable[[Generator, KeyPose], None]] = {
  "stand": _stand, "wide": _wide, "stride": _stride, "squat": _squat, "lunge": _lunge,
  "one_leg": _one_leg, "kick": _kick, "bend": _bend, "chair": _chair, "floor": _floor,
  "kneel": _kneel, "crawl": _crawl, "supine": _supine, "prone": _prone, "climb": _climb,
  "hang": _hang, "leap": _leap,
}  # fmt: skip
_LYING = {"crawl", "supine", "prone"}
# Stances that place the hands themselves.
_OWN_ARMS = {"bend", "chair", "floor", "crawl", "climb", "hang"}


def sample(rng: Generator, name: str) -> KeyPose:
  """Draws a key pose of one stance; either side may lead."""
  pose = KeyPose()
  STANCES[name](rng, pose)
  set_torso(rng, pose, 0.5 if name in _LYING else 1.0)
  if name not in _OWN_ARMS:
    set_arms(rng, pose)
  _limit(pose)
  return mirrored(pose) if rng.random() < 0.5 else pose


def set_free_parts(rng: Generator, pose: KeyPose) -> None:
  """Draws the arms and a livelier trunk for a pose whose legs come from elsewhere."""
  set_torso(rng, pose, 0.7)
  set_arms(rng, pose)
  _limit(pose)


def mirrored(pose: KeyPose) -> KeyPose:
  """The pose with left and right exchanged."""
  pose = dataclasses.replace(pose, roll=-pose.roll)
  for name in ("legs", "knees", "ankles", "flat", "hands", "poles", "forearms"):
    setattr(pose, name, getattr(pose, name)[::-1])
  pose.spine = pose.spine * (1, -1, -1)
  pose.neck = pose.neck * (1, -1, -1)
  pose.bow = pose.bow * (1, -1, -1)
  return pose


def _limit(pose: KeyPose) -> None:
  """Clips joints to a body's range of motion."""
  pose.spine = np.clip(pose.spine, (-30, -45, -35), (75, 45, 35))
  pose.neck = np.clip(pose.neck, (-55, -75, -35), (55, 75, 35))
  pose.knees = np.clip(pose.knees, 0, 150)
  highest = 125 - pose.pitch  # The hip's own angle, once the pelvis is tilted.
  pose.legs = np.clip(pose.legs, (-35 - pose.pitch, -20, -35), (highest, 60, 70))
  pose.ankles = np.clip(pose.ankles, (-50, -25), (30, 30))
