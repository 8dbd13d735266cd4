"""Fits the noise model to a detector's output on video, of which no truth is known.

What a smooth movement cannot do is noise: the size of third differences, of points 1
to 3 frames apart, tells white flicker, drift (AR(1)) and jerk from each other, because
each grows with the distance in its own way. Points that leap away and soon come back
are outliers, swaps or jumps to somebody else. Scores are matched by their quantiles.

What cannot be seen without truth keeps its default: `offset`, `width`, `correlation`,
`miss_outside`, and, with fewer than four tracks, what differs between clips (`quality`,
`score_gamma`). Drift that is slower than a third of a second passes for movement, and
the jerks of a video with repeated frames pass for noise that grows with speed.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import nnls

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import noise as noise_lib
from mhmr_jax.keypoints.noise import KeypointNoise
from mhmr_jax.keypoints.noise_events import Events, find
from mhmr_jax.keypoints.tracking import Track

_FPS = 30.0  # Of the clips that the noise is added to.
_LEAST_FRAMES = 30
_LEAST_SAMPLES = 200
_LEAST_TRACKS = 4
_LAGS = (1, 2, 3)
_WEIGHTS = (-1, 3, -3, 1)  # Of third differences.
# Sizes of the person a frame.
_SLOW, _FAST = 0.006, 0.02
# Of the median score: below, a point is taken for hidden; from here on, for seen.
_DOUBT, _SURE = 0.5, 0.9
# Above this it is the video that jerks.
_MOST_SPEED = 0.3
# Of Student's t with 4 degrees, variance over the scale's square; and how much of it
# the median of third differences shows.
_FLICKER_VARIANCE = 2 * 0.75
# Of the points of training clips about so many can't be seen.
_HIDDEN_SHARE = 0.25


@dataclasses.dataclass(frozen=True)
class _Clip:
  """One track at 30 fps."""

  points: Float[np.ndarray, "time 17 2"]  # Sizes of the person.
  score: Float[np.ndarray, "time 17"]
  events: Events

  @functools.cached_property
  def seen(self) -> Bool[np.ndarray, "time 17"]:
    return self.score > 0

  @functools.cached_property
  def trust(self) -> Float[np.ndarray, "time 17"]:
    """The score, or the last one before a miss, over the median."""
    last = np.where(self.seen, np.arange(len(self.score))[:, None], 0)
    score = np.take_along_axis(self.score, np.maximum.accumulate(last, axis=0), 0)
    return score / np.median(self.score[self.seen])


def fit(tracks: Sequence[Track], fps: float) -> KeypointNoise:
  """The detector that `corrupt` would have to be to give these tracks.

  Raises:
    InputError: no track lasts a second.
  """
  clips = [clip for track in tracks for clip in _clips(track, fps)]
  if not clips:
    raise InputError(
      "Nobody is followed for a second in the keypoints: give those of a longer video."
    )
  noise = _movement(clips)
  noise = dataclasses.replace(noise, **_losses(clips), **_leaps(clips))
  return dataclasses.replace(noise, **_scores(clips, noise))


def _clips(track: Track, fps: float) -> list[_Clip]:
  """A track's stretches without gaps of over a second, on every frame of 30 fps."""
  stride = max(1, round(fps / _FPS))
  breaks = np.flatnonzero(np.diff(track.frame_index) > fps) + 1
  clips = []
  for index, people in zip(
    np.split(track.frame_index, breaks), np.split(track.keypoints, breaks), strict=True
  ):
    keypoints = np.zeros((index[-1] - index[0] + 1, 17, 3), np.float32)
    keypoints[index - index[0]] = people
    keypoints = keypoints[::stride]
    seen = keypoints[..., 2] > 0
    if len(keypoints) < _LEAST_FRAMES or not seen.any():
      continue
    points = keypoints[..., :2] / noise_lib.person_size(keypoints[..., :2], seen)
    points, events = find(points, seen)
    clips.append(_Clip(points, keypoints[..., 2], events))
  return clips


