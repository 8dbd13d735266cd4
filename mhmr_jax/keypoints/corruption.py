"""Turns projected keypoints into what a 2D pose detector would have reported.

Lengths are fractions of the person's size: the longer side of the box round all 17
points, its median over the clip. Events (misses, outliers, swaps, jumps) last for
several frames: they are thresholds on uniform numbers that are redrawn at random times.
"""

import numpy as np
from jaxtyping import Bool, Float

from mhmr_jax.body.joints import COCO_FLIP, COCO_KEYPOINTS
from mhmr_jax.keypoints.noise import KeypointNoise

# COCO's per-keypoint constants of object keypoint similarity: how far annotators
# disagree about each point, which is also how far detectors differ from each other.
SPREAD = np.array(
  [26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89], np.float32
)
SPREAD = SPREAD / SPREAD.mean()
FLIP = np.array(COCO_FLIP)
LEFT = np.array([i for i, name in enumerate(COCO_KEYPOINTS) if "left" in name])
RIGHT = FLIP[LEFT]
# Rows: left arm, right arm, left leg, right leg, as masks over the points. A limb's
# root (shoulder, hip) stays when the limb is lost.
LIMBS = np.zeros((4, 17), bool)
for _limb, _points in enumerate([(7, 9), (8, 10), (13, 15), (14, 16)]):
  LIMBS[_limb, list(_points)] = True
# What is exchanged together: the eight pairs one by one, then both arms, both legs.
SWAPS = np.zeros((10, 17), np.float32)
for _pair, (_left, _right) in enumerate(zip(LEFT, RIGHT, strict=True)):
  SWAPS[_pair, [_left, _right]] = 1
SWAPS[8, 5:11] = 1
SWAPS[9, 11:17] = 1
# The columns of uniform numbers: misses, outliers, limbs, the frame, swaps.
COLUMNS = np.cumsum([17, 17, len(LIMBS), 1, len(SWAPS)])
_MISS, _OUTLIER, _LIMB, _FRAME, _SWAP = (
  slice(stop - count, stop)
  for stop, count in zip(COLUMNS, np.diff(COLUMNS, prepend=0), strict=True)
)


def corrupt(
  keypoints: Float[np.ndarray, "time 17 3"],
  rng: np.random.Generator,
  noise: KeypointNoise,
  image_size: tuple[int, int] | None = None,
) -> Float[np.ndarray, "time 17 3"]:
  """Returns the detections of one clip.

  Args:
    keypoints: x, y px of all points, visible or not; the third number is visibility,
      0 or 1. A row of three zeros is an unknown point, which stays missing.
    rng: the clip's own generator.
    noise: the detector's noise.
    image_size: width and height, px; without it no point counts as outside.

  Returns:
    x, y px and score in (0, 1]; three zeros where the detector reports nothing.
  """
  known = (keypoints != 0).any(-1)
  if not known.any():
    return np.zeros_like(keypoints, dtype=np.float32)
  true = keypoints[..., :2].astype(np.float32)
  occluded = keypoints[..., 2] <= 0
  size = person_size(true, known)
  quality = np.exp(noise.quality * rng.standard_normal())
  uniform = _held_uniform(rng, len(true), int(COLUMNS[-1]), noise)

  error = size * _jitter(true / size, occluded, quality, rng, noise)
  far = rng.standard_normal((17, 2), np.float32) * (noise.outlier_distance * size)
  error += far * (uniform[:, _OUTLIER] < noise.outlier)[..., None]
  points = true + _definition_offset(true, size, rng, noise) + error

  miss = np.where(occluded, noise.miss_occluded, noise.miss) * min(quality, 2.0)
  if image_size is not None:
    limit = np.array(image_size, np.float32)
    outside = np.asarray(((true < 0) | (true >= limit)).any(-1))
    if outside.any():
      miss = np.where(outside, noise.miss_outside, miss)
      points = np.where(outside[..., None], np.clip(points, 0, limit), points)
  missing = (
    ~known | (uniform[:, _MISS] < miss) | (uniform[:, _FRAME] < noise.miss_frame)
  )
  lost_limbs = uniform[:, _LIMB] < noise.miss_limb
  if lost_limbs.any():
    missing |= lost_limbs @ LIMBS

  factor = np.where(occluded, noise.score_occluded, 1.0)
  score = scores(_length(error) / size, factor, rng, noise)
  detections = np.concatenate([points, score[..., None]], axis=-1, dtype=np.float32)
  detections[missing] = 0
  swapped = _swapped(uniform[:, _SWAP], occluded, noise)
  if swapped.any():
    detections = np.where(swapped[..., None], detections[:, FLIP], detections)
  jumped = _held_uniform(rng, len(true), 1, noise) < noise.jump
  if jumped.any():
    other = _somebody_else(detections, size, rng, image_size)
    detections = np.where(jumped[..., None], other, detections)
  return detections


def _length(
  vectors: Float[np.ndarray, "*batch 2"],
) -> Float[np.ndarray, "*batch"]:
  return np.hypot(vectors[..., 0], vectors[..., 1])


