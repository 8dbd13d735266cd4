"""Detects the people in a video once, and keeps the keypoints beside the video."""

import pathlib
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8
from tqdm import tqdm

from mhmr_jax.files import video
from mhmr_jax.keypoints import detection_cache, detectors, tracking
from mhmr_jax.keypoints.formats import Detections
from mhmr_jax.runtime import ahead


def detect(
  video_path: pathlib.Path,
  info: video.VideoInfo,
  detector: str,
  weights: pathlib.Path | None = None,
  people: int | None = None,
) -> Detections:
  """Detects everybody in every frame, ordered as by `by_person`; uses the cache.

  Args:
    video_path: the video file.
    info: what `video.probe` says about it.
    detector: one of `detectors.NAMES`.
    weights: the detector's weights; None: its own, downloaded.
    people: the largest number of people to look for; 1 saves time. None: as many as
      the detector can.

  Raises:
    InputError: the video, the detector or its weights cannot be used.
  """
  adapter = detectors.adapter(detector)
  used = adapter.DEFAULT_WEIGHTS if weights is None else adapter.weight_files(weights)
  source = detection_cache.source(video_path, detector, used, people)
  cached = detection_cache.read(video_path, source, info.num_frames)
  if cached is not None:
    path, detections = cached
    print(f"Keypoints found before: {path}")
    return detections
  with adapter.open_detector(weights, people) as run:
    # The next frame is decoded while the detector looks at one.
    frames = ahead.made_ahead(video.read_frames(video_path), 2)
    found = detect_frames(frames, info.times, run)
  detections, person = by_person(found, tracking.track(found, info.fps))
  kept = detection_cache.write(video_path, source, detections, person=person)
  if kept is not None:
    print(f"Keypoints kept in {kept}")
  return detections


def detect_frames(
  frames: Iterable[UInt8[np.ndarray, "height width 3"]],
  times: Float[np.ndarray, "num_frames"],
  run: detectors.Detect,
) -> Detections:
  """Runs a detector on consecutive frames.

  Args:
    frames: RGB pictures.
    times: the times of the frames, s; detectors that follow people need them.
    run: the detector.
  """
  progress = tqdm(frames, "Detecting", len(times), unit="frame")
  timed = zip(times, progress, strict=False)  # A file may still be written.
  return [run(frame, float(seconds)) for seconds, frame in timed]


def by_person(
  detections: Detections, tracks: Sequence[tracking.Track]
) -> tuple[Detections, Int[np.ndarray, "frames people"]]:
  """Sorts each frame's people by the number of their track.

  Returns:
    The detections that are in a track, and the number of each one's track, which
    `predict --person` takes: 0 is the largest person. The number is -1 where a frame
    has fewer people than others.
  """
  found: list[list[tuple[int, np.ndarray]]] = [[] for _ in detections]
  for number, track in enumerate(tracks):
    for frame, keypoints in zip(track.frame_index, track.keypoints, strict=True):
      found[frame].append((number, keypoints))
  person = np.full((len(found), max(map(len, found), default=0)), -1, np.int32)
  for row, frame in zip(person, found, strict=True):
    row[: len(frame)] = [number for number, _ in frame]
  sorted_people = [
    np.array([keypoints for _, keypoints in frame], np.float32).reshape(-1, 17, 3)
    for frame in found
  ]
  return sorted_people, person
