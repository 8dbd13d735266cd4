"""Reads what OpenPose writes with `--write_json`: a folder with one file a frame.

Sports2D and Pose2Sim write such folders too, with other points.
"""

import pathlib
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints.formats import layouts
from mhmr_jax.keypoints.formats.frame_numbers import Listing


def read(folder: pathlib.Path, keypoint_format: str) -> layouts.Listed:
  """Reads the people of every frame; a person without any body point is left out.

  Args:
    folder: the JSON files, numbered in their names or else in the order of names.
    keypoint_format: one of LAYOUTS; the files do not say which.

  Raises:
    InputError: there is no file, or one is malformed or in another layout.
  """
  # macOS leaves a hidden file beside each that it copies to other file systems.
  files = sorted(f for f in folder.glob("*.json") if not f.name.startswith("."))
  if not files:
    raise InputError(
      f"The folder {folder} has no .json file: give the one that OpenPose wrote with "
      "--write_json."
    )
  numbers = _frame_numbers(files, folder)
  people = {
    number: _people(file, keypoint_format)
    for number, file in zip(numbers, files, strict=True)
  }
  return layouts.Listed(people, Listing.EVERY_FRAME)


def _frame_numbers(files: Sequence[pathlib.Path], folder: pathlib.Path) -> list[int]:
  """The numbers in names like `video_000000000012_keypoints.json`, else the order."""
  matches = [re.search(r"(\d+)(_keypoints)?\.json$", file.name) for file in files]
  numbers = [int(match[1]) for match in matches if match]
  if not numbers:
    return list(range(len(files)))
  if len(numbers) < len(files) or len(set(numbers)) < len(files):
    raise InputError(
      f"The names of the files in {folder} don't give each its own frame number: leave "
      "one video's files, named like video_000000000012_keypoints.json."
    )
  return numbers


def _people(
  file: pathlib.Path, keypoint_format: str
) -> Float[np.ndarray, "people 17 3"]:
  content = layouts.read_json(file)
  entries = content.get("people") if isinstance(content, dict) else None
  if isinstance(content, dict) and content.get("people", 0) is None:
    entries = []
  if not isinstance(entries, list):
    raise InputError(
      f"{file} has no list `people`: give files that OpenPose wrote with --write_json."
    )
  people = []
  for index, entry in enumerate(entries):
    where = f"people[{index}].pose_keypoints_2d of {file}"
    numbers = entry.get("pose_keypoints_2d") if isinstance(entry, dict) else None
    if numbers is None:
      raise InputError(f"{where} is missing: run OpenPose with its body detector.")
    if numbers:
      people.append(layouts.person(numbers, keypoint_format, where))
  return np.array(people, np.float32).reshape(-1, 17, 3)
