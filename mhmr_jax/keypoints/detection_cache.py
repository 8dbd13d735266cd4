"""Keeps a video's detections beside it, so that the detector runs only once.

A cached file is in our own format (`formats.detections_npz`), with the additional array
`source`: JSON that names the video (by its content), the detector and its weights. A
file of another source, or a damaged one, is ignored; a file that this module did not
write is never replaced.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np
from absl import logging

from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic, images_folder, npz
from mhmr_jax.keypoints import formats
from mhmr_jax.keypoints.formats import detections_npz

_FOLDER = pathlib.Path("~/.cache/mhmr_jax/keypoints")
# Raise it when a detector's output changes, so that older files are not used.
_VERSION = 2

Source = dict[str, str]


def source(
  video: pathlib.Path,
  detector: str,
  weights: Iterable[pathlib.Path] | str,
  people: int | None = None,
) -> Source:
  """Identifies a video, a detector and its weights (by their name, or their files).

  Args:
    video: the video file.
    detector: one of `detectors.NAMES`.
    weights: the name of the weights, or their files.
    people: the largest number of people looked for; None: as many as the detector can.

  Raises:
    InputError: a file cannot be read.
  """
  if not isinstance(weights, str):
    weights = " ".join(_digest(path) for path in weights)
  return {
    "version": str(_VERSION),
    "video": _digest(video),
    "detector": detector,
    "weights": weights,
    "people": "all" if people is None else str(people),
  }


def read(
  video: pathlib.Path, wanted: Source, num_frames: int
) -> tuple[pathlib.Path, formats.Detections] | None:
  """Returns the detections of this source and the file they are in, if there is one."""
  for path in _places(video, wanted):
    if _read_source(path) == wanted:
      try:
        return path, formats.read(path, "npz", num_frames)
      except InputError as error:
        logging.warning("%s The people are detected anew.", error)
  return None


def write(
  video: pathlib.Path,
  origin: Source,
  detections: formats.Detections,
  **more: np.ndarray,
) -> pathlib.Path | None:
  """Keeps detections in the first place that can be written.

  Returns:
    The file, or None where no place can be written.
  """
  for path in _places(video, origin):
    if path.exists() and _read_source(path) is None:
      continue
    try:
      if path.parent != video.parent:
        atomic.make_folder(path.parent)
      stored = np.array(json.dumps(origin))
      detections_npz.write(path, detections, source=stored, **more)
    except InputError:
      continue
    return path
  logging.warning(
    "The keypoints could be kept neither beside %s nor in %s.", video, _FOLDER
  )
  return None


def _places(video: pathlib.Path, origin: Source) -> Iterator[pathlib.Path]:
  yield video.with_name(f"{video.name}.{origin['detector']}.npz")
  yield _FOLDER.expanduser() / f"{origin['video'][:16]}.{origin['detector']}.npz"


def _digest(path: str | os.PathLike[str]) -> str:
  """Identifies the content of a file, or of a folder of images."""
  try:
    if os.path.isdir(path):
      parts = images_folder.images(pathlib.Path(path))
      listed = [f"{part.name} {_digest(part)}" for part in parts]
      return hashlib.sha256("\n".join(listed).encode()).hexdigest()
    with open(path, "rb") as stream:
      return hashlib.file_digest(stream, "sha256").hexdigest()
  except OSError as error:
    raise InputError(f"{path} cannot be read ({error.strerror}): check it.") from error


def _read_source(path: pathlib.Path) -> Source | None:
  """The source that a file names; None where this module did not write it whole."""
  try:
    content = json.loads(str(npz.read_npz(path, ("source",))["source"]))
  except (InputError, KeyError, ValueError, RecursionError):
    return None
  return content if isinstance(content, dict) else None
