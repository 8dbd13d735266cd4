"""Turns projected keypoints into what a 2D pose detector would have reported.

Lengths are fractions of the person's size: the longer side of the box round all 17
points, its median over the clip.
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Bool, Float

from mhmr_jax.body.joints import COCO_FLIP, COCO_KEYPOINTS

# COCO's per-keypoint constants of object keypoint similarity: how far annotators
# disagree about each point, which is also how far detectors differ from each other.
SPREAD = np.array(
  [26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89], np.float32
)
SPREAD = SPREAD / SPREAD.mean()
_FLIP = np.array(COCO_FLIP)
_LEFT = np.array([i for i, name in enumerate(COCO_KEYPOINTS) if "left" in name])
_RIGHT = _FLIP[_LEFT]
# Rows: left arm, right arm, left leg, right leg, as masks over the points. A limb's
# root (shoulder, hip) stays when the limb is lost.
LIMBS = np.zeros((4, 17), bool)
for _limb, _points in enumerate([(7, 9), (8, 10), (13, 15), (14, 16)]):
  LIMBS[_limb, list(_points)] = True
# What is exchanged together: the eight pairs one by one, then both arms, both legs.
_SWAPS = np.zeros((10, 17), np.float32)
for _pair, (_left, _right) in enumerate(zip(_LEFT, _RIGHT, strict=True)):
  _SWAPS[_pair, [_left, _right]] = 1
_SWAPS[8, 5:11] = 1
_SWAPS[9, 11:17] = 1


@dataclasses.dataclass(frozen=True)
class KeypointNoise:
  """How a detector errs. Probabilities are the share of frames, not of onsets.

  Attributes:
    offset: standard deviation of a clip's constant error: the detector's idea of a
      joint differs from the body's. Hips get 1.6 times as much, eyes 0.4 (COCO's
      spread). Twice as much again is shared by left and right along the trunk.
    width: standard deviation of a clip's factor on the distance between left and
      right (detectors disagree on how wide hips and shoulders are).
    jitter: standard deviation of the error that drifts from frame to frame.
    correlation: of that drift between neighbouring frames.
    flicker: scale of the error that is new in every frame; Student's t, 4 degrees.
    speed: error added by a movement of 1 (motion blur), drifting as `jitter` does.
    occluded: factor on jitter and flicker of a point that can't be seen.
    quality: standard deviation of the log of a clip's factor on jitter, flicker and
      misses: some detectors and videos are better than others.
    outlier: probability that a point is somewhere else on the body.
    outlier_distance: how far away it is then.
    miss: probability that a visible point is not reported.
    miss_occluded: the same where the point can't be seen; else it is guessed.
    miss_outside: the same outside the frame; else it is reported at the border.
    miss_limb: probability that a forearm or lower leg is not reported.
    miss_frame: probability that nothing is reported.
    swap: probability that left and right of one pair are exchanged; threefold where
      one of the two can't be seen.
    swap_limbs: probability that both arms, or both legs, are exchanged.
    jump: probability that all points are those of somebody else: about as large, in
      another pose, half a size to two sizes to the side.
    run: mean length in frames of an outlier, a miss, a swap or a jump.
    score_error: the error at which the score has fallen to 1/e.
    score_occluded: factor on the score of a point that can't be seen.
    score_power: median of a clip's exponent on all scores; below 1 they are higher.
    score_gamma: standard deviation of that exponent's log: the network must not
      depend on one detector's calibration.
    score_constant: probability that a clip's scores are all 1.
  """

  offset: float = 0.008
  width: float = 0.1
  jitter: float = 0.007
  correlation: float = 0.9
  flicker: float = 0.0025
  speed: float = 0.15
  occluded: float = 2.5
  quality: float = 0.4
  outlier: float = 0.005
  outlier_distance: float = 0.12
  miss: float = 0.01
  miss_occluded: float = 0.15
  miss_outside: float = 0.85
  miss_limb: float = 0.01
  miss_frame: float = 0.005
  swap: float = 0.004
  swap_limbs: float = 0.015
  jump: float = 0.002
  run: float = 5.0
  score_error: float = 0.06
  score_occluded: float = 0.6
  score_power: float = 1.0
  score_gamma: float = 0.5
  score_constant: float = 0.1


# Another detector, for the shifted domain of the synthetic clips: it places joints
# elsewhere, flickers more than it drifts, gives up sooner, and scores otherwise.
SHIFTED = KeypointNoise(
  offset=0.014,
  width=0.2,
  jitter=0.004,
  correlation=0.5,
  flicker=0.006,
  speed=0.05,
  occluded=1.2,
  quality=0.1,
  outlier=0.015,
  outlier_distance=0.3,
  miss=0.03,
  miss_occluded=0.5,
  miss_outside=0.3,
  miss_limb=0.03,
  miss_frame=0.02,
  swap=0.01,
  swap_limbs=0.03,
  run=2.0,
  score_error=0.15,
  score_occluded=0.25,
  score_gamma=0.1,
  score_constant=0.0,
  jump=0.006,
  score_power=0.7,
)


def corrupt(
  keypoints: Float[np.ndarray, "time 17 3"],
  rng: np.random.Generator,
  noise: KeypointNoise,
  image_size: tuple[int, int] | None = None,
) -> Float[np.ndarray, "time 17 3"]:
  """Returns the detections of one clip.

  Args:
    keypoints: x, y px of all points, seen or not; the third number is visibility, 0
      or 1. A row of three zeros is a point that nobody knows, and stays missing.
    rng: the clip's own generator.
    noise: the detector.
    image_size: width and height px; without it no point counts as outside.

  Returns:
    x, y px and score in (0, 1]; three zeros where the detector reports nothing.
  """
  known = np.any(keypoints != 0, axis=-1)
  if not known.any():
    return np.zeros_like(keypoints, dtype=np.float32)
  true = keypoints[..., :2].astype(np.float32)
  hidden = keypoints[..., 2] <= 0
  size = person_size(true, known)
  quality = np.exp(noise.quality * rng.standard_normal())
  held = _held_uniform(rng, len(true), 2 * 17 + len(LIMBS) + 1 + len(_SWAPS), noise)
  u_point, u_outlier = held[:, :17], held[:, 17:34]
  u_limb, u_frame, u_swap = held[:, 34:38], held[:, 38:39], held[:, 39:]

  error = size * _jitter(true / size, hidden, quality, rng, noise)
  far = rng.standard_normal((17, 2), np.float32) * (noise.outlier_distance * size)
  error += np.where((u_outlier < noise.outlier)[..., None], far, 0)
  points = true + _definition_offset(true, size, rng, noise) + error

  miss = np.where(hidden, noise.miss_occluded, noise.miss) * min(quality, 2.0)
  report_factor = np.where(hidden, noise.score_occluded, 1.0)
  if image_size is not None:
    limit = np.array(image_size, np.float32)
    outside = np.any((true < 0) | (true >= limit), axis=-1)
    miss = np.where(outside, noise.miss_outside, miss)
    points = np.where(outside[..., None], np.clip(points, 0, limit), points)
  missing = ~known | (u_point < miss) | (u_frame < noise.miss_frame)
  missing |= (u_limb < noise.miss_limb) @ LIMBS

  score = scores(_length(error) / size, report_factor, rng, noise)
  detections = np.concatenate([points, score[..., None]], axis=-1, dtype=np.float32)
  detections[missing] = 0
  swapped = _swapped(u_swap, hidden, noise)
  detections = np.where(swapped[..., None], detections[:, _FLIP], detections)
  jumped = _held_uniform(rng, len(true), 1, noise) < noise.jump
  if jumped.any():
    other = _somebody_else(detections, size, rng, image_size)
    detections = np.where(jumped[..., None], other, detections)
  return detections


def _length(vectors: np.ndarray) -> np.ndarray:
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
) -> np.ndarray:
  """Uniform numbers that stay as they are for `noise.run` frames on average.

  Below a threshold p they make events that last, with a share p of all frames, and
  the threshold may change from frame to frame.
  """
  renewed = rng.random((frames, columns), np.float32) < 1 / noise.run
  start = np.where(renewed, np.arange(frames)[:, None], 0)
  start = np.maximum.accumulate(start, axis=0)
  uniform = rng.random((frames, columns), np.float32)
  return uniform[start, np.arange(columns)]


def _definition_offset(
  true: np.ndarray, size: float, rng: np.random.Generator, noise: KeypointNoise
) -> np.ndarray:
  """The clip's systematic error, px: it moves with the body, not with the image."""
  own, shared = rng.standard_normal((2, 17, 2), np.float32)
  trunk = true[:, 5] + true[:, 6] - true[:, 11] - true[:, 12]
  up = trunk / np.maximum(_length(trunk), 1e-3 * size)[:, None]
  shared[_RIGHT] = shared[_LEFT]
  spread = SPREAD[:, None] * noise.offset * size
  along = 2 * shared[:, :1] * spread * up[:, None]
  outward = 0.5 * noise.width * shared[:, 1:] * (true - true[:, _FLIP])
  return own * spread + along + outward


