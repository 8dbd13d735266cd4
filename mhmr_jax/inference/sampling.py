"""Samples a person's track at the frame rate of training, whatever the video's is.

A network reads a person at even moments, about 1/30 s apart. Keypoints are smoothed
along time and read at these moments, pictures are the nearest frames, and `placement`
interpolates the results back to the times of the video's frames.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from mhmr_jax.data.chunks import TRAINING_STEP
from mhmr_jax.geometry.windows import MIN_SCORE
from mhmr_jax.keypoints import smooth_paths
from mhmr_jax.keypoints.tracking import Track

# A video whose every k-th frame is as near as this to the training's rate is sampled at
# its frames: a motion slower by a fiftieth is better than keypoints that are mixed.
_NEAR = 0.02
# After a longer gap the person moves otherwise, and the network's memory starts anew.
RESET_SECONDS = 1.0
_ROUNDING_SECONDS = 1e-6
# Scores of points where no detection was, relative to the lower of the neighbours'.
FILLED_SCORE = 0.5
_LEAST_SCORE = 1.1 * MIN_SCORE  # So that a point which was found is used.


class Rows(NamedTuple):
  """The frames of a video through which a person is followed, gaps filled."""

  frame_index: Int[np.ndarray, "N"]
  times: Float[np.ndarray, "N"]  # s.
  segment: Int[np.ndarray, "N"]
  detected: Bool[np.ndarray, "N"]  # Whether the person was found in the frame.


class Samples(NamedTuple):
  """The moments of one segment at which the network reads the person."""

  times: Float[np.ndarray, "n"]  # s.
  frames: Int[np.ndarray, "n"]  # The frame that is nearest in time; some may repeat.
  keypoints: Float[np.ndarray, "n 17 3"]  # Image pixels.


def step(times: Float[np.ndarray, "frames"]) -> float:
  """The seconds between two moments at which the network reads a video.

  Args:
    times: the times of the video's frames, s.
  """
  if len(times) < 2:
    return TRAINING_STEP
  interval = float(times[-1] - times[0]) / (len(times) - 1)
  every = max(1, round(TRAINING_STEP / interval)) * interval
  return every if abs(every / TRAINING_STEP - 1) < _NEAR else TRAINING_STEP


def segments(
  frame_index: Int[np.ndarray, "frames"], times: Float[np.ndarray, "num_frames"]
) -> list[tuple[int, int]]:
  """The first and last frame of each stretch without a gap of over a second.

  Args:
    frame_index: the frames in which the person was found, ascending.
    times: the times of all frames of the video, s.
  """
  gaps = np.diff(times[frame_index])
  breaks = np.flatnonzero(gaps > RESET_SECONDS + _ROUNDING_SECONDS)
  firsts = frame_index[np.append(0, breaks + 1)]
  lasts = frame_index[np.append(breaks, len(frame_index) - 1)]
  return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def rows(track: Track, times: Float[np.ndarray, "num_frames"]) -> Rows:
  """All frames of a person's segments.

  Args:
    track: the track of the person.
    times: the times of all frames of the video, s.
  """
  spans = segments(track.frame_index, times)
  frame_index = np.concatenate([np.arange(first, last + 1) for first, last in spans])
  lengths = [last + 1 - first for first, last in spans]
  return Rows(
    frame_index=frame_index,
    times=times[frame_index],
    segment=np.repeat(np.arange(len(spans)), lengths),
    detected=np.isin(frame_index, track.frame_index),
  )


def samples(
  track: Track, times: Float[np.ndarray, "num_frames"], first: int, last: int
) -> Samples:
  """Samples one segment of a track, from its first frame on.

  Args:
    track: the track of the person.
    times: the times of all frames of the video, s.
    first: the segment's first frame, in which the person was found.
    last: its last frame, in which the person was found, too.
  """
  every = step(times)
  start, end = float(times[first]), float(times[last])
  count = int((end - start) / every + _ROUNDING_SECONDS) + 1
  moments = start + np.arange(count) * every
  after = _not_before(times, moments)
  before = np.maximum(after - 1, 0)
  earlier = moments - times[before] <= times[after] - moments - _ROUNDING_SECONDS
  frames = np.where(earlier, before, after)
  own = (track.frame_index >= first) & (track.frame_index <= last)
  stretch = Track(track.frame_index[own], track.keypoints[own])
  return Samples(moments, frames, _keypoints(stretch, times, moments))


def _not_before(
  times: Float[np.ndarray, "frames"], moments: Float[np.ndarray, "n"]
) -> Int[np.ndarray, "n"]:
  """The first of the times that is not before each moment, but for rounding."""
  return np.minimum(np.searchsorted(times, moments - _ROUNDING_SECONDS), len(times) - 1)


def _keypoints(
  track: Track, times: Float[np.ndarray, "num_frames"], moments: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n 17 3"]:
  """The keypoints at some moments, smoothed along time.

  The score is the lower one of the detections before and after the moment; lower still
  where frames in between have no detection. Between neighbouring frames of which one
  lacks a point, the nearer one says whether the point is there.
  """
  found = times[track.frame_index]
  after = _not_before(found, moments)
  exact = np.abs(found[after] - moments) <= _ROUNDING_SECONDS
  before = np.where(exact, after, np.maximum(after - 1, 0))
  left, right = track.keypoints[before, :, 2], track.keypoints[after, :, 2]
  score = np.minimum(left, right)

  filled = track.frame_index[after] - track.frame_index[before] > 1
  lowered = np.maximum(FILLED_SCORE * score, _LEAST_SCORE)
  score = np.where(filled[:, None] & (score > _LEAST_SCORE), lowered, score)
  nearer = np.where(
    (moments - found[before] < found[after] - moments)[:, None], left, right
  )
  nearer = np.where(filled[:, None], 0, nearer)
  score = np.where(score > 0, score, nearer)
  places = smooth_paths.positions(found, track.keypoints, moments)
  places = np.where(score[..., None] > 0, places, 0)
  return np.append(places, score[..., None], axis=-1).astype(np.float32)


def flow_seconds(
  frames: Int[np.ndarray, "n"],
  times: Float[np.ndarray, "num_frames"],
  starts: Int[np.ndarray, "chunks"],
) -> Float[np.ndarray, "n"]:
  """The seconds between the two pictures of each sample's flow.

  They are 0 where a sample repeats the picture before, unless a chunk starts there: the
  flow then comes from the last picture that differs.

  Args:
    frames: the frames of a segment's samples.
    times: the times of all frames of the video, s.
    starts: the samples at which chunks start.
  """
  new = np.append(True, np.diff(frames) > 0)
  latest = np.maximum.accumulate(np.where(new, np.arange(len(frames)), 0))
  other = frames[np.maximum(latest - 1, 0)]
  seconds = times[frames] - times[other]
  held = ~new
  held[starts] = False
  # The segment's first picture has no flow, and any time will do.
  return np.where(held, 0.0, np.where(latest == 0, TRAINING_STEP, seconds))
