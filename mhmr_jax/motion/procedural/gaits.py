"""Walking, running and gaits between them: cyclic curves of angles with a style."""

import functools
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline

from mhmr_jax.motion.procedural import anatomy
from mhmr_jax.motion.procedural.pieces import Piece
from mhmr_jax.motion.procedural.poses import Generator, leg_rotation, set_hips

# Angles in degrees at percentages of a cycle (from one heel strike of a foot to its
# next), roughly as gait laboratories publish them. Hips count from the upright thigh,
# soles from the level (toes up is positive).
_WALK = {
  "hip": {0: 20, 12: 17, 30: 1, 50: -18, 60: -12, 74: 15, 86: 23},
  "knee": {0: 5, 13: 18, 26: 11, 40: 5, 50: 12, 60: 39, 71: 64, 85: 33, 96: 4},
  "sole": {0: 19, 9: 1, 20: 0, 36: -3, 50: -24, 61: -52, 70: -30, 79: 0, 90: 15},
  "toes": {0: 6, 10: 0, 40: 2, 56: 24, 68: 6, 85: 8},
}
_RUN = {
  "hip": {0: 31, 12: 23, 24: 2, 36: -18, 46: -16, 62: 17, 78: 43, 92: 36},
  "knee": {0: 20, 13: 43, 24: 33, 35: 16, 45: 45, 58: 95, 70: 90, 84: 35, 94: 15},
  "sole": {0: 8, 9: 0, 22: -5, 36: -52, 48: -76, 60: -76, 73: -36, 85: 0, 94: 11},
  "toes": {0: 5, 12: 0, 30: 20, 38: 24, 50: 4},
}
_SAMPLES = 128
# The part of a cycle at which runners leave the ground, and how long they fly.
_TAKE_OFF, _FLIGHT = 0.36, 0.14


@functools.cache
def _curves(run: bool) -> Float[np.ndarray, "4 samples"]:
  """Hip, knee, sole and toes over a cycle, in radians."""
  tables: Mapping[str, Mapping[int, float]] = _RUN if run else _WALK
  grid = np.arange(_SAMPLES) / _SAMPLES
  rows = []
  for table in tables.values():
    phase = np.array([*table, 100 + min(table)]) / 100
    value = np.radians([*table.values(), table[min(table)]])
    spline = CubicSpline(phase, value, bc_type="periodic")
    rows.append(spline(grid))
  return np.stack(rows)


def _styled(
  rng: Generator, effort: float, running: float
) -> tuple[Float[np.ndarray, "4 2 samples"], float]:
  """Each side's curves in a random style, and how bent the legs are throughout."""
  both = (1 - running) * _curves(False) + running * _curves(True)
  scale = rng.lognormal(0, (0.07, 0.07, 0.12, 0.2)) * rng.lognormal(0, 0.15)
  scale[2] = min(scale[1:3])  # A foot can only point down as far as the knee bends.
  scale = scale[:, None] * (0.7 + 0.45 * min(effort, 1))
  hip, knee, sole, toes = both * scale
  if rng.random() < 0.15:  # Marching, or stepping over or onto something.
    grid = np.arange(_SAMPLES) / _SAMPLES
    lift = rng.uniform(0.3, 1.2) * np.clip(np.sin(2 * np.pi * (grid - 0.55)), 0, 1)
    hip, knee = hip + lift, knee + lift * rng.uniform(0.7, 1.4)
  uneven = 1 + rng.normal(0, 0.06, (2, 2, 1)) * (3 if rng.random() < 0.1 else 1)
  crouch = rng.gamma(1.0, 0.1) + (rng.uniform(0, 0.7) if rng.random() < 0.12 else 0)
  hips = hip * uneven[0] + crouch * 0.55
  knees = np.maximum(knee * uneven[1] + crouch, 0.03)
  hips = hips + _even_pace(hips, knees, sole, (1 - running) * 0.6 + running * 0.37)
  ankles = np.clip(sole - hips + knees, -0.9, 0.6)
  return np.stack([hips, knees, ankles, np.stack([toes, toes])]), crouch


