"""Reads 2D keypoints of every person in every frame, whatever tool found them.

Formats of the same length differ in order (BODY_25 and BODY_25B), so the user names
the format: it is never guessed. Everything becomes COCO-17.
"""

import json
import os
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from mhmr_jax.body.joints import COCO_KEYPOINTS
from mhmr_jax.errors import InputError
from mhmr_jax.files import npz

# One array a frame: [people, 17, 3] x, y px and score in (0, 1]; zeros are missing.
Detections = list[Float[np.ndarray, "_ 17 3"]]

_BODY_25 = (0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11)
_COCO_18 = (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10)
_COCO_17 = tuple(range(17))
# How many points a person has, and where COCO-17's are among them.
_LAYOUTS: dict[str, tuple[int, tuple[int, ...]]] = {
  "openpose_body25": (25, _BODY_25),
  "openpose_body25b": (25, _COCO_17),
  "openpose_coco18": (18, _COCO_18),
  "coco": (17, _COCO_17),
  "npz": (17, _COCO_17),
}
FORMATS = tuple(_LAYOUTS)
_MOST_FRAMES = 10_000_000  # Four days of video.


def read(
  path: str | os.PathLike[str],
  keypoint_format: str,
  num_frames: int | None = None,
  image_size: tuple[int, int] | None = None,
) -> Detections:
  """Reads the detections of a video's frames.

  Args:
    path: a folder with one JSON file a frame ("openpose_..."), a JSON file in
      COCO's results or annotations form, AlphaPose's too ("coco"), or an .npz file
      with `keypoints` [N, P, 17, 3] or [N, 17, 3] and perhaps `frame_index` [N].
    keypoint_format: one of FORMATS.
    num_frames: of the video; without it, up to the file's last. Frames that the file
      lacks have no detection.
    image_size: width and height px of the video; checks the keypoints' units.

  Raises:
    InputError: where the file is absent, malformed, in another format, or has
      detections for frames that the video lacks.
  """
  if keypoint_format not in _LAYOUTS:
    raise InputError(
      f"--keypoint_format={keypoint_format} is unknown: use one of "
      f"{', '.join(FORMATS)}."
    )
  path = pathlib.Path(path)
  if not path.exists():
    raise InputError(f"There are no keypoints at {path}: check --keypoints.")
  if keypoint_format.startswith("openpose") != path.is_dir():
    wanted = "one JSON file" if path.is_dir() else "a folder of JSON files"
    wanted = "an .npz file" if keypoint_format == "npz" else wanted
    found = "a folder" if path.is_dir() else "a file"
    raise InputError(
      f"{path} is {found}, but --keypoint_format={keypoint_format} is {wanted}: "
      "name the format that the keypoints are in."
    )
  readers: dict[str, Callable[[pathlib.Path], dict[int, np.ndarray]]]
  readers = {"coco": _read_coco, "npz": _read_npz}
  if keypoint_format in readers:
    people = readers[keypoint_format](path)
  else:
    people = _read_openpose(path, keypoint_format)
  if num_frames is None:
    num_frames = max(people, default=-1) + 1
    if num_frames > _MOST_FRAMES:
      raise InputError(
        f"{path} has keypoints for frame {num_frames - 1}: number the frames of the "
        "video from 0."
      )
  _check(people, path, num_frames, image_size)
  nobody = np.zeros((0, 17, 3), np.float32)
  return [people.get(frame, nobody) for frame in range(num_frames)]


def to_coco(
  keypoints: Float[np.ndarray, "*batch n 3"], keypoint_format: str
) -> Float[np.ndarray, "*batch 17 3"]:
  """Points in the order of one of FORMATS to COCO-17's; scores as `read` has them."""
  _, order = _LAYOUTS[keypoint_format]
  return _clean(keypoints[..., order, :])


def write_npz(
  path: str | os.PathLike[str], detections: Detections, **more: np.ndarray
) -> None:
  """Writes detections in our own format, whole or not at all; NaN is missing.

  Arrays in `more` are written beside them.
  """
  path = pathlib.Path(path)
  people = max((len(frame) for frame in detections), default=0)
  keypoints = np.full((len(detections), people, 17, 3), np.nan, np.float32)
  for row, frame in zip(keypoints, detections, strict=True):
    row[: len(frame)] = np.where(frame[..., 2:] > 0, frame, np.nan)
  arrays: dict[str, Any] = {"keypoints": keypoints, **more}
  # Two processes may be writing the same file.
  temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp.npz")
  try:
    np.savez_compressed(temporary, **arrays)
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


