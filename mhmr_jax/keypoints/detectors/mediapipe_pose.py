"""Adapter to MediaPipe's pose landmarker (BlazePose), which is fast on a CPU.

Its networks are run by LiteRT: the package mediapipe itself requires a build of OpenCV
whose files would overwrite those of ours, and a GPU's libraries.
"""

import contextlib
import pathlib
import zipfile
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import detectors
from mhmr_jax.keypoints.detectors import blazepose
from mhmr_jax.keypoints.detectors import weights as weights_lib

WEIGHTS = weights_lib.Download(
  "https://storage.googleapis.com/mediapipe-models/pose_landmarker/"
  "pose_landmarker_full/float16/1/pose_landmarker_full.task",
  sha256="5134a3aad27a58b93da0088d431f366da362b44e3ccfbe3462b3827a839011b1",
)
DEFAULT_WEIGHTS = WEIGHTS.url

# The indices of COCO-17 among its 33 landmarks.
COCO_LANDMARKS = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
# It places every landmark, occluded ones too; a score of 0 would call it missing.
_SCORE_FLOOR = 1e-3
# Following more people takes time for each.
_MAX_PEOPLE = 4
_MAX_NETWORK = 100 << 20  # Bytes; MediaPipe's largest has 27 MB.


def weight_files(weights: pathlib.Path) -> list[pathlib.Path]:
  """The .task file; InputError where it is missing."""
  if not weights.is_file():
    raise InputError(
      f"There is no file {weights}: give a .task file of MediaPipe's pose landmarker "
      "by --detector_weights, or leave the flag out to have one downloaded."
    )
  return [weights]


@contextlib.contextmanager
def open_detector(
  weights: pathlib.Path | None, people: int | None = None
) -> Iterator[detectors.Detect]:
  """Loads the landmarker; see `detectors.Adapter`."""
  find = open_landmarker(weights, people)
  yield lambda frame, seconds: coco_keypoints(find(frame, seconds))


def coco_keypoints(
  people: list[blazepose.Person],
) -> Float[np.ndarray, "people 17 3"]:
  """Picks COCO-17 (x, y px and score) of everybody in a frame."""
  landmarks = [person.landmarks[list(COCO_LANDMARKS)] for person in people]
  keypoints = np.array(landmarks, np.float32).reshape(-1, 17, 4)[..., [0, 1, 3]]
  keypoints[..., 2] = np.clip(keypoints[..., 2], _SCORE_FLOOR, 1)
  return keypoints


def open_landmarker(
  weights: pathlib.Path | None, people: int | None = None
) -> blazepose.Landmarker:
  """Loads the landmarker; raises as `detectors.Adapter.open_detector` does."""
  if weights is None:
    path = weights_lib.fetch(WEIGHTS, weights_lib.FOLDER.expanduser())
  else:
    (path,) = weight_files(weights)
  try:
    with zipfile.ZipFile(path) as bundle:
      find_people = blazepose.PeopleFinder(_member(bundle, "pose_detector"))
      find_landmarks = blazepose.LandmarkFinder(
        _member(bundle, "pose_landmarks_detector")
      )
  except (zipfile.BadZipFile, OSError, KeyError, RuntimeError, ValueError) as error:
    raise InputError(
      f"{path} is not a .task file of MediaPipe's pose landmarker "
      f"({' '.join(str(error).split())[:120]}): download it again."
    ) from error
  return blazepose.Landmarker(find_people, find_landmarks, people or _MAX_PEOPLE)


def _member(bundle: zipfile.ZipFile, name: str) -> bytes:
  info = bundle.getinfo(f"{name}.tflite")
  if info.file_size > _MAX_NETWORK:
    raise ValueError(f"{info.filename} has {info.file_size >> 20} MB")
  return bundle.read(info)
