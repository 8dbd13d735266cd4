"""Reads COCO's JSON: the results form, which AlphaPose writes too, and annotations."""

import pathlib
import re
from typing import Any

import numpy as np

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints.formats import layouts

_PERSON = 1  # COCO's category of people.


def read(path: pathlib.Path) -> layouts.FramePeople:
  """Reads the people of every frame that the file names.

  The frame number is the `image_id` if that is a number, else the last digits of the
  image's file name.

  Raises:
    InputError: the file is malformed or has another number of points.
  """
  content = layouts.read_json(path)
  names: dict[int | str, Any] = {}
  entries = content
  if isinstance(content, dict):
    entries = content.get("annotations")
    names = _image_names(content.get("images") or [], path)
  if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
    raise InputError(
      f"{path} is neither a list of COCO results nor a dict with `annotations`: name "
      "the format that the keypoints are in."
    )
  people: dict[int, list[np.ndarray]] = {}
  for index, entry in enumerate(entries):
    if entry.get("category_id", _PERSON) != _PERSON:
      continue
    where = f"entry {index} of {path}"
    if "keypoints" not in entry or "image_id" not in entry:
      raise InputError(
        f"`keypoints` or `image_id` is missing in {where}: give a file in COCO's form."
      )
    numbers = entry["keypoints"]
    if isinstance(content, dict):
      numbers = _flags_to_scores(numbers)
    person = layouts.person(numbers, "coco", f"keypoints of {where}")
    people.setdefault(_frame_number(entry["image_id"], names, where), []).append(person)
  return {number: np.stack(found) for number, found in people.items()}


def _image_names(images: Any, path: pathlib.Path) -> dict[int | str, Any]:
  """The file names of COCO's images by their ids."""
  is_list = isinstance(images, list) and all(isinstance(i, dict) for i in images)
  if not is_list or not all(isinstance(i.get("id"), int | str) for i in images):
    raise InputError(
      f"`images` of {path} is not a list of images with an id each: export it again."
    )
  return {image["id"]: image.get("file_name") for image in images}


def _frame_number(image_id: Any, names: dict[int | str, Any], where: str) -> int:
  if not isinstance(image_id, int | str):
    raise InputError(
      f"image_id of {where} is neither a number nor a name: use the frame's number, "
      "counted from 0."
    )
  image = names.get(image_id) or image_id
  if isinstance(image, int):
    return image
  digits = re.findall(r"\d+", pathlib.PurePath(str(image)).stem)
  if not digits:
    raise InputError(
      f"image_id of {where} is {image!r}, which has no frame number: use the frame's "
      "number, counted from 0."
    )
  return int(digits[-1])


def _flags_to_scores(numbers: Any) -> Any:
  """Converts annotations' visibility flags (2 seen, 1 hidden, 0 missing) to scores."""
  flags = numbers[2::3] if isinstance(numbers, list) else []
  if any(flag not in (0, 1, 2) for flag in flags):
    return numbers
  return [n / 2 if i % 3 == 2 else n for i, n in enumerate(numbers)]