def _third_differences(clip: _Clip, lag: int) -> np.ndarray:
  """[time, 17, 2], NaN where one of the four points is missing or leapt."""
  points = np.where(
    (clip.seen & ~clip.events.misplaced)[..., None], clip.points, np.nan
  )
  bent = np.full_like(points, np.nan)
  span = len(points) - 3 * lag
  first = 3 * lag // 2
  bent[first : first + span] = sum(
    weight * points[i * lag : i * lag + span] for i, weight in enumerate(_WEIGHTS)
  )
  return bent


def _speed(clip: _Clip) -> np.ndarray:
  speed = np.full(clip.score.shape, np.nan)
  speed[2:-2] = np.linalg.norm(clip.points[4:] - clip.points[:-4], axis=-1) / 4
  return speed


def _movement(clips: Sequence[_Clip]) -> KeypointNoise:
  """Flicker, jitter, what movement and hiding add, and how clips differ."""
  default = KeypointNoise()
  bent = np.stack(
    [np.concatenate([_third_differences(c, lag) for c in clips]) for lag in _LAGS]
  )
  speed = np.concatenate([_speed(clip) for clip in clips])
  trust = np.concatenate([clip.trust for clip in clips])
  usable = np.isfinite(bent).all(axis=(0, -1)) & np.isfinite(speed)
  sure = usable & (trust >= _SURE)
  # A quarter of the points is always slow enough: acceleration is told apart anyway.
  limit = max(_SLOW, np.quantile(speed[sure], 0.25)) if sure.any() else _SLOW
  slow, fast = sure & (speed < limit), sure & (speed > _FAST)
  if slow.sum() < _LEAST_SAMPLES:
    return default
  relative = bent / noise_lib.SPREAD[:, None]
  growth = [_drift(lag, default.correlation) for lag in _LAGS]
  parts = np.stack([np.full(3, 20.0), growth, np.array(_LAGS) ** 6.0], axis=1)
  variances = _variances(relative[:, slow])
  white, drift, jerk = _solve(parts, variances)
  found = {
    "flicker": float(np.sqrt(white / _FLICKER_VARIANCE)),
    "jitter": float(np.sqrt(drift)),
  }
  if fast.sum() >= _LEAST_SAMPLES:
    # What fast points have more than slow ones, by the two lags at which their own
    # movement is the least of it.
    more = np.maximum(_variances(relative[:, fast]) - variances, 0)[:2]
    added, _ = _solve(parts[:2, 1:], more)
    spread = np.broadcast_to(noise_lib.SPREAD, fast.shape)[fast].mean()
    blur = (np.sqrt(drift + added) - np.sqrt(drift)) * spread / np.median(speed[fast])
    found["speed"] = float(np.clip(blur, 0, _MOST_SPEED))
  hidden = usable & (trust < _DOUBT) & (speed < limit)
  if hidden.sum() >= _LEAST_SAMPLES:
    ratio = _variances(relative[:1, hidden])[0] / _variances(relative[:1, slow])[0]
    found["occluded"] = float(np.clip(np.sqrt(ratio), 1, 6))
  if len(clips) >= _LEAST_TRACKS and jerk < 0.5 * variances[0]:
    flickers = [_third_differences(clip, 1)[clip.trust >= _DOUBT] for clip in clips]
    sizes = [_variances(f[None])[0] for f in flickers if np.isfinite(f).any()]
    found["quality"] = _log_deviation(np.sqrt(sizes))
  return dataclasses.replace(default, **found)


def _drift(lag: int, correlation: float) -> float:
  """Variance of an AR(1) process's third differences over that of the process."""
  apart = np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
  return float(np.array(_WEIGHTS) @ correlation ** (lag * apart) @ np.array(_WEIGHTS))


def _variances(bent: np.ndarray) -> np.ndarray:
  """Of each lag, by the median: leaps that were not found don't count."""
  return (1.4826 * np.nanmedian(np.abs(bent.reshape(len(bent), -1)), axis=1)) ** 2


def _solve(parts: np.ndarray, variances: np.ndarray) -> np.ndarray:
  """Shares of the parts, none negative, by the least relative error."""
  scale = np.maximum(variances, 1e-12)[:, None]
  return nnls(parts / scale, variances / scale[:, 0])[0]


def _log_deviation(values: np.ndarray) -> float:
  values = values[np.isfinite(values) & (values > 0)]
  return float(np.log(values).std()) if len(values) >= _LEAST_TRACKS else 0.0


