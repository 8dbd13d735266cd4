"""`corruption` on the device: one clip's points as a 2D pose detector reports them.

It draws from the same distributions as `corruption.corrupt`, with JAX's generators, for
examples that are made on the device. It leaves out jumps to
somebody else and the image's borders; instead, a lower border may cut the clip.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from mhmr_jax.keypoints.corruption import (
  COLUMNS,
  FLIP,
  LEFT,
  LIMBS,
  RIGHT,
  SPREAD,
  SWAPS,
)
from mhmr_jax.keypoints.noise import KeypointNoise
from mhmr_jax.runtime.draws import Draws

# Uniform numbers a frame for misses, outliers, limbs, the frame and swaps.
_EVENTS = int(COLUMNS[-1])
# The share of clips whose points lag behind, and the longest delay in frames.
_LAGGING, _MOST_DELAY = 0.5, 0.8
# How many numbers `corrupt` takes: for each frame, and besides.
NORMALS, UNIFORMS, MORE = 2 * 34, 2 * _EVENTS + 2 * 34 + 2 * 17, 130
# The chance that the lower border of the image cuts the person, and where it may lie,
# from the top (0) to the bottom (1) of the person.
_CUT = 0.15
_CUT_RANGE = (0.45, 1.0)


def corrupt(
  true: Float[Array, "time 17 2"],
  occluded: Bool[Array, "time 17"],
  draws: Draws,
  noise: KeypointNoise,
) -> Float[Array, "time 17 3"]:
  """Returns the detections of one clip.

  Args:
    true: the projected points, in any unit.
    occluded: which points something hides.
    draws: hands out `NORMALS` and `UNIFORMS` numbers a frame, and `MORE` of each.
    noise: the detector's noise.

  Returns:
    x, y in the same unit and the score in (0, 1]; zeros where nothing is reported.
  """
  frames = len(true)
  low, high = jnp.min(true, axis=1), jnp.max(true, axis=1)
  size = jnp.maximum(jnp.median(jnp.max(high - low, axis=-1)), 1e-6)
  quality = jnp.exp(noise.quality * draws.normal())
  u_miss, u_outlier, u_limb, u_frame, u_swap = jnp.split(
    _held_uniform(draws, frames, noise.run), COLUMNS[:-1], axis=-1
  )

  true = _delayed(true, draws)
  error = size * _jitter(true / size, occluded, quality, draws, noise)
  far = noise.outlier_distance * size * draws.normal(17, 2)
  error = error + jnp.where((u_outlier < noise.outlier)[..., None], far, 0.0)
  points = true + _definition_offset(true, size, draws, noise) + error

  miss = jnp.where(occluded, noise.miss_occluded, noise.miss) * jnp.minimum(quality, 2)
  missing = (u_miss < miss) | (u_frame < noise.miss_frame)
  limbs = (u_limb < noise.miss_limb).astype(jnp.float32) @ LIMBS
  missing = missing | (limbs > 0)
  outside, border = _cut(true, draws)
  missing = jnp.where(outside, u_miss < noise.miss_outside, missing)
  lowered = jnp.minimum(points[..., 1], border)
  points = points.at[..., 1].set(jnp.where(outside, lowered, points[..., 1]))

  distance = jnp.sqrt(jnp.sum(jnp.square(error), axis=-1)) / size
  factor = jnp.where(occluded, noise.score_occluded, 1.0)
  score = _scores(distance, factor, draws, noise)
  detections = jnp.concatenate([points, score[..., None]], axis=-1)
  detections = jnp.where(missing[..., None], 0.0, detections)
  swapped = _swapped(u_swap, occluded, noise)
  return jnp.where(swapped[..., None], detections[:, FLIP], detections)


def _delayed(
  true: Float[Array, "time 17 2"], draws: Draws
) -> Float[Array, "time 17 2"]:
  """Some clips' points lag behind, as those of detectors that smooth over time do."""
  lags, share = draws.uniform(2)
  own = draws.uniform(17, 1, low=0.5, high=1.5)
  delay = jnp.where(lags < _LAGGING, _MOST_DELAY * share, 0.0) * own
  before = jnp.concatenate([true[:1], true[:-1]])
  return true + jnp.minimum(delay, 1.0) * (before - true)


def _held_uniform(draws: Draws, frames: int, run: float) -> Float[Array, "frames 49"]:
  """Uniform numbers that stay as they are for `run` frames on average."""
  renewed = draws.uniform(frames, _EVENTS) < 1 / run
  start = jnp.where(renewed, jnp.arange(frames)[:, None], 0)
  start = jax.lax.cummax(start, axis=0)
  uniform = draws.uniform(frames, _EVENTS)
  return jnp.take_along_axis(uniform, start, axis=0)


