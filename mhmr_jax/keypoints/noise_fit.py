"""Fits the noise model to a detector's output on video, without ground truth.

Whatever is too rough for a smooth movement is noise. Third differences of points 1 to 3
frames apart tell white flicker, drift (AR(1)) and jerk from each other, because the
size of each grows with that distance in its own way. Points that leap away and soon
come back are outliers, swaps or jumps to somebody else. Scores are matched by their
quantiles.

Without ground truth these keep their defaults: `offset`, `width`, `correlation`,
`miss_outside` and, with fewer than four tracks, the differences between clips
(`quality`, `score_gamma`). Drift that is slower than a third of a second passes for
movement, and the jerks of a video with repeated frames pass for noise that grows with
speed.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import corruption, noise_events
from mhmr_jax.keypoints.noise import KeypointNoise
from mhmr_jax.keypoints.tracking import Track

_FPS = 30.0  # The rate of the clips that the noise is added to.
_MIN_FRAMES = 30
_MIN_SAMPLES = 200
_MIN_TRACKS = 4
_MIN_RUNS = 5
_LAGS = (1, 2, 3)
_WEIGHTS = (-1, 3, -3, 1)  # Weights of a third difference.
_SLOW, _FAST = 0.006, 0.02  # Sizes of the person a frame.
# Shares of the median score: points below the first count as occluded, points from the
# second on as visible.
_DOUBT, _SURE = 0.5, 0.9
# A larger `speed` than this comes from a video that jerks.
_MAX_SPEED = 0.3
# The variance of Student's t with 4 degrees over the square of its scale, and the
# share of it that the median of third differences shows.
_FLICKER_VARIANCE = 2 * 0.75
# About this share of the points of training clips is occluded.
_OCCLUDED_SHARE = 0.25


@dataclasses.dataclass(frozen=True)
class _Clip:
  """One track at 30 frames per second."""

  points: Float[np.ndarray, "time 17 2"]  # Sizes of the person.
  score: Float[np.ndarray, "time 17"]
  events: noise_events.Events

  @functools.cached_property
  def reported(self) -> Bool[np.ndarray, "time 17"]:
    return self.score > 0

  @functools.cached_property
  def trust(self) -> Float[np.ndarray, "time 17"]:
    """The score, or the last one before a miss, over the median."""
    last = np.where(self.reported, np.arange(len(self.score))[:, None], 0)
    score = np.take_along_axis(self.score, np.maximum.accumulate(last, axis=0), 0)
    return score / np.median(self.score[self.reported])


def fit(tracks: Sequence[Track], fps: float) -> KeypointNoise:
  """The noise with which `corruption.corrupt` imitates the detector of these tracks.

  Raises:
    InputError: no track lasts a second.
  """
  clips = [clip for track in tracks for clip in _clips(track, fps)]
  if not clips:
    raise InputError(
      "Nobody is followed for a second in the keypoints: give those of a longer video."
    )
  noise = _fit_movement(clips)
  noise = dataclasses.replace(noise, **_fit_misses(clips), **_fit_events(clips))
  return dataclasses.replace(noise, **_fit_scores(clips, noise))


def _clips(track: Track, fps: float) -> list[_Clip]:
  """Splits a track at gaps of over a second, and samples it at 30 frames per second."""
  stride = max(1, round(fps / _FPS))
  breaks = np.flatnonzero(np.diff(track.frame_index) > fps) + 1
  clips = []
  for index, people in zip(
    np.split(track.frame_index, breaks), np.split(track.keypoints, breaks), strict=True
  ):
    keypoints = np.zeros((index[-1] - index[0] + 1, 17, 3), np.float32)
    keypoints[index - index[0]] = people
    keypoints = keypoints[::stride]
    reported = keypoints[..., 2] > 0
    if len(keypoints) < _MIN_FRAMES or not reported.any():
      continue
    points = keypoints[..., :2] / corruption.person_size(keypoints[..., :2], reported)
    points, events = noise_events.find(points, reported)
    clips.append(_Clip(points, keypoints[..., 2], events))
  return clips


def _third_differences(clip: _Clip, lag: int) -> Float[np.ndarray, "time 17 2"]:
  """Third differences of points `lag` frames apart; NaN where one is unusable."""
  points = np.where(
    (clip.reported & ~clip.events.misplaced)[..., None], clip.points, np.nan
  )
  differences = np.full_like(points, np.nan)
  span = len(points) - 3 * lag
  first = 3 * lag // 2
  differences[first : first + span] = sum(
    weight * points[i * lag : i * lag + span] for i, weight in enumerate(_WEIGHTS)
  )
  return differences


def _speed(clip: _Clip) -> Float[np.ndarray, "time 17"]:
  speed = np.full(clip.score.shape, np.nan)
  speed[2:-2] = np.linalg.norm(clip.points[4:] - clip.points[:-4], axis=-1) / 4
  return speed


def _fit_movement(clips: Sequence[_Clip]) -> KeypointNoise:
  """Fits flicker, jitter, `speed`, `occluded` and `quality`; defaults for the rest."""
  default = KeypointNoise()
  differences = np.stack(
    [np.concatenate([_third_differences(c, lag) for c in clips]) for lag in _LAGS]
  )
  speed = np.concatenate([_speed(clip) for clip in clips])
  trust = np.concatenate([clip.trust for clip in clips])
  usable = np.isfinite(differences).all(axis=(0, -1)) & np.isfinite(speed)
  sure = usable & (trust >= _SURE)
  # At least a quarter of the points counts as slow: their own acceleration is fitted
  # beside the noise.
  limit = max(_SLOW, np.quantile(speed[sure], 0.25)) if sure.any() else _SLOW
  slow, fast = sure & (speed < limit), sure & (speed > _FAST)
  if slow.sum() < _MIN_SAMPLES:
    return default
  relative = differences / corruption.SPREAD[:, None]
  growth = [_drift_growth(lag, default.correlation) for lag in _LAGS]
  # Columns: how third differences of flicker, drift and jerk grow with the lag.
  parts = np.stack([np.full(3, 20.0), growth, np.array(_LAGS) ** 6.0], axis=1)
  variances = _variances(relative[:, slow])
  white, drift, jerk = _shares(parts, variances)
  fitted = {
    "flicker": float(np.sqrt(white / _FLICKER_VARIANCE)),
    "jitter": float(np.sqrt(drift)),
  }
  if fast.sum() >= _MIN_SAMPLES:
    # The excess of fast points over slow ones, at the two lags at which the points'
    # own movement adds least to it.
    excess = np.maximum(_variances(relative[:, fast]) - variances, 0)[:2]
    added, _ = _shares(parts[:2, 1:], excess)
    spread = np.broadcast_to(corruption.SPREAD, fast.shape)[fast].mean()
    blur = (np.sqrt(drift + added) - np.sqrt(drift)) * spread / np.median(speed[fast])
    fitted["speed"] = float(np.clip(blur, 0, _MAX_SPEED))
  occluded = usable & (trust < _DOUBT) & (speed < limit)
  if occluded.sum() >= _MIN_SAMPLES:
    ratio = _variances(relative[:1, occluded])[0] / _variances(relative[:1, slow])[0]
    fitted["occluded"] = float(np.clip(np.sqrt(ratio), 1, 6))
  if len(clips) >= _MIN_TRACKS and jerk < 0.5 * variances[0]:
    fitted["quality"] = _fit_quality(clips)
  return dataclasses.replace(default, **fitted)


def _fit_quality(clips: Sequence[_Clip]) -> float:
  flickers = [_third_differences(clip, 1)[clip.trust >= _DOUBT] for clip in clips]
  sizes = [_variances(f[None])[0] for f in flickers if np.isfinite(f).any()]
  return _log_deviation(np.sqrt(sizes))


def _drift_growth(lag: int, correlation: float) -> float:
  """The variance of an AR(1) process's third differences over that of the process."""
  apart = np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
  return float(np.array(_WEIGHTS) @ correlation ** (lag * apart) @ np.array(_WEIGHTS))


