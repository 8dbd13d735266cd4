"""Actions of a procedural person: pieces of motion that mostly join key poses.

Every action takes a random generator, a number of frames and the seconds per frame.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from mhmr_jax.motion.procedural import anatomy, poses, stances
from mhmr_jax.motion.procedural.gaits import gait
from mhmr_jax.motion.procedural.pieces import Piece, catmull_rom, minimum_jerk
from mhmr_jax.motion.procedural.poses import Generator, KeyPose

Action = Callable[[Generator, int, float], Piece]

_ANGLES = range(anatomy.NUM_ANGLES)
_TRUNK = [
  *(anatomy.PITCH, anatomy.ROLL),
  *_ANGLES[anatomy.SPINE],
  *_ANGLES[anatomy.SPINE_BOW],
]
_NECK = [*_ANGLES[anatomy.NECK], *_ANGLES[anatomy.NECK_BOW]]
_LEGS = [
  anatomy.NUM_MIDDLE + side * anatomy.NUM_SIDE + i
  for side in (0, 1)
  for i in range(anatomy.HIP.start, anatomy.NUM_SIDE)
]
_ARMS = [
  [anatomy.NUM_MIDDLE + side * anatomy.NUM_SIDE + i for i in range(anatomy.HIP.start)]
  for side in (0, 1)
]
# Groups of angles, each of which reaches the key poses at times of its own.
_GROUPS = (_TRUNK + _LEGS, _NECK, _ARMS[0], _ARMS[1])


def _knots(rng: Generator, duration: float, pace: float) -> Float[np.ndarray, "knots"]:
  """Times at which key poses are reached; the first is at or before 0."""
  steps = pace * rng.lognormal(0, 0.35, int(duration / pace * 2.5) + 3)
  knots = np.cumsum(steps) - steps[0] * (1 + rng.random())
  return knots[: np.searchsorted(knots, duration) + 1]


def _unhurried(
  rng: Generator,
  knots: Float[np.ndarray, "knots"],
  keys: Float[np.ndarray, "knots angles"],
) -> Float[np.ndarray, "knots"]:
  """Moves the times apart where the angles between two key poses differ a lot."""
  far = np.abs(np.diff(keys, axis=0)).max(axis=1)
  steps = np.maximum(np.diff(knots), far / rng.lognormal(1.1, 0.35))
  return knots[0] + np.concatenate([[0], np.cumsum(steps)])


def _string(
  rng: Generator,
  frames: int,
  dt: float,
  knots: Float[np.ndarray, "knots"],
  keys: Float[np.ndarray, "knots angles"],
) -> Piece:
  """Joins key poses; trunk, head and arms reach them at slightly different times."""
  time = np.arange(frames) * dt
  angles = np.zeros((frames, anatomy.NUM_ANGLES))
  pace = float(np.diff(knots).mean())
  flowing = rng.random() < 0.5
  for group in _GROUPS:
    moved = knots + rng.normal(0, 0.12) * pace
    values = keys[:, group]
    if flowing:
      angles[:, group] = catmull_rom(time, moved, values)
    else:
      angles[:, group] = minimum_jerk(time, moved, values, rng.uniform(0, 0.35))
  angles[:, anatomy.YAW] = rng.normal(0, 0.35) * time
  return Piece(angles, np.zeros(frames))


def _pick(rng: Generator, names: Sequence[str]) -> str:
  return names[int(rng.integers(len(names)))]


def _pace(rng: Generator) -> float:
  return float(np.clip(rng.lognormal(-0.25, 0.45), 0.3, 2.5))


def strung(names: Sequence[str]) -> Action:
  """An action that goes through random key poses of some stances."""

  def action(rng: Generator, frames: int, dt: float) -> Piece:
    knots = _knots(rng, frames * dt, _pace(rng))
    stay = rng.random() < 0.5  # Poses of one stance, or of a new one each time.
    name = _pick(rng, names)
    keys = []
    for _ in knots:
      if not stay:
        name = _pick(rng, names)
      keys.append(stances.sample(rng, name))
    solved = poses.solve(keys)
    return _string(rng, frames, dt, _unhurried(rng, knots, solved), solved)

  return action


def repeated(names: Sequence[str], mirrored: float) -> Action:
  """An action that goes to and fro between two key poses.

  Args:
    names: the stances.
    mirrored: the probability that the second pose is the first one's mirror image.
  """

  def action(rng: Generator, frames: int, dt: float) -> Piece:
    name = _pick(rng, names)
    keys = [stances.sample(rng, name), stances.sample(rng, name)]
    if rng.random() < mirrored:
      keys[1] = stances.mirrored(keys[0])
    elif rng.random() < 0.5:
      keys[1] = stances.sample(rng, "stand")
    first, second = poses.solve(keys)
    time = np.arange(frames) * dt
    cycle = 2 * np.pi * (time / (2 * _pace(rng)) + rng.random())
    angles = np.zeros((frames, anatomy.NUM_ANGLES))
    for group in _GROUPS:
      wave = 0.5 - 0.5 * np.cos(cycle + rng.normal(0, 0.4))
      sharp = rng.uniform(0, 1)  # How long the motion rests at either pose.
      wave = wave + sharp * (wave * wave * (3 - 2 * wave) - wave)
      angles[:, group] = first[group] + wave[:, None] * (second - first)[group]
    return Piece(angles, np.zeros(frames))

  return action


def planted(mood: str) -> Action:
  """An action with both feet in place, to which inverse kinematics fits the legs."""

  def action(rng: Generator, frames: int, dt: float) -> Piece:
    pace = _pace(rng) * (0.5 if mood == "box" else 1.0)
    knots = _knots(rng, frames * dt, pace)
    keys = [_trunk_pose(rng, mood) for _ in knots]
    if mood in ("squat", "bend", "sit"):  # Every other pose is upright again.
      for key in keys[::2]:
        key[0].pitch, key[0].spine = rng.normal(0, 4), rng.normal(0, 4, 3)
        key[1][:] = rng.normal(0, 0.02, 4)
    if mood == "box":
      _guard(rng, [pose for pose, _ in keys])
    places = np.array([place for _, place in keys])
    solved = poses.solve([pose for pose, _ in keys])
    if mood != "box":
      knots = _unhurried(rng, knots, solved)
    piece = _string(rng, frames, dt, knots, solved)
    time = np.arange(frames) * dt
    place = minimum_jerk(time, knots, places, rng.uniform(0, 0.4))
    piece.angles[:, anatomy.YAW] = place[:, 3]
    _plant(rng, piece.angles, place[:, :3], wide=mood in ("box", "reach"))
    return piece

  return action


def _trunk_pose(rng: Generator, mood: str) -> tuple[KeyPose, Float[np.ndarray, "4"]]:
  """A pose of trunk and arms, and the pelvis's move: left, down, back (m) and yaw."""
  pose = KeyPose()
  place = rng.normal(0, (0.03, 0, 0.02, 0.1))
  place[1] = np.abs(rng.normal(0, 0.03))
  if mood == "squat":
    place[1] = rng.uniform(0.1, 0.6)
    pose.pitch = place[1] * rng.uniform(20, 80)
    place[2] += 0.2 * place[1]
  elif mood == "sit":
    place[1:3] = rng.uniform(0.3, 0.45), rng.uniform(0.25, 0.42)
    pose.pitch = rng.normal(0, 12)
  elif mood == "bend":
    total = rng.uniform(15, 120)
    pose.pitch = total * rng.uniform(0.4, 0.7)
    pose.spine = np.array([total - pose.pitch, rng.normal(0, 15), rng.normal(0, 10)])
    place[1] = abs(rng.normal(0, 0.15))
    place[2] += 0.15 * np.sin(np.radians(pose.pitch))
  elif mood == "reach":
    place += rng.normal(0, (0.08, 0, 0.08, 0.35))
    place[1] = np.abs(rng.normal(0, 0.1))
    pose.pitch, pose.roll = rng.normal(0, 14), rng.normal(0, 9)
    pose.spine = rng.normal(0, (14, 18, 12))
  elif mood == "box":
    place += rng.normal(0, (0.05, 0, 0.05, 0.3))
    place[1] = rng.uniform(0.02, 0.2)
    pose.spine = rng.normal((10, 0, 0), (8, 15, 7))
  stances.set_free_parts(rng, pose)
  if mood == "bend" and rng.random() < 0.6:
    pose.hands = stances.hanging_hands(rng, pose.pitch + pose.spine[0])
  return pose, place


