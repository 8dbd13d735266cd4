"""Walking, running and what lies between: cyclic angle curves with a style."""

import functools
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline

from mhmr_jax.motion import anatomy
from mhmr_jax.motion.anatomy import Array
from mhmr_jax.motion.poses import Generator, leg_rotation, set_hips
from mhmr_jax.motion.track import Track

# Angles (degrees) over a cycle (per cent, from one heel strike to the next of the same
# foot), roughly as gait laboratories publish them.
_WALK = {
  "hip": {0: 28, 12: 24, 30: 8, 50: -11, 60: -5, 74: 22, 86: 32},
  "knee": {0: 5, 13: 18, 26: 11, 40: 5, 50: 12, 60: 37, 72: 61, 85: 32, 96: 4},
  "ankle": {0: 0, 8: -7, 25: 4, 44: 11, 54: 0, 63: -18, 75: -3, 87: 2},
  "toes": {0: 6, 10: 0, 40: 2, 56: 24, 68: 6, 85: 8},
}
_RUN = {
  "hip": {0: 38, 12: 30, 24: 8, 36: -12, 46: -10, 62: 22, 78: 48, 92: 43},
  "knee": {0: 20, 13: 43, 24: 33, 35: 16, 45: 45, 58: 95, 70: 90, 84: 35, 94: 15},
  "ankle": {0: 4, 14: 22, 26: 8, 36: -24, 50: -8, 70: 0, 85: 4},
  "toes": {0: 5, 12: 0, 30: 20, 38: 24, 50: 4},
}
_SAMPLES = 128
# Runners fly between these parts of each half-cycle.
_TAKE_OFF, _FLIGHT = 0.36, 0.14


@functools.cache
def _curves(run: bool) -> Float[Array, "4 samples"]:
  """Hip, knee, ankle and toes over a cycle, in radians."""
  tables: Mapping[str, Mapping[int, float]] = _RUN if run else _WALK
  grid = np.arange(_SAMPLES) / _SAMPLES
  rows = []
  for table in tables.values():
    phase = np.array([*table, 100 + min(table)]) / 100
    value = np.radians([*table.values(), table[min(table)]])
    spline = CubicSpline(phase, value, bc_type="periodic")
    rows.append(spline(grid))
  return np.stack(rows)


def _read(curves: Float[Array, "4 samples"], phase: Array) -> Float[Array, "4 *time"]:
  position = (phase % 1.0) * _SAMPLES
  index = position.astype(int) % _SAMPLES
  part = position - np.floor(position)
  following = curves[:, (index + 1) % _SAMPLES]
  return curves[:, index] * (1 - part) + following * part


def gait(rng: Generator, frames: int, dt: float) -> Track:
  """Walks, runs, marches, sneaks, limps; ahead, backward, sideways or in a curve."""
  effort = np.clip(rng.gamma(2.2, 0.22), 0, 1.6)  # 0 strolls, 1 runs.
  running = np.clip((effort - 0.55) * 4, 0, 1)
  rate = (0.66 + 0.62 * effort) * rng.lognormal(0, 0.12)
  direction = rng.choice([1, -1], p=[0.88, 0.12])
  start = rng.random()
  time = np.arange(frames) * dt
  beat = start + direction * (rate * time + _wander(rng, time, 0.03))
  lag = 0.5 + rng.normal(0, 0.015)
  phase = np.stack([beat, beat + lag], axis=-1)
  curves = (1 - running) * _curves(False) + running * _curves(True)
  hip, knee, ankle, toes = _read(curves, phase)

  scale = rng.lognormal(0, 0.2, 4) * (0.65 + 0.5 * min(effort, 1))
  if rng.random() < 0.15:  # Marching, stepping over or up.
    lift = rng.uniform(0.3, 1.2) * np.clip(np.sin(2 * np.pi * (phase - 0.55)), 0, 1)
    hip, knee = hip + lift, knee + lift * rng.uniform(0.7, 1.4)
  uneven = 1 + rng.normal(0, 0.06, (2, 2)) * (3 if rng.random() < 0.1 else 1)
  crouch = rng.gamma(1.0, 0.1) + (rng.uniform(0, 0.7) if rng.random() < 0.12 else 0)
  hip = hip * scale[0] * uneven[0] + crouch * 0.55
  knee = np.maximum(knee * scale[1] * uneven[1] + crouch, 0.03)
  ankle = ankle * scale[2] + crouch * 0.45

  angles = np.zeros((frames, anatomy.NUM_ANGLES))
  turn = rng.normal(0, 0.25) if rng.random() < 0.6 else rng.normal(0, 1.2)
  angles[:, anatomy.YAW] = turn * time + _wander(rng, time, 0.1)
  _move_trunk(rng, angles, 2 * np.pi * beat, effort, crouch)
  legs = np.zeros((frames, 2, 3))
  side_step = rng.normal(0, 0.35) if rng.random() < 0.08 else 0.0
  legs[..., 0] = hip
  legs[..., 1] = np.radians(rng.normal(2.5, 2.5)) + side_step * np.sin(
    2 * np.pi * phase
  ) * (1, -1)
  legs[..., 2] = np.radians(rng.normal(4, 6, 2))
  set_hips(angles, leg_rotation(legs))
  side = anatomy.sides(angles)
  side[..., anatomy.KNEE] = knee
  side[..., 13], side[..., anatomy.TOES] = ankle, toes
  _swing_arms(rng, angles, phase, effort)
  return Track(angles, _flight(beat, running, rate, rng))