def _even_pace(
  hips: Float[np.ndarray, "2 samples"],
  knees: Float[np.ndarray, "2 samples"],
  sole: Float[np.ndarray, "samples"],
  stance: float,
) -> Float[np.ndarray, "2 samples"]:
  """The change of the hips' angles that gives the standing foot an even speed."""
  rest = anatomy.leg()
  shin = hips - knees
  upper, lower = np.linalg.norm(rest.upper), np.linalg.norm(rest.lower)
  forward = upper * np.sin(hips) + lower * np.sin(shin)
  down = upper * np.cos(hips) + lower * np.cos(shin)
  points = []
  for along, below in ((-0.05, 0.07), (0.16, 0.07)):  # Heel and toes, from the ankle.
    ahead = forward + along * np.cos(sole) + below * np.sin(sole)
    points.append((ahead, down + below * np.cos(sole) - along * np.sin(sole)))
  (heel, heel_down), (toes, toes_down) = points
  on_toes = 1 / (1 + np.exp(np.clip((heel_down - toes_down) / 0.01, -50, 50)))
  speed = _slope(heel) * (1 - on_toes) + _slope(toes) * on_toes
  phase = np.arange(_SAMPLES) / _SAMPLES
  standing = np.clip(np.minimum(phase, stance - phase) / 0.04 + 0.5, 0, 1)
  mean = (standing * speed).sum(axis=1, keepdims=True) / standing.sum()
  turn = standing * (mean - speed) / np.maximum(down, 0.4)
  return np.cumsum(turn, axis=1)


def _slope(values: Float[np.ndarray, "2 samples"]) -> Float[np.ndarray, "2 samples"]:
  """The change from one sample of the cycle to the next."""
  return (np.roll(values, -1, axis=-1) - np.roll(values, 1, axis=-1)) / 2


def _read(
  curves: Float[np.ndarray, "4 2 samples"], phase: Float[np.ndarray, "time 2"]
) -> Float[np.ndarray, "4 time 2"]:
  position = (phase % 1.0) * _SAMPLES
  index = position.astype(int) % _SAMPLES
  part = position - np.floor(position)
  side = np.arange(2)
  following = curves[:, side, (index + 1) % _SAMPLES]
  return curves[:, side, index] * (1 - part) + following * part


def gait(rng: Generator, frames: int, dt: float) -> Piece:
  """Walks, runs, marches, sneaks or limps, ahead, backward, sideways or in a curve."""
  effort = float(np.clip(rng.gamma(2.2, 0.22), 0, 1.6))  # 0 strolls, 1 runs.
  running = float(np.clip((effort - 0.55) * 4, 0, 1))
  rate = (0.66 + 0.62 * effort) * rng.lognormal(0, 0.12)
  direction = rng.choice([1, -1], p=[0.88, 0.12])
  time = np.arange(frames) * dt
  beat = rng.random() + direction * (rate * time + _wander(rng, time, 0.03))
  phase = np.stack([beat, beat + 0.5 + rng.normal(0, 0.015)], axis=-1)
  curves, crouch = _styled(rng, effort, running)
  hip, knee, ankle, toes = _read(curves, phase)

  angles = np.zeros((frames, anatomy.NUM_ANGLES))
  turn = rng.normal(0, 0.25) if rng.random() < 0.6 else rng.normal(0, 1.2)
  angles[:, anatomy.YAW] = turn * time + _wander(rng, time, 0.1)
  _move_trunk(rng, angles, 2 * np.pi * beat, effort, crouch)
  legs = np.zeros((frames, 2, 3))
  legs[..., 0] = hip
  legs[..., 1] = np.radians(rng.normal(2.5, 2.5))
  if rng.random() < 0.08:  # Sideways.
    legs[..., 1] += rng.normal(0, 0.35) * np.sin(2 * np.pi * phase) * (1, -1)
  legs[..., 2] = np.radians(rng.normal(3, 6, 2))
  set_hips(angles, leg_rotation(legs))
  side = anatomy.sides(angles)
  side[..., anatomy.KNEE] = knee
  side[..., anatomy.ANKLE_UP], side[..., anatomy.TOES_UP] = ankle, toes
  _swing_arms(rng, angles, phase, effort)
  return Piece(angles, _flight(beat, running, rate, rng))


