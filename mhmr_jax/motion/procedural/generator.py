"""Generates clips: random actions, joined smoothly and set on the ground.

Each action has a style of its own. The path of the pelvis follows from the points that
touch the ground.
"""

import numpy as np
from jaxtyping import Float

from mhmr_jax.motion.pose_sequence import PoseSequence
from mhmr_jax.motion.procedural import actions, anatomy
from mhmr_jax.motion.procedural.pieces import Piece, join, pelvis_path
from mhmr_jax.motion.procedural.poses import Generator

_NAMES = tuple(actions.ACTIONS)
_WEIGHTS = np.array([weight for _, weight in actions.ACTIONS.values()])
_HANGING = 0.03  # The part of the clips in which a person hangs from the hands.
# Standard deviations of each angle's constant offset and of its slow oscillation.
_HABIT, _RESTLESS = np.radians(3.0), np.radians(1.6)
_MAX_HINGE = 2.6  # Radians.


def generate(seed: int, frames: int, fps: float = 30.0) -> PoseSequence:
  """Generates a clip, the same for the same seed, number of frames and rate.

  Args:
    seed: the seed of the random generator.
    frames: how many.
    fps: frames per second.
  """
  rng = np.random.default_rng(seed)
  hanging = rng.random() < _HANGING
  piece = _hang(rng, frames, 1 / fps) if hanging else _act(rng, frames, fps)
  angles = _habits(rng, piece.angles, 1 / fps)
  angles[:, anatomy.YAW] += rng.uniform(-np.pi, np.pi)
  local = anatomy.local_rotations(angles)
  points, world = anatomy.forward_kinematics(local)
  transl = pelvis_path(points, world, piece.lift, 1 / fps, by_hands=hanging)
  pose = anatomy.rotation_vector(local)
  return PoseSequence(pose.astype(np.float32), transl.astype(np.float32), fps)


def _hang(rng: Generator, frames: int, dt: float) -> Piece:
  return actions.strung(("hang", "hang", "climb"))(rng, frames, dt)


def _act(rng: Generator, frames: int, fps: float) -> Piece:
  overlap = max(2, round(rng.uniform(0.25, 0.6) * fps))
  pieces: list[Piece] = []
  generated = 0
  while generated < frames:
    length = round(rng.uniform(1.2, 5.0) * fps) + overlap
    if generated + length > frames - fps / 2:  # No last action of a few frames.
      length = frames - generated
    name = _NAMES[rng.choice(len(_NAMES), p=_WEIGHTS / _WEIGHTS.sum())]
    extra = overlap if pieces else 0
    pieces.append(actions.ACTIONS[name][0](rng, length + extra, 1 / fps))
    generated += length
  return join(pieces, overlap)


def _habits(
  rng: Generator, angles: Float[np.ndarray, "time angles"], dt: float
) -> Float[np.ndarray, "time angles"]:
  """Adds a person's own posture, and the small motion of never being quite still."""
  count = anatomy.NUM_ANGLES
  posture = rng.normal(0, _HABIT, count)
  posture[anatomy.YAW] = 0
  # A tilt of the pelvis bends the lower back, and neither the legs nor the chest.
  tilt = rng.normal(0, np.radians(5))
  posture[anatomy.PITCH] += tilt
  posture[anatomy.BOW.start] -= tilt
  anatomy.sides(posture)[:, anatomy.HIP.start] -= tilt
  rate, phase = rng.uniform(0.8, 6, count), rng.uniform(0, 2 * np.pi, count)
  size = rng.normal(0, _RESTLESS, count)
  time = np.arange(len(angles)) * dt
  angles = angles + posture + size * np.sin(time[:, None] * rate + phase)
  hinges = anatomy.sides(angles)[..., (anatomy.ELBOW, anatomy.KNEE)]
  anatomy.sides(angles)[..., (anatomy.ELBOW, anatomy.KNEE)] = np.clip(
    hinges, 0, _MAX_HINGE
  )
  return angles
