"""Motion out of nothing: varied, plausible people for who has no motion capture.

A clip is one or more actions, each with a style of its own, joined smoothly; the pelvis
then follows from what touches the ground.
"""

import numpy as np
from jaxtyping import Float

from mhmr_jax.motion import actions, anatomy
from mhmr_jax.motion.anatomy import Array
from mhmr_jax.motion.pieces import Piece, join, pelvis_path
from mhmr_jax.motion.pose_sequence import PoseSequence
from mhmr_jax.motion.poses import Generator

_NAMES = tuple(actions.ACTIONS)
_WEIGHTS = np.array([weight for _, weight in actions.ACTIONS.values()])
_HANGING = 0.03  # Clips that hang from their hands all along.
_HABIT, _RESTLESS = np.radians(3.0), np.radians(1.6)


def generate(seed: int, frames: int, fps: float = 30.0) -> PoseSequence:
  """Makes a clip: the same for the same seed, frames and rate."""
  rng = np.random.default_rng(seed)
  hanging = rng.random() < _HANGING
  track = _hang(rng, frames, 1 / fps) if hanging else _act(rng, frames, fps)
  angles = _habits(rng, track.angles, 1 / fps)
  angles[:, anatomy.YAW] += rng.uniform(-np.pi, np.pi)
  local = anatomy.local_rotations(angles)
  points, world = anatomy.forward_kinematics(local)
  transl = pelvis_path(points, world, track.lift, 1 / fps, by_hands=hanging)
  pose = anatomy.rotation_vector(local)
  return PoseSequence(pose.astype(np.float32), transl.astype(np.float32), fps)


def _hang(rng: Generator, frames: int, dt: float) -> Piece:
  return actions.strung(("hang", "hang", "climb"))(rng, frames, dt)


def _act(rng: Generator, frames: int, fps: float) -> Piece:
  overlap = max(2, round(rng.uniform(0.25, 0.6) * fps))
  tracks: list[Piece] = []
  made = 0
  while made < frames:
    length = round(rng.uniform(1.2, 5.0) * fps) + overlap
    if made + length > frames - fps / 2:  # No action of a few frames at the end.
      length = frames - made
    name = _NAMES[rng.choice(len(_NAMES), p=_WEIGHTS / _WEIGHTS.sum())]
    extra = overlap if tracks else 0
    tracks.append(actions.ACTIONS[name][0](rng, length + extra, 1 / fps))
    made += length
  return join(tracks, overlap)


def _habits(
  rng: Generator, angles: Float[Array, "time angles"], dt: float
) -> Float[Array, "time angles"]:
  """Adds what no two people do alike: a posture, and never keeping quite still."""
  count = anatomy.NUM_ANGLES
  posture = rng.normal(0, _HABIT, count)
  posture[anatomy.YAW] = 0
  # Tilting the pelvis bends the small of the back, and neither legs nor chest.
  tilt = rng.normal(0, np.radians(5))
  posture[anatomy.PITCH] += tilt
  posture[anatomy.BOW.start] -= tilt
  anatomy.sides(posture)[:, anatomy.HIP.start] -= tilt
  rate, phase = rng.uniform(0.8, 6, count), rng.uniform(0, 2 * np.pi, count)
  size = rng.normal(0, _RESTLESS, count)
  time = np.arange(len(angles)) * dt
  angles = angles + posture + size * np.sin(time[:, None] * rate + phase)
  hinges = anatomy.sides(angles)[..., (anatomy.ELBOW, anatomy.KNEE)]
  anatomy.sides(angles)[..., (anatomy.ELBOW, anatomy.KNEE)] = np.clip(hinges, 0, 2.6)
  return angles