def _check(
  people: Mapping[int, np.ndarray],
  path: pathlib.Path,
  num_frames: int,
  image_size: tuple[int, int] | None,
) -> None:
  """Whether frames and coordinates can be those of the video."""
  if not people:
    return
  first, last = min(people), max(people)
  if first < 0 or last >= num_frames:
    wrong = first if first < 0 else last
    raise InputError(
      f"{path} has keypoints for frame {wrong}, but the video's {num_frames} frames "
      f"are numbered 0 to {num_frames - 1}: give the keypoints of this video, frames "
      "counted from 0."
    )
  points = np.concatenate([frame.reshape(-1, 3) for frame in people.values()])
  points = points[points[:, 2] > 0]
  if len(points) and points[:, :2].max() <= 1:
    raise InputError(
      f"All coordinates in {path} are at most 1: give keypoints in pixels of the "
      "video, not normalised ones (in OpenPose, --keypoint_scale=0)."
    )
  if image_size is not None and len(points):
    outside = np.any((points[:, :2] < 0) | (points[:, :2] > image_size), axis=-1)
    if outside.mean() > 0.5:
      raise InputError(
        f"Most points in {path} lie outside the video's {image_size[0]} x "
        f"{image_size[1]} pixels: give keypoints found on this video at this size."
      )


def _person(numbers: Any, keypoint_format: str, where: str) -> np.ndarray:
  """One person's flat list of numbers to COCO-17."""
  count, order = _LAYOUTS[keypoint_format]
  try:
    values = np.asarray(numbers, np.float32)
  except (TypeError, ValueError) as error:
    raise InputError(
      f"{where} is not a list of numbers x, y, score: is the file damaged?"
    ) from error
  if values.ndim != 1 or values.size != 3 * count:
    raise InputError(
      f"{where} has {values.size} numbers, {_points(values.size)}, but "
      f"{keypoint_format} has {3 * count}: {_advice(values.size)}."
    )
  if not np.isfinite(values).all():
    raise InputError(f"{where} holds a value that is not finite: write 0 for missing.")
  return _clean(values.reshape(count, 3)[list(order)])


def _points(size: int) -> str:
  return f"which is {size // 3} points" if size % 3 == 0 else "not three a point"


def _advice(size: int) -> str:
  fitting = [name for name, (count, _) in _LAYOUTS.items() if 3 * count == size]
  fitting = [name for name in fitting if name != "npz"]
  if not fitting:
    return f"convert it to one of {', '.join(FORMATS)}"
  return f"name --keypoint_format={' or '.join(fitting)}"


def _clean(keypoints: np.ndarray) -> np.ndarray:
  """Scores in [0, 1]; missing points are zeros. Some detectors score above 1."""
  score = np.clip(keypoints[..., 2:], 0, 1)
  return np.where(score > 0, np.append(keypoints[..., :2], score, axis=-1), 0)


def _load_json(path: pathlib.Path) -> Any:
  try:
    return json.loads(path.read_bytes())
  except (OSError, ValueError, RecursionError) as error:
    raise InputError(f"{path} is not readable as JSON: detect it again.") from error


def _read_openpose(
  folder: pathlib.Path, keypoint_format: str
) -> dict[int, Float[np.ndarray, "people 17 3"]]:
  files = sorted(folder.glob("*.json"))
  if not files:
    raise InputError(
      f"The folder {folder} has no .json file: give the one that OpenPose wrote with "
      "--write_json."
    )
  detections: dict[int, np.ndarray] = {}
  for number, file in zip(_frame_numbers(files, folder), files, strict=True):
    content = _load_json(file)
    people = content.get("people") if isinstance(content, dict) else None
    if not isinstance(people, list):
      raise InputError(f"{file} has no list `people`: is it OpenPose's --write_json?")
    found = []
    for index, person in enumerate(people):
      where = f"people[{index}].pose_keypoints_2d of {file}"
      numbers = person.get("pose_keypoints_2d") if isinstance(person, dict) else None
      if numbers is None:
        raise InputError(f"{where} is missing: run OpenPose with its body detector.")
      if numbers:
        found.append(_person(numbers, keypoint_format, where))
    detections[number] = np.array(found, np.float32).reshape(-1, 17, 3)
  return detections


def _frame_numbers(files: Sequence[pathlib.Path], folder: pathlib.Path) -> list[int]:
  """From the names (`video_000000000012_keypoints.json`), else their order."""
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