def _losses(clips: Sequence[_Clip]) -> dict[str, float]:
  """Misses: of frames, of limbs, and of single points by what was known of them."""
  missing = ~np.concatenate([clip.seen for clip in clips])
  trust = np.concatenate([clip.trust for clip in clips])
  frame = missing.all(axis=1, keepdims=True)
  limbs = np.stack([missing[:, limb].all(axis=1) for limb in noise_lib.LIMBS], axis=1)
  single = missing & ~frame & ~(limbs @ noise_lib.LIMBS)
  there = ~frame & ~(limbs @ noise_lib.LIMBS)
  found = {
    "miss_frame": frame.mean(),
    "miss_limb": (limbs & ~frame).mean(),
    "miss": single[there & (trust >= _SURE)].mean(),
  }
  hidden = there & (trust < _DOUBT)
  if hidden.sum() >= _LEAST_SAMPLES:
    found["miss_occluded"] = single[hidden].mean()
  if not missing.any():
    # A detector that guesses every point does so outside the frame too.
    found |= {"miss_occluded": 0.0, "miss_outside": 0.0}
  return {name: float(value) for name, value in found.items()}


def _leaps(clips: Sequence[_Clip]) -> dict[str, float]:
  """Shares of frames with swaps, outliers and jumps, and how long they last."""
  swaps = np.concatenate([clip.events.swaps for clip in clips])
  limbs = np.stack([swaps[:, :3].sum(1) >= 2, swaps[:, 3:].sum(1) >= 2], axis=1)
  alone = swaps & ~np.repeat(limbs, 3, axis=1)
  outliers = np.concatenate([clip.events.outliers for clip in clips])
  jumps = np.concatenate([clip.events.jumps for clip in clips])
  found = {
    "swap": alone.mean(),
    "swap_limbs": limbs.mean(),
    "outlier": outliers.mean(),
    "jump": jumps.mean(),
  }
  away = np.concatenate([clip.events.away for clip in clips])
  if len(away):
    found["outlier_distance"] = np.clip(np.sqrt((away**2).mean() / 2), 0.02, 1)
  runs = [length for clip in clips for length in clip.events.runs]
  if len(runs) >= 5:
    found["run"] = np.mean(runs)
  return {name: float(value) for name, value in found.items()}


def _scores(clips: Sequence[_Clip], noise: KeypointNoise) -> dict[str, float]:
  """Matches the median score, and the lowest tenth as that of hidden points."""
  observed = [np.clip(clip.score[clip.seen], 1e-3, 1.0, dtype=float) for clip in clips]
  telling = [one for one in observed if np.ptp(one) > 1e-3]
  if not telling:
    return {"score_constant": 1.0}
  rng = np.random.default_rng(0)
  even = dataclasses.replace(
    noise, score_power=1.0, score_gamma=0.0, score_constant=0.0, score_occluded=1.0
  )
  deviation = np.hypot(noise.jitter, np.sqrt(2) * noise.flicker)
  error = deviation * np.linalg.norm(rng.standard_normal((20_000, 2)), axis=-1)
  plain = noise_lib.scores(error, np.ones_like(error), rng, even)
  hidden = noise_lib.scores(noise.occluded * error, np.ones_like(error), rng, even)
  all_scores = np.concatenate(telling)
  power = _exponent(np.median(all_scores), np.quantile(plain, 0.4))
  low = np.quantile(all_scores, 0.5 * _HIDDEN_SHARE)
  factor = low ** (1 / power) / np.median(hidden)
  found = {
    "score_constant": 1 - len(telling) / len(observed),
    "score_power": float(power),
    "score_occluded": float(np.clip(factor, 0, 1)),
  }
  if len(telling) >= _LEAST_TRACKS:
    each = [_exponent(np.median(one), np.quantile(plain, 0.4)) for one in telling]
    found["score_gamma"] = _log_deviation(np.array(each))
  return found


def _exponent(score: float, plain: float) -> float:
  """That makes `plain` the score; a detector may be as sure as can be."""
  return float(np.clip(np.log(min(score, 1 - 1e-6)) / np.log(plain), 0.05, 10))
