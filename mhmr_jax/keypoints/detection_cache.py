"""Detections kept beside the video they are of, so that it is looked at once.

A cached file is in our own format, with `source` beside the keypoints: JSON that says
which video (by its content) and which detector they come from. A file of another
source, or a damaged one, is as good as none; what we didn't write is never replaced.
"""

import hashlib
import json
import os
import pathlib
import zipfile
import zlib
from collections.abc import Iterable, Iterator

import numpy as np
from absl import logging

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints import formats

_FOLDER = pathlib.Path("~/.cache/mhmr_jax/keypoints")
# Raise it when the same detector's output changes: what older code kept is not used.
_VERSION = 1

Source = dict[str, str]


def source(
  video: pathlib.Path, detector: str, weights: Iterable[pathlib.Path] | str
) -> Source:
  """Names a video and a detector; weights by their name or their files."""
  if not isinstance(weights, str):
    weights = " ".join(_digest(path) for path in weights)
  return {
    "version": str(_VERSION),
    "video": _digest(video),
    "detector": detector,
    "weights": weights,
  }


def read(
  video: pathlib.Path, wanted: Source, num_frames: int
) -> tuple[pathlib.Path, formats.Detections] | None:
  """The detections of this source and the file that they are in, if there is one."""
  for path in _places(video, wanted):
    if _read_source(path) == wanted:
      try:
        return path, formats.read(path, "npz", num_frames)
      except InputError as error:
        logging.warning("%s Detecting anew.", error)
  return None


def write(
  video: pathlib.Path, of: Source, detections: formats.Detections, **more: np.ndarray
) -> pathlib.Path | None:
  """Keeps detections in the first place that can be written; which, or None."""
  for path in _places(video, of):
    if path.exists() and _read_source(path) is None:
      continue
    try:
      if path.parent != video.parent:
        path.parent.mkdir(parents=True, exist_ok=True)
      formats.write_npz(path, detections, source=np.array(json.dumps(of)), **more)
    except OSError:
      continue
    return path
  logging.warning(
    "The keypoints could be kept neither beside %s nor in %s.", video, _FOLDER
  )
  return None


def _places(video: pathlib.Path, of: Source) -> Iterator[pathlib.Path]:
  yield video.with_name(f"{video.name}.{of['detector']}.npz")
  yield _FOLDER.expanduser() / f"{of['video'][:16]}.{of['detector']}.npz"


def _digest(path: str | os.PathLike[str]) -> str:
  try:
    with open(path, "rb") as stream:
      return hashlib.file_digest(stream, "sha256").hexdigest()
  except OSError as error:
    raise InputError(f"{path} cannot be read ({error.strerror}): check it.") from error


def _read_source(path: pathlib.Path) -> Source | None:
  """What a file says it comes from; None where it is not one of ours."""
  try:
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
      content = json.loads(str(file["source"]))
  # Missing, not a zip file, a damaged one, without `source`, or not JSON.
  except (
    OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error,
    RecursionError,
  ):  # fmt: skip
    return None
  return content if isinstance(content, dict) else None