@functools.lru_cache(maxsize=32)
def _autoregression(frames: int, correlation: float) -> np.ndarray:
  """Turns white noise into a stationary AR(1) process of the same variance."""
  lag = np.arange(frames)[:, None] - np.arange(frames)
  matrix = np.where(lag >= 0, correlation ** np.maximum(lag, 0), 0.0)
  matrix[:, 1:] *= np.sqrt(1 - correlation**2)
  return matrix.astype(np.float32)


def _jitter(
  true: np.ndarray,
  hidden: np.ndarray,
  quality: float,
  rng: np.random.Generator,
  noise: KeypointNoise,
) -> np.ndarray:
  """Drift, flicker and motion blur [time, 17, 2] in sizes of the person."""
  frames = len(true)
  white = rng.standard_normal((frames, 34), np.float32)
  drift = (_autoregression(frames, noise.correlation) @ white).reshape(frames, 17, 2)
  flicker = rng.standard_t(4, (frames, 17, 2)).astype(np.float32)
  scale = quality * SPREAD * np.where(hidden, noise.occluded, 1.0)
  speed = np.zeros((frames, 17), np.float32)
  speed[1:] = _length(true[1:] - true[:-1])
  drift *= (noise.jitter * scale + noise.speed * np.minimum(speed, 0.2))[..., None]
  return drift + flicker * (noise.flicker * scale)[..., None]


