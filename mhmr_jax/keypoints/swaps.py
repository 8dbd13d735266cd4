"""Undoes a detector's swaps of left and right along a person's track.

A detector that sees single frames takes a person who is seen from the side or from
behind for their mirror image, for a frame or for a second. Both arms, both legs, or the
whole person with the face are then swapped.

The middle between a left and a right point is the same before and after a swap, so only
their difference tells a swap: it changes its sign. In true motion the difference is
smooth, even where one leg passes the other: there it goes through zero at a steady
speed. The most probable sequence of swaps is found by Viterbi's algorithm, whose state
is what is swapped in the last two frames.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import median_filter

from mhmr_jax.body.joints import COCO_FLIP
from mhmr_jax.geometry import windows
from mhmr_jax.geometry.windows import MIN_SCORE
from mhmr_jax.keypoints.tracking import Track
from mhmr_jax.runtime.batching import blocks

# The left points of the pairs. The face is swapped with the whole person only.
_ARMS, _LEGS, _FACE = (5, 7, 9), (11, 13, 15), (1, 3)
_LEFT = np.array(_ARMS + _LEGS + _FACE)
_RIGHT = np.array(COCO_FLIP)[_LEFT]
# The states: nothing, the arms, the legs, or all is swapped. By pair, the sign of its
# difference.
_SWAPPED = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 1]], bool)
_PAIRS = (len(_ARMS), len(_LEGS), len(_FACE))

# Standard deviations of each pair's difference, in sizes of the person: of its change
# in a second and of that change's change in a second (those of captured motion, the
# first thrice), and of what the detector adds in a frame.
_SPEED = np.array([0.5, 1.0, 1.5, 0.4, 1.3, 1.8, 0.1, 0.3])
_ACCELERATION = np.array([7.0, 11.0, 17.0, 5.0, 17.0, 17.0, 2.0, 5.0])
_JITTER = 0.01
# The most that a pair's deviation from its course, and from where it was, can cost;
# half of it at as much squared error. Detectors do misplace a point for a frame.
_MOST_COURSE, _MOST_PLACE = 6.0, 10.0
# What it costs that some begins or ends to be swapped, and each second of it.
_CHANGE, _SECOND = 7.0, 3.0
_SIZE_SECONDS = 1.0  # Over which the median of the person's size is taken.
_ROWS = 1024  # Frames whose states are compared at once, to save memory.
_LONGEST_GAP = 0.5  # s; over longer gaps nothing tells how a person moved on.


def undo(track: Track, fps: float) -> tuple[Track, Bool[np.ndarray, "frames 2"]]:
  """Undoes the swaps of a person's limbs.

  What most of the track shows is taken to be right, so a swap that lasts for many
  seconds stays.

  Args:
    track: the track of the person.
    fps: the frame rate of the video.

  Returns:
    The track in which every limb moves smoothly; and for each frame whether the arms
    and the legs had been swapped.
  """
  times = track.frame_index / fps
  difference, weight = _differences(track.keypoints, times)
  swapped = _SWAPPED[_best_states(difference, weight, times)]
  flipped = np.repeat(swapped, _PAIRS, axis=1)[..., None]
  keypoints = track.keypoints.copy()
  left, right = track.keypoints[:, _LEFT], track.keypoints[:, _RIGHT]
  keypoints[:, _LEFT] = np.where(flipped, right, left)
  keypoints[:, _RIGHT] = np.where(flipped, left, right)
  return dataclasses.replace(track, keypoints=keypoints), swapped[:, :2]


def _differences(
  keypoints: Float[np.ndarray, "frames 17 3"], times: Float[np.ndarray, "frames"]
) -> tuple[Float[np.ndarray, "frames 8 2"], Float[np.ndarray, "frames 8"]]:
  """Left minus right of each pair, in sizes of the person, and how much it counts."""
  boxes = windows.tight_boxes(keypoints)
  size = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(axis=1), 1.0)
  around = 2 * round(_SIZE_SECONDS / 2 / _frame_seconds(times)) + 1
  size = median_filter(size, around, mode="nearest")
  left, right = keypoints[:, _LEFT], keypoints[:, _RIGHT]
  score = np.minimum(left[..., 2], right[..., 2]).astype(np.float64)
  weight = np.where(score > MIN_SCORE, np.minimum(score, 1), 0)
  difference = (left - right)[..., :2].astype(np.float64) / size[:, None, None]
  return np.where(weight[..., None] > 0, difference, 0), weight


def _frame_seconds(times: Float[np.ndarray, "frames"]) -> float:
  return float(np.median(np.diff(times))) if len(times) > 1 else 1.0


def _pair_costs(
  difference: Float[np.ndarray, "frames 8 2"],
  weight: Float[np.ndarray, "frames 8"],
  times: Float[np.ndarray, "frames"],
) -> Float[np.ndarray, "2 2 frames 8"]:
  """The cost of each pair in each frame.

  The axes before say whether the pair's sides change from two frames before to the one
  before, and from that one to the frame.

  A difference is expected to go on as it went from frame to frame, and over two frames
  to stay near where it was, so that a frame between a point's two places is no movement
  from one to the other. Without a point two frames before, it is expected to stay.
  """
  now, before, earlier = (_shifted(difference, lag) for lag in range(3))
  seconds = np.diff(times, prepend=times[0])[:, None]
  linked = (seconds > 0) & (seconds <= _LONGEST_GAP)
  of_two = _shifted(weight, 1) * weight * linked
  of_three = of_two * _shifted(weight, 2) * _shifted(linked, 1)
  seconds = np.where(linked, seconds, 1.0)
  seconds_before = _shifted(seconds, 1, fill=1.0)
  ratio = seconds / seconds_before
  stays = 2 * _JITTER**2 + (_SPEED * seconds) ** 2
  stays_long = 2 * _JITTER**2 + (_SPEED * (seconds + seconds_before)) ** 2
  goes_on = (
    _JITTER**2 * (1 + (1 + ratio) ** 2 + ratio**2)
    + (_ACCELERATION * seconds * (seconds + seconds_before) / 2) ** 2
  )
  ratio = ratio[..., None]

  of_pair = np.empty((2, 2, len(times), len(_LEFT)))
  for flips in np.ndindex(2, 2):
    first, then = (now * (1 - 2 * flips[1]), earlier * (1 - 2 * flips[0]))
    near = _robust(first - before, stays, _MOST_PLACE)
    course = first - before - ratio * (before - then)
    path = _robust(course, goes_on, _MOST_COURSE)
    path += _robust(first - then, stays_long, _MOST_PLACE)
    of_pair[flips] = np.where(of_three > 0, of_three * path, of_two * near)
  return of_pair


def _step_costs(
  of_pair: Float[np.ndarray, "2 2 frames 8"],
) -> Float[np.ndarray, "frames 4 4 4"]:
  """The cost of the states of each frame, of one before and of two before together."""
  costs = np.empty((of_pair.shape[2], 4, 4, 4))
  pairs = np.arange(len(_LEFT))
  for states in np.ndindex(4, 4, 4):
    one, two, three = (np.repeat(_SWAPPED[state], _PAIRS) for state in states)
    chosen = of_pair[(one ^ two).astype(int), (two ^ three).astype(int), :, pairs]
    costs[:, *states] = chosen.sum(axis=0)
  return costs


def _shifted(values: np.ndarray, lag: int, fill: float = 0) -> np.ndarray:
  """The values of so many frames before."""
  shifted = np.full_like(values, fill)
  shifted[lag:] = values[: len(values) - lag]
  return shifted


def _robust(
  deviation: Float[np.ndarray, "frames 8 2"],
  variance: Float[np.ndarray, "frames 8"],
  most: float,
) -> Float[np.ndarray, "frames 8"]:
  """Half the squared deviation in variances, but less than `most`."""
  square = np.square(deviation).sum(axis=-1) / (2 * variance)
  return most * square / (square + most)


def _best_states(
  difference: Float[np.ndarray, "frames 8 2"],
  weight: Float[np.ndarray, "frames 8"],
  times: Float[np.ndarray, "frames"],
) -> Int[np.ndarray, "frames"]:
  """The states whose costs have the least sum."""
  every = _SECOND * _frame_seconds(times) * (np.arange(4) > 0)
  change = _CHANGE * (1 - np.eye(4))
  apart = np.diff(times, prepend=times[0]) > _LONGEST_GAP
  total = np.tile(every, (4, 1))  # By the states of the frame before, and of this one.
  origins = np.zeros((len(times), 4, 4), np.int8)
  for at in blocks(len(times), _ROWS):
    # A frame's costs depend on the two before it.
    around = slice(max(at.start - 2, 0), at.stop)
    of_pair = _pair_costs(difference[around], weight[around], times[around])
    costs = _step_costs(of_pair)
    for frame in range(max(at.start, 1), at.stop):
      arrived = total[:, :, None] + costs[frame - around.start]
      origins[frame] = arrived.argmin(axis=0)
      total = arrived.min(axis=0) + every + (0 if apart[frame] else change)
  states = np.zeros(len(times), int)
  before, now = np.unravel_index(total.argmin(), total.shape)
  for frame in range(len(times) - 1, -1, -1):
    states[frame] = now
    before, now = origins[frame, before, now], before
  return states
