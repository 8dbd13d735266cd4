"""Reads AlphaPose's `alphapose-results.json`, in its three forms.

Its default form is a list of people; the forms of `--format=open` and `--format=cmu`
hold people by image name. AlphaPose names the frames of a video 0.jpg, 1.jpg, ...; a
folder of images keeps its names.
"""

import pathlib
import re
from collections.abc import Iterator
from typing import Any

from mhmr_jax.errors import InputError
from mhmr_jax.keypoints.formats import frame_numbers, layouts
from mhmr_jax.keypoints.formats.frame_numbers import Listing

# The person's list in an image, and the list of numbers in a person.
_FORMS = {"people": "pose_keypoints_2d", "bodies": "joints"}
_BY_IMAGE = layouts.LAYOUTS["openpose_coco18"]._replace(offset=0.5)


def read(path: pathlib.Path) -> layouts.Listed:
  """Reads the people of every image that the file names.

  Raises:
    InputError: the file is malformed, or has another number of points.
  """
  content = layouts.read_json(path)
  people: dict[int, list[Any]] = {}
  is_own = True
  for name, person in _people(content, path):
    number = frame_numbers.of_name(name)
    if number is None:
      raise InputError(
        f"The image {name[:80]!r} in {path} has no number: name the frames by their "
        "numbers, counted from 0."
      )
    # Only AlphaPose itself names the frames of a video, without leading zeros.
    is_own = is_own and re.fullmatch(r"(0|[1-9]\d*)\.jpg", name) is not None
    people.setdefault(number, []).append(person)
  listing = Listing.FROM_ZERO if is_own else Listing.WITH_PEOPLE
  return layouts.Listed(layouts.frames(people), listing)


def _people(content: Any, path: pathlib.Path) -> Iterator[tuple[str, Any]]:
  """The name of each person's image, and the person."""
  if isinstance(content, list):
    for index, entry in enumerate(content):
      where = f"entry {index} of {path}"
      if not isinstance(entry, dict) or not {"keypoints", "image_id"} <= entry.keys():
        raise InputError(
          f"`keypoints` or `image_id` is missing in {where}: give the file that "
          "AlphaPose wrote."
        )
      yield str(entry["image_id"]), _own_person(entry["keypoints"], where)
    return
  if not isinstance(content, dict) or not all(
    isinstance(i, dict) for i in content.values()
  ):
    raise InputError(f"{path} is not a file that AlphaPose wrote: name its format.")
  for name, image in content.items():
    for key, numbers in _FORMS.items():
      entries = image.get(key) or []
      if not isinstance(entries, list):
        raise InputError(f"`{key}` of {name[:80]!r} in {path} is not a list of people.")
      for index, entry in enumerate(entries):
        where = f"{key}[{index}].{numbers} of {name[:80]!r} in {path}"
        if not isinstance(entry, dict) or numbers not in entry:
          raise InputError(f"{where} is missing: give the file that AlphaPose wrote.")
        yield name, layouts.person(entry[numbers], "alphapose", where, _BY_IMAGE)


def _own_person(numbers: Any, where: str) -> Any:
  count = len(numbers) // 3 if isinstance(numbers, list) else 0
  layout = layouts.WITH_COCO_FIRST.get(count)
  return layouts.person(numbers, "alphapose", f"keypoints of {where}", layout)