def _guard(rng: Generator, keys: Sequence[KeyPose]) -> None:
  """Puts the fists before the face; in every other pose one of them strikes."""
  for index, pose in enumerate(keys):
    pose.hands = rng.normal((-0.1, 0.05, 0.42), 0.07, (2, 3))
    pose.poles = rng.normal((0.4, -1, 0), 0.15, (2, 3))
    if index % 2:
      fist = rng.integers(2)
      pose.hands[fist] = rng.normal((-0.2, 0.1, 0.95), (0.2, 0.2, 0.1))
      pose.spine[1] += (-30, 30)[fist]
      pose.poles[fist] = rng.normal((0.8, -0.5, 0), 0.2)


def _plant(
  rng: Generator,
  angles: Float[np.ndarray, "time angles"],
  place: Float[np.ndarray, "time 3"],
  wide: bool,
) -> None:
  """Writes the legs' angles so that both feet stay in place.

  The soles are level as far as the ankles allow.

  Args:
    rng: draws where the feet stand.
    angles: the angles of all frames, to be completed.
    place: the pelvis's move to the left, down and back, metres.
    wide: whether the feet stand far apart.
  """
  leg = anatomy.leg()
  length = np.linalg.norm(leg.upper) + np.linalg.norm(leg.lower)
  half = leg.start[0] + rng.gamma(2, 0.03) + (rng.uniform(0, 0.2) if wide else 0)
  stagger = rng.normal(0, 0.15 if wide else 0.05)
  feet = np.array([[half, 0, stagger], [half, 0, -stagger]])
  toes_out = np.radians(rng.normal(8, 8, 2))
  high = np.sqrt(length**2 - (half - leg.start[0]) ** 2 - stagger**2) - leg.start[1]
  pelvis = np.zeros((len(angles), 2, 3))
  sideways, down, back = place.T
  pelvis[..., 0] = sideways[:, None] * (1, -1)
  pelvis[..., 1] = (0.985 * high - down)[:, None]
  pelvis[..., 2] = -back[:, None]
  # From the world's frame to those of the upright pelvis and of each side.
  yaw = angles[:, anatomy.YAW, None] * (1, -1)
  offset = feet - pelvis
  away = offset.copy()
  away[..., 0] = np.cos(yaw) * offset[..., 0] - np.sin(yaw) * offset[..., 2]
  away[..., 2] = np.sin(yaw) * offset[..., 0] + np.cos(yaw) * offset[..., 2]
  tilt = anatomy.mirror(np.repeat(anatomy.pelvis_rotation(angles)[:, None], 2, 1))
  target = away - tilt @ leg.start
  heading = toes_out - yaw
  pole = np.stack([np.sin(heading), np.zeros_like(heading), np.cos(heading)], axis=-1)
  thigh, bend = anatomy.reach(leg, target, pole)
  poses.set_hips(angles, thigh)
  shin = thigh @ anatomy.rotation(bend[..., None] * leg.hinge)
  level = anatomy.rotation(heading[..., None] * np.array([0, 1.0, 0]))
  ankle = anatomy.rotation_vector(np.swapaxes(shin, -1, -2) @ level)
  side = anatomy.sides(angles)
  side[..., anatomy.KNEE] = bend
  side[..., anatomy.ANKLE_UP] = np.clip(-ankle[..., 0], -0.9, 0.6)
  side[..., anatomy.SOLE_INWARD] = np.clip(ankle[..., 2], -0.45, 0.45)


