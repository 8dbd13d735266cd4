"""Reads COCO's JSON of keypoints: the results form, and annotations."""

import pathlib
from typing import Any

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints.formats import frame_numbers, layouts
from mhmr_jax.keypoints.formats.frame_numbers import Listing

_PERSON = 1  # COCO's category of people.


def read(path: pathlib.Path) -> layouts.Listed:
  """Reads the people of every frame that the file names.

  The frames are those of the table `images`, by the numbers in their file names or else
  by their ids. Without a table, the frame number is the `image_id` if that is a number,
  else the last digits of the image's file name.

  Raises:
    InputError: the file is malformed or has another number of points.
  """
  content = layouts.read_json(path)
  images: dict[int | str, int] = {}
  entries = content
  if isinstance(content, dict):
    entries = content.get("annotations")
    images = _image_numbers(content.get("images") or [], path)
  if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
    raise InputError(
      f"{path} is neither a list of COCO results nor a dict with `annotations`: name "
      "the format that the keypoints are in."
    )
  people: dict[int, list[Any]] = {}
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
    number = _frame_number(entry["image_id"], images, where)
    people.setdefault(number, []).append(person)
  listing = Listing.IMAGES if images else Listing.WITH_PEOPLE
  return layouts.Listed(layouts.frames(people, list(images.values())), listing)


def _image_numbers(images: Any, path: pathlib.Path) -> dict[int | str, int]:
  """The numbers of COCO's images by their ids."""
  is_list = isinstance(images, list) and all(isinstance(i, dict) for i in images)
  if not is_list or not all(_is_id(image.get("id")) for image in images):
    raise InputError(
      f"`images` of {path} is not a list of images with an id each: export it again."
    )
  ids = [image["id"] for image in images]
  if len(set(ids)) < len(ids):
    raise InputError(f"`images` of {path} has an id twice: export it again.")
  named = [frame_numbers.of_name(str(image.get("file_name"))) for image in images]
  if None in named or len(set(named)) < len(named):
    # The names do not tell the images of one video from each other.
    named = [i if isinstance(i, int) else frame_numbers.of_name(i) for i in ids]
  if None in named or len(set(named)) < len(named):
    raise InputError(
      f"Neither the names nor the ids in `images` of {path} number the frames: number "
      "the images of the video."
    )
  return {
    key: number for key, number in zip(ids, named, strict=True) if number is not None
  }


def _is_id(value: Any) -> bool:
  return isinstance(value, int | str) and not isinstance(value, bool)


def _frame_number(image_id: Any, images: dict[int | str, int], where: str) -> int:
  if not _is_id(image_id):
    raise InputError(
      f"image_id of {where} is neither a number nor a name: use the frame's number, "
      "counted from 0."
    )
  if images:
    if image_id not in images:
      raise InputError(
        f"image_id of {where} is {repr(image_id)[:80]}, which is not among `images`: "
        "export the file again."
      )
    return images[image_id]
  if isinstance(image_id, int):
    return image_id
  number = frame_numbers.of_name(image_id)
  if number is None:
    raise InputError(
      f"image_id of {where} is {repr(image_id)[:80]}, which has no frame number: use "
      "the frame's number, counted from 0."
    )
  return number


def _flags_to_scores(numbers: Any) -> Any:
  """Converts annotations' visibility flags (2 seen, 1 hidden, 0 missing) to scores."""
  flags = numbers[2::3] if isinstance(numbers, list) else [None]
  if any(flag not in (0, 1, 2) for flag in flags):
    return numbers
  return [n / 2 if i % 3 == 2 else n for i, n in enumerate(numbers)]
