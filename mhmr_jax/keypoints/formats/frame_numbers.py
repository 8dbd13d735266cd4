"""Maps a file's frame numbers, ids and image names to the frames of a video.

Some tools count the frames from 0 and some from 1, and few say so. The video's length
decides where it can; elsewhere the file is refused, or a warning says how it was read.
"""

import enum
import pathlib
import re
from collections.abc import Collection

from absl import logging

from mhmr_jax.errors import InputError


class Listing(enum.Enum):
  """Which frames a file lists, and whether it is known how they are counted."""

  FROM_ZERO = enum.auto()  # Counted from 0, whichever there are.
  EVERY_FRAME = enum.auto()  # Its tool lists every frame, with or without people.
  IMAGES = enum.auto()  # A table of images, perhaps of all.
  WITH_PEOPLE = enum.auto()  # Frames without anybody are left out.


def of_name(name: str) -> int | None:
  """The last number in an image's file name; None where it has none."""
  digits = re.findall(r"\d+", pathlib.PurePosixPath(name.replace("\\", "/")).stem)
  # A number of more digits is no frame's, and int() refuses very long ones.
  return int(digits[-1]) if digits and len(digits[-1]) <= 18 else None


def to_frames(
  numbers: Collection[int],
  listing: Listing,
  num_frames: int,
  path: pathlib.Path,
) -> dict[int, int]:
  """Maps a file's numbers to the frames of a video of a length, counted from 0.

  Raises:
    InputError: the numbers do not fit the video, or nothing says how they are counted.
  """
  ordered = sorted(numbers)
  if not ordered:
    return {}
  low, high = ordered[0], ordered[-1]
  is_whole = len(ordered) == num_frames and listing is not Listing.WITH_PEOPLE
  is_row = high - low == len(ordered) - 1
  if is_whole and (is_row or listing is Listing.IMAGES):
    if low > 1:
      logging.warning("%s begins at frame %d, taken to be the first.", path, low)
    return {number: frame for frame, number in enumerate(ordered)}
  if listing is Listing.EVERY_FRAME and is_row and low <= 1:
    raise InputError(
      f"{path} lists {len(ordered)} frames, {low} to {high}, but the video has "
      f"{num_frames}: give the keypoints of this video, with one entry a frame."
    )
  first = 0
  if listing is not Listing.FROM_ZERO and low > 0:
    first = _first(low, high, listing, num_frames, path)
  frames = {number: number - first for number in ordered}
  outside = [number for number in ordered if not 0 <= frames[number] < num_frames]
  if outside:
    raise InputError(
      f"{path} has keypoints for frame {outside[0]}, but the video's {num_frames} "
      f"frames are numbered 0 to {num_frames - 1}: give the keypoints of this video, "
      "frames counted from 0."
    )
  missing = num_frames - len(ordered)
  if listing is Listing.EVERY_FRAME and missing:
    logging.warning("%s lacks %d of the video's %d frames.", path, missing, num_frames)
  return frames


def _first(
  low: int, high: int, listing: Listing, num_frames: int, path: pathlib.Path
) -> int:
  """The number of the first frame, where frame 0 is not in the file."""
  if high > num_frames:
    return 0
  if low == 1 and high < num_frames and listing is not Listing.WITH_PEOPLE:
    raise InputError(
      f"{path} lists frames 1 to {high}, but the video has {num_frames}: it does not "
      "say whether frame 1 is the first or the second; list every frame, or count "
      "them from 0."
    )
  first = 1 if high == num_frames else 0
  logging.warning(
    "%s has no frame 0: its numbers, %d to %d for a video of %d frames, are taken to "
    "be counted from %d.",
    *(path, low, high, num_frames, first),
  )
  return first