def _definition_offset(
  true: Float[Array, "time 17 2"],
  size: Float[Array, ""],
  draws: Draws,
  noise: KeypointNoise,
) -> Float[Array, "time 17 2"]:
  """The clip's systematic error, which moves with the body."""
  own, shared = draws.normal(2, 17, 2)
  shared = shared.at[RIGHT].set(shared[LEFT])
  trunk = true[:, 5] + true[:, 6] - true[:, 11] - true[:, 12]
  length = jnp.sqrt(jnp.sum(jnp.square(trunk), axis=-1))
  up = trunk / jnp.maximum(length, 1e-3 * size)[:, None]
  spread = SPREAD[:, None] * noise.offset * size
  along = 2 * shared[:, :1] * spread * up[:, None]
  outward = 0.5 * noise.width * shared[:, 1:] * (true - true[:, FLIP])
  return own * spread + along + outward


@functools.cache
def _autoregression(frames: int, correlation: float) -> np.ndarray:
  """The matrix that turns white noise into stationary AR(1) noise."""
  lag = np.arange(frames)[:, None] - np.arange(frames)
  matrix = np.where(lag >= 0, correlation ** np.maximum(lag, 0), 0.0)
  matrix[:, 1:] *= np.sqrt(1 - correlation**2)
  return matrix.astype(np.float32)


def _jitter(
  true: Float[Array, "time 17 2"],
  occluded: Bool[Array, "time 17"],
  quality: Float[Array, ""],
  draws: Draws,
  noise: KeypointNoise,
) -> Float[Array, "time 17 2"]:
  """Drift, flicker and motion blur, in sizes of the person as `true` is."""
  matrix = _autoregression(len(true), noise.correlation)
  drift = jnp.einsum("st,tkc->skc", matrix, draws.normal(*true.shape))
  # Sampling Student's t exactly needs a loop; with 4 degrees of freedom it is normal
  # noise over the root of half a sum of two exponential draws.
  chi_square = -jnp.log(draws.uniform(2, *true.shape, low=1e-6))
  flicker = draws.normal(*true.shape) * jax.lax.rsqrt(jnp.sum(chi_square, axis=0) / 2)
  scale = quality * SPREAD * jnp.where(occluded, noise.occluded, 1.0)
  steps = jnp.sqrt(jnp.sum(jnp.square(true[1:] - true[:-1]), axis=-1))
  speed = jnp.concatenate([jnp.zeros((1, 17)), jnp.minimum(steps, 0.2)])
  drift = drift * (noise.jitter * scale + noise.speed * speed)[..., None]
  return drift + flicker * (noise.flicker * scale)[..., None]


def _cut(
  true: Float[Array, "time 17 2"], draws: Draws
) -> tuple[Bool[Array, "time 17"], Float[Array, ""]]:
  """The points below the image's lower border, and where the border is."""
  happens, place = draws.uniform(2)
  top, bottom = jnp.min(true[..., 1]), jnp.max(true[..., 1])
  share = _CUT_RANGE[0] + (_CUT_RANGE[1] - _CUT_RANGE[0]) * place
  border = top + share * (bottom - top)
  return (happens < _CUT) & (true[..., 1] > border), border


def _scores(
  error: Float[Array, "time 17"],
  factor: Float[Array, "time 17"],
  draws: Draws,
  noise: KeypointNoise,
) -> Float[Array, "time 17"]:
  """As `corruption.scores`."""
  constant = draws.happens(noise.score_constant)
  gamma = noise.score_power * jnp.exp(noise.score_gamma * draws.normal())
  blur = draws.uniform(*error.shape, low=0.5, high=1.5)
  fallen = error / noise.score_error + draws.uniform(*error.shape, high=0.3)
  score = jnp.clip((factor * jnp.exp(-blur * fallen)) ** gamma, 0.02, 1.0)
  return jnp.where(constant, 1.0, score)


def _swapped(
  u_swap: Float[Array, "time 10"],
  occluded: Bool[Array, "time 17"],
  noise: KeypointNoise,
) -> Bool[Array, "time 17"]:
  """Whether each point is at its partner's place; two swaps at once cancel out."""
  either = occluded[:, LEFT] | occluded[:, RIGHT]
  pairs = u_swap[:, :8] < jnp.where(either, 3 * noise.swap, noise.swap)
  limbs = u_swap[:, 8:] < noise.swap_limbs
  events = jnp.concatenate([pairs, limbs], axis=1).astype(jnp.float32)
  return (events @ SWAPS) % 2 == 1