def _variances(
  differences: Float[np.ndarray, "lags samples 2"],
) -> Float[np.ndarray, "lags"]:
  """The variance at each lag by the median, so that missed outliers don't count."""
  flat = np.abs(differences.reshape(len(differences), -1))
  return (1.4826 * np.nanmedian(flat, axis=1)) ** 2


def _shares(
  parts: Float[np.ndarray, "lags parts"], variances: Float[np.ndarray, "lags"]
) -> Float[np.ndarray, "parts"]:
  """The non-negative weights of the parts with the least relative error."""
  # scipy.optimize takes a second to import.
  from scipy.optimize import nnls

  scale = np.maximum(variances, 1e-12)[:, None]
  return nnls(parts / scale, variances / scale[:, 0])[0]


def _log_deviation(values: Float[np.ndarray, "clips"]) -> float:
  """The standard deviation of the logarithm; 0 with too few clips."""
  values = values[np.isfinite(values) & (values > 0)]
  return float(np.log(values).std()) if len(values) >= _MIN_TRACKS else 0.0


def _fit_misses(clips: Sequence[_Clip]) -> dict[str, float]:
  """The rates of missed frames and limbs, and of other missed points by their trust."""
  missing = ~np.concatenate([clip.reported for clip in clips])
  trust = np.concatenate([clip.trust for clip in clips])
  frame = missing.all(axis=1, keepdims=True)
  limbs = np.stack([missing[:, limb].all(axis=1) for limb in corruption.LIMBS], axis=1)
  elsewhere = ~frame & ~(limbs @ corruption.LIMBS)
  single = missing & elsewhere
  fitted = {
    "miss_frame": frame.mean(),
    "miss_limb": (limbs & ~frame).mean(),
    "miss": single[elsewhere & (trust >= _SURE)].mean(),
  }
  occluded = elsewhere & (trust < _DOUBT)
  if occluded.sum() >= _MIN_SAMPLES:
    fitted["miss_occluded"] = single[occluded].mean()
  if not missing.any():
    # A detector that guesses every point does so outside the frame too.
    fitted |= {"miss_occluded": 0.0, "miss_outside": 0.0}
  return {name: float(value) for name, value in fitted.items()}


