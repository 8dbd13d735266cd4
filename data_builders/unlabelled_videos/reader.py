"""Makes clips of the people who are followed through a video by their keypoints."""

import collections
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from data_builders import video_files
from data_builders.cutout import Cutout
from mhmr_jax.errors import InputError
from mhmr_jax.files.video import VideoInfo
from mhmr_jax.geometry import windows
from mhmr_jax.keypoints import swaps, tracking
from mhmr_jax.keypoints.formats import Detections
from mhmr_jax.keypoints.tracking import Track
from mhmr_jax.schema import Clip

# A person who is not seen for longer, s, is in another stretch.
_LONGEST_GAP = 0.5
# A stretch is divided into clips of about so many frames, or up to twice as many. An
# example of training reads one clip, and every clip is read equally often.
_CLIP_FRAMES = 100


class Stretch(NamedTuple):
  """Evenly spaced frames of a video through which a person is followed."""

  person: int  # 0 is the largest in the video.
  frames: Int[np.ndarray, "time"]
  # Image pixels; zeros where the person is not seen.
  keypoints: Float[np.ndarray, "time 17 3"]
  seen: Bool[np.ndarray, "time"]


def follow(detections: Detections, info: VideoInfo, min_frames: int) -> list[Stretch]:
  """Follows everybody through a video.

  Args:
    detections: everybody in each frame of the video.
    info: what `video.probe` says about it.
    min_frames: a person is seen in at least so many frames of each stretch.
  """
  stretches: list[Stretch] = []
  for person, found in enumerate(tracking.track(detections, info.fps)):
    track, _ = swaps.undo(found, info.fps)
    stretches += _stretches(person, track, info.times, min_frames)
  return stretches


def _stretches(
  person: int, track: Track, times: Float[np.ndarray, "num_frames"], min_frames: int
) -> Iterator[Stretch]:
  is_gap = np.diff(times[track.frame_index]) > _LONGEST_GAP
  for numbers in np.split(track.frame_index, np.flatnonzero(is_gap) + 1):
    grid = np.arange(numbers[0], numbers[-1] + 1, video_files.step(times))
    parts = max(1, len(grid) // max(_CLIP_FRAMES, min_frames))
    for frames in np.array_split(grid, parts):
      seen = np.isin(frames, numbers)
      if seen.sum() >= min_frames:
        keypoints = np.zeros((len(frames), 17, 3), np.float32)
        keypoints[seen] = track.keypoints[np.isin(track.frame_index, frames)]
        yield Stretch(person, frames, keypoints, seen)


def clips(
  path: pathlib.Path,
  info: VideoInfo,
  stretches: Sequence[Stretch],
  name: str,
  size: int,
) -> Iterator[Clip]:
  """Yields a clip of each stretch; the video is decoded once for all.

  Args:
    path: the video.
    info: what `video.probe` says about it.
    stretches: at least one.
    name: the name of the video, which the clips' `sequence` begins with.
    size: at least so many pixels of the person's longer side are kept, where the video
      has them.

  Raises:
    InputError: the video ends before a stretch does.
  """
  image_size = (info.width, info.height)
  cutouts = [
    Cutout.around(windows.tight_boxes(stretch.keypoints), image_size, size)
    for stretch in stretches
  ]
  images: list[list[bytes]] = [[] for _ in stretches]
  showing = collections.defaultdict(list)
  for index, stretch in enumerate(stretches):
    for number in stretch.frames.tolist():
      showing[number].append(index)
  numbers = np.array(sorted(showing))
  read = 0
  for number, frame in zip(numbers, video_files.frames(path, numbers), strict=False):
    read += 1
    for index in showing[number]:
      stretch, cutout = stretches[index], cutouts[index]
      images[index].append(cutout.jpeg(frame))
      if number == stretch.frames[-1]:
        # The pictures of clips that are done take no memory.
        own, images[index] = images[index], []
        yield Clip(
          frames=own,
          keypoints_image=cutout.keypoints(stretch.keypoints),
          keypoints_detected=True,
          valid=stretch.seen,
          frame_index=stretch.frames.astype(np.int32),
          fps=1 / video_files.spacing(info.times[stretch.frames]),
          sequence=f"{name}_{stretch.person}",
        )
  if read < len(numbers):
    raise InputError(f"{path} has changed while it was read: run again.")