def person_size(
  true: Float[np.ndarray, "time 17 2"], known: Bool[np.ndarray, "time 17"]
) -> float:
  """The longer side of the box round the known points, its median over time."""
  # Points last: NumPy reduces a long contiguous axis several times faster.
  coordinates = np.ascontiguousarray(true.transpose(0, 2, 1))
  mask = known[:, None, :]
  low = coordinates.min(axis=2, initial=np.inf, where=mask)
  high = coordinates.max(axis=2, initial=-np.inf, where=mask)
  side = np.sort((high - low).max(axis=1)[known.any(axis=1)])
  return max(float(side[len(side) // 2]), 1.0)


def _held_uniform(
  rng: np.random.Generator, frames: int, columns: int, noise: KeypointNoise
) -> Float[np.ndarray, "frames columns"]:
  """Uniform numbers that stay as they are for `noise.run` frames on average.

  Where they are below a threshold p is an event that lasts and takes a share p of all
  frames; the threshold may change from frame to frame.
  """
  renewed = rng.random((frames, columns), np.float32) < 1 / noise.run
  start = np.where(renewed, np.arange(frames)[:, None], 0)
  start = np.maximum.accumulate(start, axis=0)
  uniform = rng.random((frames, columns), np.float32)
  return uniform[start, np.arange(columns)]


def _definition_offset(
  true: Float[np.ndarray, "time 17 2"],
  size: float,
  rng: np.random.Generator,
  noise: KeypointNoise,
) -> Float[np.ndarray, "time 17 2"]:
  """The clip's systematic error, px: it moves with the body, not with the image."""
  own, shared = rng.standard_normal((2, 17, 2), np.float32)
  trunk = true[:, 5] + true[:, 6] - true[:, 11] - true[:, 12]
  up = trunk / np.maximum(_length(trunk), 1e-3 * size)[:, None]
  shared[RIGHT] = shared[LEFT]
  spread = SPREAD[:, None] * noise.offset * size
  along = 2 * shared[:, :1] * spread * up[:, None]
  outward = 0.5 * noise.width * shared[:, 1:] * (true - true[:, FLIP])
  return own * spread + along + outward


def autoregression(
  white: Float[np.ndarray, "frames columns"], correlation: float
) -> Float[np.ndarray, "frames columns"]:
  """Turns white noise into stationary AR(1) noise of the same variance.

  x[0] = w[0], x[t] = c x[t - 1] + sqrt(1 - c²) w[t]
  """
  # Importing scipy.signal takes over a second, which programs that add no noise save.
  from scipy import signal

  driving = np.sqrt(1 - correlation**2) * white.astype(np.float64)
  driving[0] = white[0]
  drift = signal.lfilter([1.0], [1.0, -correlation], driving, axis=0)
  return drift.astype(np.float32)


def _jitter(
  true: Float[np.ndarray, "time 17 2"],
  occluded: Bool[np.ndarray, "time 17"],
  quality: float,
  rng: np.random.Generator,
  noise: KeypointNoise,
) -> Float[np.ndarray, "time 17 2"]:
  """Drift, flicker and motion blur, in sizes of the person as `true` is."""
  frames = len(true)
  white = rng.standard_normal((frames, 34), np.float32)
  drift = autoregression(white, noise.correlation).reshape(frames, 17, 2)
  flicker = rng.standard_t(4, (frames, 17, 2)).astype(np.float32)
  scale = quality * SPREAD * np.where(occluded, noise.occluded, 1.0)
  speed = np.zeros((frames, 17), np.float32)
  speed[1:] = _length(true[1:] - true[:-1])
  drift *= (noise.jitter * scale + noise.speed * np.minimum(speed, 0.2))[..., None]
  return drift + flicker * (noise.flicker * scale)[..., None]


def scores(
  error: Float[np.ndarray, "*batch"],
  factor: Float[np.ndarray, "*batch"],
  rng: np.random.Generator,
  noise: KeypointNoise,
) -> Float[np.ndarray, "*batch"]:
  """Scores in (0, 1] that fall with the error, but don't reveal it exactly.

  Args:
    error: the error as a share of the person's size.
    factor: `noise.score_occluded` where a point is occluded, else 1.
    rng: the clip's generator.
    noise: the detector's noise.
  """
  if rng.random() < noise.score_constant:
    return np.ones_like(error)
  gamma = noise.score_power * np.exp(noise.score_gamma * rng.standard_normal())
  blur = rng.uniform(0.5, 1.5, error.shape)
  fallen = error / noise.score_error + rng.uniform(0, 0.3, error.shape)
  return np.clip((factor * np.exp(-blur * fallen)) ** gamma, 0.02, 1.0)


def _swapped(
  u_swap: Float[np.ndarray, "time 10"],
  occluded: Bool[np.ndarray, "time 17"],
  noise: KeypointNoise,
) -> Bool[np.ndarray, "time 17"]:
  """Whether each point is at its partner's place; two swaps at once cancel out."""
  either = occluded[:, LEFT] | occluded[:, RIGHT]
  pairs = u_swap[:, :8] < np.where(either, 3 * noise.swap, noise.swap)
  limbs = u_swap[:, 8:] < noise.swap_limbs
  events = np.concatenate([pairs, limbs], axis=1, dtype=np.float32)
  return (events @ SWAPS) % 2 == 1


def _somebody_else(
  detections: Float[np.ndarray, "time 17 3"],
  size: float,
  rng: np.random.Generator,
  image_size: tuple[int, int] | None,
) -> Float[np.ndarray, "time 17 3"]:
  """The clip's own points backwards, mirrored or not, elsewhere and in another size."""
  other = detections[::-1].copy()
  reported = other[..., 2] > 0
  if not reported.any():
    return other
  centre = other[reported][:, :2].mean(axis=0)
  scale = np.exp(rng.normal(0, 0.2, 2)) * [rng.choice([-1, 1]), 1]
  shift = np.array([rng.choice([-1, 1]) * rng.uniform(0.5, 2), rng.normal(0, 0.15)])
  if scale[0] < 0:
    other = other[:, FLIP]
  other[..., :2] = (other[..., :2] - centre) * scale + centre + shift * size
  gone = other[..., 2] == 0
  if image_size is not None:
    gone |= np.any((other[..., :2] < 0) | (other[..., :2] >= image_size), axis=-1)
  other[gone] = 0
  return other