def _read_coco(path: pathlib.Path) -> dict[int, Float[np.ndarray, "people 17 3"]]:
  content = _load_json(path)
  names: dict[Any, Any] = {}
  entries = content
  if isinstance(content, dict):
    entries = content.get("annotations")
    names = _image_names(content.get("images") or [], path)
  if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
    raise InputError(
      f"{path} is neither a list of COCO results nor a dict with `annotations`: name "
      "the format that the keypoints are in."
    )
  found: dict[int, list[np.ndarray]] = {}
  for index, entry in enumerate(entries):
    where = f"Entry {index} of {path}"
    if entry.get("category_id", 1) != 1:
      continue
    if "keypoints" not in entry or "image_id" not in entry:
      raise InputError(f"{where} lacks `keypoints` or `image_id`: is it COCO's form?")
    image = entry["image_id"]
    if not isinstance(image, int | str):
      raise InputError(f"image_id of {where} is neither a number nor a name.")
    number = _image_number(names.get(image) or image, where)
    numbers = entry["keypoints"]
    if isinstance(content, dict):
      numbers = _flags_to_scores(numbers)
    person = _person(numbers, "coco", f"keypoints of {where[0].lower()}{where[1:]}")
    found.setdefault(number, []).append(person)
  return {number: np.stack(people) for number, people in found.items()}


def _image_names(images: Any, path: pathlib.Path) -> dict[Any, Any]:
  """The files of COCO's images by their ids."""
  whole = isinstance(images, list) and all(isinstance(i, dict) for i in images)
  if not whole or not all(isinstance(i.get("id"), int | str) for i in images):
    raise InputError(f"`images` of {path} is not a list of images with an id each.")
  return {image["id"]: image.get("file_name") for image in images}


def _image_number(image: Any, where: str) -> int:
  """A frame's number: the id, or the last digits of a file's name (AlphaPose)."""
  if isinstance(image, int):
    return image
  digits = re.findall(r"\d+", pathlib.PurePath(str(image)).stem)
  if not digits:
    raise InputError(
      f"{where} has the image_id {image!r}, which has no frame number: use the frame's "
      "number, counted from 0."
    )
  return int(digits[-1])


def _flags_to_scores(numbers: Any) -> Any:
  """Annotations have visibility flags (2 seen, 1 hidden, 0 missing) for scores."""
  flags = numbers[2::3] if isinstance(numbers, list) else []
  if any(flag not in (0, 1, 2) for flag in flags):
    return numbers
  return [n / 2 if i % 3 == 2 else n for i, n in enumerate(numbers)]


def _read_npz(path: pathlib.Path) -> dict[int, Float[np.ndarray, "people 17 3"]]:
  arrays = npz.read_npz(path, ("keypoints", "frame_index"))
  keypoints = arrays.get("keypoints")
  expected = f"`keypoints` [N, P, {len(COCO_KEYPOINTS)}, 3] or [N, 17, 3]"
  if keypoints is None:
    raise InputError(f"{path} lacks the array {expected}.")
  shape = keypoints.shape
  if len(shape) not in (3, 4) or shape[-2:] != (17, 3) or keypoints.dtype.kind != "f":
    raise InputError(
      f"`keypoints` of {path} is {keypoints.dtype} {list(shape)}: write {expected} of "
      "floats, in COCO-17's order."
    )
  keypoints = keypoints.reshape(shape[0], -1, 17, 3).astype(np.float32)
  if np.isinf(keypoints).any():
    raise InputError(f"`keypoints` of {path} holds infinity: write NaN for missing.")
  index = _frame_index(arrays.get("frame_index"), len(keypoints), path)
  missing = np.isnan(keypoints).any(axis=-1, keepdims=True)
  keypoints = _clean(np.where(missing, 0, keypoints))
  return {
    int(i): people[people[..., 2].any(axis=-1)]
    for i, people in zip(index, keypoints, strict=True)
  }


def _frame_index(
  index: np.ndarray | None, length: int, path: pathlib.Path
) -> Int[np.ndarray, "frames"]:
  if index is None:
    return np.arange(length)
  if index.shape != (length,) or index.dtype.kind not in "iu":
    raise InputError(
      f"`frame_index` of {path} is {index.dtype} {list(index.shape)}: write one whole "
      f"number for each of the {length} frames of `keypoints`."
    )
  if len(np.unique(index)) < length:
    raise InputError(f"`frame_index` of {path} names a frame twice: number them anew.")
  return index