def jump(rng: Generator, frames: int, dt: float) -> Piece:
  """Crouches, leaves the ground and lands, as often as there is time for."""
  height = rng.uniform(0.05, 0.45)
  air = 2 * np.sqrt(2 * height / 9.81)
  down, up, land, rest = rng.uniform((0.25, 0.15, 0.15, 0.1), (0.6, 0.3, 0.35, 0.7))
  aloft = "leap" if rng.random() < 0.6 else "stand"
  names = ("squat", "stand", aloft, "stand", "squat")
  period = np.cumsum((down, up, air / 2, air / 2, land))
  whole = float(period[-1] + rest)
  hop = rng.random() < 0.3
  cycle = [stances.sample(rng, name) for name in names]
  if hop:
    cycle = [stances.sample(rng, "one_leg") for _ in names]
  keys = poses.solve(cycle)
  for arm in _ARMS:  # There is no time for large motions of the arms.
    keys[:, arm] = (keys[:, arm] + keys[:, arm].mean(axis=0)) / 2
  time = np.arange(frames) * dt
  start = -rng.uniform(0, whole)
  times, values, lift = [], [], np.zeros(frames)
  while start < frames * dt + whole:
    times.append(start + period)
    values.append(keys)
    part = (time - start - period[1]) / air
    flying = (part > 0) & (part < 1)
    lift = np.where(flying, 4 * height * part * (1 - part), lift)
    start += whole
  angles = catmull_rom(time, np.concatenate(times), np.concatenate(values))
  angles[:, anatomy.YAW] = rng.normal(0, 0.5) * time
  return Piece(angles, lift)