def scores(
  error: np.ndarray,
  factor: np.ndarray,
  rng: np.random.Generator,
  noise: KeypointNoise,
) -> np.ndarray:
  """Scores in (0, 1] that fall with the error, not so that it can be read off them.

  Args:
    error: in sizes of the person.
    factor: of each point on its score, where it can't be seen.
    rng: the clip's generator.
    noise: the detector.
  """
  if rng.random() < noise.score_constant:
    return np.ones_like(error)
  gamma = noise.score_power * np.exp(noise.score_gamma * rng.standard_normal())
  blur = rng.uniform(0.5, 1.5, error.shape)
  fallen = error / noise.score_error + rng.uniform(0, 0.3, error.shape)
  return np.clip((factor * np.exp(-blur * fallen)) ** gamma, 0.02, 1.0)


def _swapped(
  u_swap: np.ndarray, hidden: np.ndarray, noise: KeypointNoise
) -> np.ndarray:
  """Which points carry their partner's place; a swap of a swap is none."""
  either = hidden[:, _LEFT] | hidden[:, _RIGHT]
  pairs = u_swap[:, :8] < np.where(either, 3 * noise.swap, noise.swap)
  limbs = u_swap[:, 8:] < noise.swap_limbs
  events = np.concatenate([pairs, limbs], axis=1, dtype=np.float32)
  return (events @ _SWAPS) % 2 == 1


def _somebody_else(
  detections: np.ndarray,
  size: float,
  rng: np.random.Generator,
  image_size: tuple[int, int] | None,
) -> np.ndarray:
  """The clip's own points backwards, mirrored or not, elsewhere and in another size."""
  other = detections[::-1].copy()
  seen = other[..., 2] > 0
  if not seen.any():
    return other
  centre = other[seen][:, :2].mean(axis=0)
  scale = np.exp(rng.normal(0, 0.2, 2)) * [rng.choice([-1, 1]), 1]
  shift = np.array([rng.choice([-1, 1]) * rng.uniform(0.5, 2), rng.normal(0, 0.15)])
  if scale[0] < 0:
    other = other[:, _FLIP]
  other[..., :2] = (other[..., :2] - centre) * scale + centre + shift * size
  gone = other[..., 2] == 0
  if image_size is not None:
    gone |= np.any((other[..., :2] < 0) | (other[..., :2] >= image_size), axis=-1)
  other[gone] = 0
  return other