def _fit_events(clips: Sequence[_Clip]) -> dict[str, float]:
  """The shares of frames with swaps, outliers and jumps, and how long these last."""
  swaps = np.concatenate([clip.events.swaps for clip in clips])
  limbs = np.stack([swaps[:, :3].sum(1) >= 2, swaps[:, 3:].sum(1) >= 2], axis=1)
  alone = swaps & ~np.repeat(limbs, 3, axis=1)
  outliers = np.concatenate([clip.events.outliers for clip in clips])
  jumps = np.concatenate([clip.events.jumps for clip in clips])
  fitted = {
    "swap": alone.mean(),
    "swap_limbs": limbs.mean(),
    "outlier": outliers.mean(),
    "jump": jumps.mean(),
  }
  distances = np.concatenate([clip.events.outlier_distances for clip in clips])
  if len(distances):
    deviation = np.sqrt((distances**2).mean() / 2)
    fitted["outlier_distance"] = np.clip(deviation, 0.02, 1)
  runs = [length for clip in clips for length in clip.events.runs]
  if len(runs) >= _MIN_RUNS:
    fitted["run"] = np.mean(runs)
  return {name: float(value) for name, value in fitted.items()}


def _fit_scores(clips: Sequence[_Clip], noise: KeypointNoise) -> dict[str, float]:
  """Matches the median score, and the lowest scores as those of occluded points."""
  observed = [
    np.clip(clip.score[clip.reported], 1e-3, 1.0, dtype=float) for clip in clips
  ]
  varying = [score for score in observed if np.ptp(score) > 1e-3]
  if not varying:
    return {"score_constant": 1.0}
  rng = np.random.default_rng(0)
  neutral = dataclasses.replace(
    noise, score_power=1.0, score_gamma=0.0, score_constant=0.0, score_occluded=1.0
  )
  deviation = np.hypot(noise.jitter, np.sqrt(2) * noise.flicker)
  error = deviation * np.linalg.norm(rng.standard_normal((20_000, 2)), axis=-1)
  factor = np.ones_like(error)
  visible = corruption.scores(error, factor, rng, neutral)
  occluded = corruption.scores(noise.occluded * error, factor, rng, neutral)
  # About the median of all points, as the scores of the occluded ones are lower.
  plain = np.quantile(visible, 0.4)
  scores = np.concatenate(varying)
  power = _exponent(np.median(scores), plain)
  low = np.quantile(scores, 0.5 * _OCCLUDED_SHARE)
  score_occluded = low ** (1 / power) / np.median(occluded)
  fitted = {
    "score_constant": 1 - len(varying) / len(observed),
    "score_power": power,
    "score_occluded": float(np.clip(score_occluded, 0, 1)),
  }
  if len(varying) >= _MIN_TRACKS:
    exponents = [_exponent(np.median(score), plain) for score in varying]
    fitted["score_gamma"] = _log_deviation(np.array(exponents))
  return fitted


def _exponent(observed: float, plain: float) -> float:
  """The exponent that maps `plain` to the observed score, which may be 1."""
  return float(np.clip(np.log(min(observed, 1 - 1e-6)) / np.log(plain), 0.05, 10))