def _move_trunk(
  rng: Generator, angles: Array, cycle: Array, effort: float, crouch: float
) -> None:
  swing, bounce = np.cos(cycle), np.cos(2 * cycle)
  lean = np.radians(rng.normal(3 + 7 * effort, 5)) + 0.25 * crouch
  sway = np.radians(np.abs(rng.normal(0, (5, 4, 7, 2.5, 1.5))))
  angles[:, anatomy.PITCH] = lean * 0.6 + sway[4] * bounce
  angles[:, anatomy.YAW] -= sway[0] * swing
  angles[:, anatomy.ROLL] = sway[1] * np.sin(cycle)
  angles[:, 3] = lean * 0.7 + np.radians(rng.normal(0, 6)) + sway[4] * bounce
  angles[:, 4] = sway[2] * swing + np.radians(rng.normal(0, 4))
  angles[:, 5] = -angles[:, anatomy.ROLL] * rng.uniform(0.3, 1.2)
  angles[:, anatomy.NECK] = np.radians(rng.normal((0, 0, 0), (10, 12, 4)))
  angles[:, 6] -= 0.6 * lean
  angles[:, 7] -= angles[:, 4]


def _swing_arms(rng: Generator, angles: Array, phase: Array, effort: float) -> None:
  """Each arm with the other side's leg."""
  swing = np.cos(2 * np.pi * (phase[:, ::-1] + rng.normal(0.02, 0.03)))
  size = (0.25 + 0.4 * effort) * rng.lognormal(0, 0.5) * rng.lognormal(0, 0.15, 2)
  bend = np.radians(rng.normal(18 + 62 * min(effort, 1), 12, 2))
  arms = np.zeros((len(angles), 2, 3))
  arms[..., 0] = size * swing + np.radians(rng.normal(2, 6)) - 0.1 * bend
  arms[..., 1] = np.radians(np.abs(rng.normal(11, 5, 2)) - 90)
  arms[..., 2] = np.radians(rng.normal(0, 15, 2))
  # The same order as a thigh's, from arms that hang instead of standing out.
  vectors = np.zeros((3, *arms.shape))
  vectors[0, ..., 0], vectors[1, ..., 2] = -arms[..., 0], arms[..., 1]
  vectors[2, ..., 0] = arms[..., 2]
  lift, outward, twist = anatomy.rotation(vectors)
  side = anatomy.sides(angles)
  side[..., anatomy.SHOULDER] = anatomy.shoulder_angles(lift @ outward @ twist)
  side[..., anatomy.ELBOW] = np.maximum(bend + 0.6 * size * swing, 0.05)
  side[..., anatomy.PRONATION] = np.radians(rng.normal(15, 25, 2))
  side[..., anatomy.WRIST] = np.radians(rng.normal(0, 10, (2, 2)))


def _flight(beat: Array, running: float, rate: float, rng: Generator) -> Array:
  if running < 0.5:
    return np.zeros(len(beat))
  part = ((beat % 0.5) - _TAKE_OFF) / _FLIGHT
  height = rng.uniform(0.7, 1.3) * 9.81 * (_FLIGHT / rate) ** 2 / 8
  return np.where((part > 0) & (part < 1), 4 * height * part * (1 - part), 0.0)


def _wander(rng: Generator, time: Array, size: float) -> Array:
  """A slow drift, zero at the start."""
  rate, phase = rng.uniform(0.5, 2.5), rng.uniform(0, 2 * np.pi)
  return size * (np.sin(rate * time + phase) - np.sin(phase))