def _move_trunk(
  rng: Generator,
  angles: Float[np.ndarray, "time angles"],
  cycle: Float[np.ndarray, "time"],
  effort: float,
  crouch: float,
) -> None:
  swing, bounce = np.cos(cycle), np.cos(2 * cycle)
  lean = np.radians(rng.normal(3 + 7 * effort, 5)) + 0.25 * crouch
  sway = np.radians(np.abs(rng.normal(0, (5, 1.7, 7, 2.5, 1.5))))
  angles[:, anatomy.PITCH] = lean * 0.6 + sway[4] * bounce
  angles[:, anatomy.YAW] -= sway[0] * swing
  angles[:, anatomy.ROLL] = sway[1] * np.sin(cycle)
  angles[:, anatomy.SPINE_BEND] = (
    lean * 0.7 + np.radians(rng.normal(0, 6)) + sway[4] * bounce
  )
  angles[:, anatomy.SPINE_TURN] = sway[2] * swing + np.radians(rng.normal(0, 4))
  angles[:, anatomy.SPINE_LEAN] = -angles[:, anatomy.ROLL] * rng.uniform(0.3, 1.2)
  angles[:, anatomy.NECK] = np.radians(rng.normal((0, 0, 0), (10, 12, 4)))
  angles[:, anatomy.NECK_BEND] -= 0.6 * lean
  angles[:, anatomy.NECK_TURN] -= angles[:, anatomy.SPINE_TURN]


def _swing_arms(
  rng: Generator,
  angles: Float[np.ndarray, "time angles"],
  phase: Float[np.ndarray, "time 2"],
  effort: float,
) -> None:
  """Swings each arm with the other side's leg."""
  swing = np.cos(2 * np.pi * (phase[:, ::-1] + rng.normal(0.02, 0.03)))
  size = (0.25 + 0.4 * effort) * rng.lognormal(0, 0.5) * rng.lognormal(0, 0.15, 2)
  bend = np.radians(rng.normal(18 + 62 * min(effort, 1), 12, 2))
  arms = np.zeros((len(angles), 2, 3))
  arms[..., 0] = size * swing + np.radians(rng.normal(2, 6)) - 0.1 * bend
  arms[..., 1] = np.radians(np.abs(rng.normal(11, 5, 2)) - 90)
  arms[..., 2] = np.radians(rng.normal(0, 15, 2))
  # Rotations in the same order as a thigh's, from hanging arms instead of the T-pose.
  vectors = np.zeros((3, *arms.shape))
  vectors[0, ..., 0], vectors[1, ..., 2] = -arms[..., 0], arms[..., 1]
  vectors[2, ..., 0] = arms[..., 2]
  lift, outward, twist = anatomy.rotation(vectors)
  side = anatomy.sides(angles)
  side[..., anatomy.SHOULDER] = anatomy.shoulder_angles(lift @ outward @ twist)
  side[..., anatomy.ELBOW] = np.maximum(bend + 0.6 * size * swing, 0.05)
  side[..., anatomy.PRONATION] = np.radians(rng.normal(15, 25, 2))
  side[..., anatomy.WRIST] = np.radians(rng.normal(0, 10, (2, 2)))


def _flight(
  beat: Float[np.ndarray, "time"], running: float, rate: float, rng: Generator
) -> Float[np.ndarray, "time"]:
  """Metres that a runner is lifted off the ground."""
  if running < 0.5:
    return np.zeros(len(beat))
  part = ((beat % 0.5) - _TAKE_OFF) / _FLIGHT
  height = rng.uniform(0.7, 1.3) * 9.81 * (_FLIGHT / rate) ** 2 / 8
  return np.where((part > 0) & (part < 1), 4 * height * part * (1 - part), 0.0)


def _wander(
  rng: Generator, time: Float[np.ndarray, "time"], size: float
) -> Float[np.ndarray, "time"]:
  """A slow drift, zero at the start."""
  rate, phase = rng.uniform(0.5, 2.5), rng.uniform(0, 2 * np.pi)
  return size * (np.sin(rate * time + phase) - np.sin(phase))