def stroll(rng: Generator, frames: int, dt: float) -> Piece:
  """A gait whose arms, head and trunk move independently of the legs."""
  piece = gait(rng, frames, dt)
  names = (
    "hold",
    "face",
    "forward",
    "waist",
    "pocket",
    "behind",
    "crossed",
    "anywhere",
  )
  knots = _knots(rng, frames * dt, _pace(rng) * 1.5)
  keys = []
  for _ in knots:
    pose = KeyPose()
    stances.set_free_parts(rng, pose)
    if rng.random() < 0.6:
      poses.set_arms(rng, pose, names)
    keys.append(pose)
  solved = poses.solve(keys)
  knots = _unhurried(rng, knots, solved)
  other = _string(rng, frames, dt, knots, solved).angles
  both = rng.random() < 0.4
  for group in _ARMS if both else [_ARMS[rng.integers(2)]]:
    piece.angles[:, group] = other[:, group]
  piece.angles[:, _NECK] += other[:, _NECK]
  piece.angles[:, _TRUNK] += 0.6 * other[:, _TRUNK]
  return piece


def step_turn(rng: Generator, frames: int, dt: float) -> Piece:
  """A gait that turns round at up to 3.5 radians a second."""
  piece = gait(rng, frames, dt)
  rate = rng.choice([-1, 1]) * rng.uniform(0.8, 3.5)
  piece.angles[:, anatomy.YAW] += rate * np.arange(frames) * dt
  return piece


_UPRIGHT = ("stand", "wide", "stride", "one_leg", "lunge", "bend", "squat")
_LOW = ("squat", "kneel", "floor", "chair", "lunge", "crawl")

# Every action, and the weight by which it is drawn.
ACTIONS: dict[str, tuple[Action, float]] = {
  "gait": (gait, 4),
  "stroll": (stroll, 3),
  "turn": (step_turn, 1),
  "idle": (planted("idle"), 2.5),
  "reach": (planted("reach"), 3),
  "bend": (planted("bend"), 1.5),
  "squat": (planted("squat"), 1.2),
  "sit": (planted("sit"), 1),
  "punch": (planted("box"), 1.2),
  "jump": (jump, 1.5),
  "upright": (strung(_UPRIGHT), 4),
  "exercise": (repeated((*_UPRIGHT, "kneel", "chair", "floor", "supine"), 0.5), 2),
  "kick": (strung(("kick", "stand", "stride", "one_leg")), 1),
  "chair": (strung(("chair",)), 1),
  "low": (strung(_LOW), 1.3),
  "crawl": (repeated(("crawl",), 0.9), 0.7),
  "climb": (strung(("climb", "one_leg", "climb", "stride")), 2),
  "clamber": (repeated(("climb",), 0.7), 0.8),
  "supine": (strung(("supine",)), 0.3),
  "prone": (strung(("prone",)), 0.2),
}
