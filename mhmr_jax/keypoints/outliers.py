"""Finds points that cannot be right: far off the person, or stuck at one place.

One false point could set the size of a person and of a crop window by itself. Here such
a point becomes a missing one: three zeros.
"""

from collections.abc import Collection

import numpy as np
from jaxtyping import Bool, Float, Int

from mhmr_jax.runtime.batching import blocks

# A person's reach is the distance from the middle of their points within which three
# quarters of the points are: 0.4 of the height of somebody who stands.
_REACH_QUANTILE = 0.75
_MIN_POINTS = 5
# Nobody's hand or foot is farther from the middle than 0.8 of their height, and their
# feet no farther than that from the middle of their head.
_MAX_REACHES = 3.0
# In one frame perhaps only a head is seen, and a hand.
_MAX_REACHES_OF_FRAME = 8.0
_ROWS = 1024  # Frames that are looked at at once, to save memory.
_NEIGHBOURS = 15  # Frames before and after that tell a person's reach.

# More points than a head has are never at one place again and again.
_FILLER_JOINTS = 6
_FILLER_SHARE = 0.01
_STUCK_FRAMES = 8
_STUCK_REACHES = 3.0


def of_frame(
  people: Float[np.ndarray, "people 17 3"],
) -> Bool[np.ndarray, "people 17"]:
  """Which points of the people in one frame are far off them; False if missing."""
  middle, reach = _middle_and_reach(people)
  return _beyond(people, middle, _MAX_REACHES_OF_FRAME * reach)


def of_track(
  keypoints: Float[np.ndarray, "frames 17 3"],
) -> Bool[np.ndarray, "frames 17"]:
  """Which points of a tracked person are far off them, or stuck at one place.

  Args:
    keypoints: x, y px and score of consecutive detections.

  Returns:
    False for missing points.
  """
  middle, reach = _middle_and_reach(keypoints)
  reach = _running_median(reach)
  far = _beyond(keypoints, middle, _MAX_REACHES * reach)
  return far | _stuck(keypoints, middle, reach)


def filler_places(
  people: Collection[Float[np.ndarray, "n 17 3"]],
) -> Float[np.ndarray, "places 2"]:
  """The places x, y px where a tool puts points that it has not found.

  Args:
    people: everybody in each frame of a video.

  Returns:
    Places that occur many times, to the last bit, for many different points.
  """
  points = np.concatenate([np.zeros((0, 17, 3)), *people])
  joints = np.broadcast_to(np.arange(17), points.shape[:2])[points[..., 2] > 0]
  places, index, counts = np.unique(
    points[points[..., 2] > 0][:, :2], axis=0, return_inverse=True, return_counts=True
  )
  often = np.flatnonzero(counts > max(_FILLER_JOINTS, _FILLER_SHARE * len(joints)))
  index = index.ravel()
  kinds = [len(np.unique(joints[index == place])) for place in often]
  return places[often[np.array(kinds, int) >= _FILLER_JOINTS]]


def _middle_and_reach(
  keypoints: Float[np.ndarray, "frames 17 3"],
) -> tuple[Float[np.ndarray, "frames 2"], Float[np.ndarray, "frames"]]:
  """The median point of each frame, and the reach; NaN where points are few."""
  middle, reach = np.empty((len(keypoints), 2)), np.empty(len(keypoints))
  for rows in blocks(len(keypoints), _ROWS):
    middle[rows], reach[rows] = _middle_and_reach_of(keypoints[rows])
  return middle, reach


def _middle_and_reach_of(
  keypoints: Float[np.ndarray, "frames 17 3"],
) -> tuple[Float[np.ndarray, "frames 2"], Float[np.ndarray, "frames"]]:
  known = keypoints[..., 2] > 0
  points = np.where(known[..., None], keypoints[..., :2].astype(np.float64), np.nan)
  count = known.sum(axis=-1)
  few = count < _MIN_POINTS
  middle = _quantile(points, count[:, None], 0.5)
  away = np.linalg.norm(points - middle[:, None], axis=-1)
  reach = _quantile(away, count, _REACH_QUANTILE)
  # In a person of no size, no point is off the others.
  unknown = few | ~(reach > 0)
  return np.where(few[:, None], np.nan, middle), np.where(unknown, np.nan, reach)


def _quantile(
  values: Float[np.ndarray, "frames points *rest"],
  count: Int[np.ndarray, "frames ..."],
  share: float,
) -> Float[np.ndarray, "frames *rest"]:
  """A quantile over the points, of which `count` are not NaN.

  It is one of the values. NumPy's own, which skips NaN, takes ten times as long.
  """
  index = np.broadcast_to(np.rint(share * (count - 1)), values[:, 0].shape)
  index = np.maximum(index, 0).astype(int)[:, None]
  return np.take_along_axis(np.sort(values, axis=1), index, axis=1)[:, 0]


def _beyond(
  keypoints: Float[np.ndarray, "n 17 3"],
  middle: Float[np.ndarray, "n 2"],
  limit: Float[np.ndarray, "n"],
) -> Bool[np.ndarray, "n 17"]:
  """Which points are farther than a limit from the middle; False where it is NaN."""
  beyond = np.empty(keypoints.shape[:2], bool)
  for rows in blocks(len(keypoints), _ROWS):
    own = keypoints[rows]
    away = np.linalg.norm(own[..., :2].astype(np.float64) - middle[rows, None], axis=-1)
    beyond[rows] = (own[..., 2] > 0) & (away > limit[rows, None])
  return beyond


def _running_median(
  values: Float[np.ndarray, "frames"],
) -> Float[np.ndarray, "frames"]:
  """The median of the values around each that are known; NaN where none is."""
  padded = np.pad(values, _NEIGHBOURS, constant_values=np.nan)
  around = np.lib.stride_tricks.sliding_window_view(padded, 2 * _NEIGHBOURS + 1)
  medians = np.empty(len(values))
  for rows in blocks(len(values), _ROWS):
    unknown = np.isnan(around[rows]).all(axis=-1)
    known = np.nanmedian(np.where(unknown[:, None], 0, around[rows]), axis=-1)
    medians[rows] = np.where(unknown, np.nan, known)
  return medians


def _stuck(
  keypoints: Float[np.ndarray, "frames 17 3"],
  middle: Float[np.ndarray, "frames 2"],
  reach: Float[np.ndarray, "frames"],
) -> Bool[np.ndarray, "frames 17"]:
  """Which points stay at one place to the last bit while the person walks away.

  A foot that stands may stay at its pixel, but not for longer than the body takes to
  pass over it.
  """
  stuck = np.zeros(keypoints.shape[:2], bool)
  if len(keypoints) < _STUCK_FRAMES:
    return stuck
  for joint in range(keypoints.shape[1]):
    own = keypoints[:, joint]
    values, index, counts = np.unique(
      own, axis=0, return_inverse=True, return_counts=True
    )
    for place in np.flatnonzero((counts >= _STUCK_FRAMES) & (values[:, 2] > 0)):
      frames = (index.ravel() == place) & ~np.isnan(middle[:, 0]) & ~np.isnan(reach)
      if not frames.any():
        continue
      moved = np.ptp(middle[frames], axis=0).max()
      stuck[frames, joint] = moved > _STUCK_REACHES * np.median(reach[frames])
  return stuck
