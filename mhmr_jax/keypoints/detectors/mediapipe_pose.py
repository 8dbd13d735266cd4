"""Adapter to MediaPipe's pose landmarker (BlazePose), which is fast on a CPU."""

import contextlib
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import detectors
from mhmr_jax.keypoints.detectors import weights as weights_lib

_URL = (
  "https://storage.googleapis.com/mediapipe-models/pose_landmarker/"
  "pose_landmarker_full/float16/1/pose_landmarker_full.task"
)
DEFAULT_WEIGHTS = _URL

# Maps an RGB frame and its time in the video, s, to a `PoseLandmarkerResult`, which has
# the people's landmarks in the image and in space.
Find = Callable[[UInt8[np.ndarray, "height width 3"], float], Any]

# The indices of COCO-17 among its 33 landmarks.
COCO_LANDMARKS = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
# It searches every frame for new people until it follows so many, which takes time.
_MAX_PEOPLE = 4
# It places every landmark, occluded ones too; a score of 0 would call it missing.
_SCORE_FLOOR = 1e-3


def weight_files(weights: pathlib.Path) -> list[pathlib.Path]:
  """The .task file; InputError where it is missing."""
  if not weights.is_file():
    raise InputError(
      f"There is no file {weights}: give a .task file of MediaPipe's pose landmarker "
      "by --detector_weights, or leave the flag out to have one downloaded."
    )
  return [weights]


@contextlib.contextmanager
def open_detector(weights: pathlib.Path | None) -> Iterator[detectors.Detect]:
  """Loads the landmarker; see `detectors.Adapter`."""
  with open_landmarker(weights) as find:
    yield lambda frame, seconds: coco_keypoints(find(frame, seconds), frame.shape)


def coco_keypoints(
  found: Any, shape: tuple[int, ...]
) -> Float[np.ndarray, "people 17 3"]:
  """Picks COCO-17 (x, y px and score) of everybody in a `PoseLandmarkerResult`."""
  height, width = shape[:2]
  people = [
    [
      (person[k].x * width, person[k].y * height, person[k].visibility)
      for k in COCO_LANDMARKS
    ]
    for person in found.pose_landmarks
  ]
  keypoints = np.array(people, np.float32).reshape(-1, 17, 3)
  keypoints[..., 2] = np.clip(keypoints[..., 2], _SCORE_FLOOR, 1)
  return keypoints


@contextlib.contextmanager
def open_landmarker(weights: pathlib.Path | None) -> Iterator[Find]:
  """Loads the landmarker; raises as `detectors.Adapter.open_detector` does."""
  if weights is None:
    path = weights_lib.fetch(_URL, weights_lib.FOLDER.expanduser())
  else:
    (path,) = weight_files(weights)
  landmarker = _load(path)
  import mediapipe

  last = -1

  def find(frame: UInt8[np.ndarray, "height width 3"], seconds: float) -> Any:
    nonlocal last
    # MediaPipe wants timestamps in milliseconds, each larger than the one before.
    last = max(last + 1, round(1000 * seconds))
    image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=frame)
    with _silent_stderr() if last == 0 else contextlib.nullcontext():
      return landmarker.detect_for_video(image, last)

  with landmarker:
    yield find


def _load(path: pathlib.Path) -> Any:
  """A `PoseLandmarker`; InputError where it, or its library, cannot be loaded."""
  try:
    import mediapipe
    from mediapipe.tasks.python import vision
  except ImportError as error:
    raise detectors.not_installed("MediaPipe", error) from error
  options = vision.PoseLandmarkerOptions(
    base_options=mediapipe.tasks.BaseOptions(model_asset_buffer=path.read_bytes()),
    running_mode=vision.RunningMode.VIDEO,
    num_poses=_MAX_PEOPLE,
  )
  try:
    with _silent_stderr():
      return vision.PoseLandmarker.create_from_options(options)
  except OSError as error:
    raise InputError(
      f"MediaPipe lacks a library of the system ({error}): on Debian and Ubuntu, "
      "`apt-get install libegl1 libgles2`."
    ) from error
  except (RuntimeError, ValueError) as error:
    raise InputError(
      f"{path} is not a .task file that MediaPipe can load: download it again."
    ) from error


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
  """Redirects file descriptor 2, to which the C++ library logs as it starts.

  No setting turns these logs off. The library raises its errors as exceptions too.
  """
  sys.stderr.flush()
  original = os.dup(2)
  try:
    with open(os.devnull, "w") as nowhere:
      os.dup2(nowhere.fileno(), 2)
    yield
  finally:
    os.dup2(original, 2)
    os.close(original)
