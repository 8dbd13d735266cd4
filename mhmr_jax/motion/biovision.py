"""Reads Biovision hierarchy files (BVH): a skeleton, and its channels over time."""

import dataclasses
import itertools
import pathlib
import re
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from mhmr_jax.errors import InputError
from mhmr_jax.files import untrusted

_CHANNEL = re.compile(r"([xyz])(position|rotation)", re.IGNORECASE)
_BRACES = re.compile(r"[{}]|[^{}]+")
_LARGEST = 1e6  # No length or angle of a recording is larger; products stay finite.
_MOST_JOINTS = 1000
_MAX_BYTES = 1 << 28  # An hour of a hundred channels at 60 frames a second.
_SLOWEST, _FASTEST = 1, 10_000  # Plausible frames per second of a recording.


@dataclasses.dataclass
class Joint:
  """A joint of the hierarchy.

  Attributes:
    name: as the file has it, with spaces and namespace.
    parent: the parent's index; -1 for the root.
    offset: the position in the parent's frame, in the file's unit.
    positions: the axis (x 0, y 1, z 2) of each position channel, and its column.
    rotations: the same of the rotation channels, in the order of the rotations.
    end: the offset of the end site; None if the joint has none.
  """

  name: str
  parent: int
  offset: Float[np.ndarray, "3"]
  positions: dict[int, int]
  rotations: dict[int, int]
  end: Float[np.ndarray, "3"] | None = None


@dataclasses.dataclass(frozen=True)
class Recording:
  """The contents of a BVH file.

  Attributes:
    joints: the joints, parents first.
    values: the channels; lengths in the file's unit, angles in degrees.
    fps: frames per second.
  """

  joints: list[Joint]
  values: Float[np.ndarray, "time channels"]
  fps: float


def read_recording(path: str | pathlib.Path) -> Recording:
  """Reads a BVH file of one skeleton.

  Raises:
    InputError: the file is missing or malformed, or has more than one root.
  """
  data = untrusted.read_bytes(path, "BVH", _MAX_BYTES)
  text = data.decode("utf-8-sig", errors="replace")
  lines = re.split(r"\r\n|\n|\r", text)
  upper = [line.strip().upper() for line in itertools.islice(lines, 100_000)]
  if "HIERARCHY" not in upper or "MOTION" not in upper:
    raise InputError(
      f"{path}: has no line HIERARCHY and no line MOTION after it; is this a BVH file?"
    )
  start, middle = upper.index("HIERARCHY"), upper.index("MOTION")
  parser = _Hierarchy(path)
  for number in range(start + 1, middle):
    for piece in _BRACES.findall(lines[number]):
      if piece.strip():
        parser.take(number + 1, piece.strip())
  joints, width = parser.finish(middle + 1)
  frames, fps, first = _motion_header(path, lines, middle + 1)
  return Recording(joints, _values(path, lines, first, frames, width), fps)


def forward(
  recording: Recording, wanted: Iterable[int]
) -> tuple[dict[int, Rotation], dict[int, Float[np.ndarray, "time 3"]]]:
  """The world rotations and positions of joints in every frame, in the file's unit.

  Rotations are intrinsic, in the order of the channels. A position channel replaces its
  part of the joint's OFFSET, as exporters write roots, and bones that stretch.

  Args:
    recording: the recording.
    wanted: the indices of the joints; those above them are returned too.
  """
  frames = len(recording.values)
  rotations = {-1: Rotation.identity(frames)}
  positions = {-1: np.zeros((frames, 3))}
  for index in _with_ancestors(recording.joints, wanted):
    joint = recording.joints[index]
    offset = np.tile(joint.offset, (frames, 1))
    for axis, column in joint.positions.items():
      offset[:, axis] = recording.values[:, column]
    above = rotations[joint.parent]
    positions[index] = positions[joint.parent] + above.apply(offset)
    rotations[index] = above
    if joint.rotations:
      order = "".join("XYZ"[axis] for axis in joint.rotations)
      angles = recording.values[:, list(joint.rotations.values())]
      rotations[index] = above * Rotation.from_euler(order, angles, degrees=True)
  del rotations[-1], positions[-1]
  return rotations, positions


def at_rest(recording: Recording) -> Recording:
  """The skeleton's rest pose: one frame without rotations, every bone its OFFSET."""
  joints = [
    dataclasses.replace(joint, positions={}, rotations={}) for joint in recording.joints
  ]
  return Recording(joints, np.zeros((1, 0)), recording.fps)


def _with_ancestors(joints: list[Joint], wanted: Iterable[int]) -> list[int]:
  needed: set[int] = set()
  for joint in wanted:
    while joint >= 0 and joint not in needed:
      needed.add(joint)
      joint = joints[joint].parent
  return sorted(needed)


class _Hierarchy:
  """Builds the joints from the statements and braces of a HIERARCHY section."""

  def __init__(self, path: str | pathlib.Path):
    self._path = path
    self._joints: list[Joint] = []
    self._open: list[int | None] = []  # None is an end site.
    self._waiting = False  # Whether a joint or end site still lacks its brace.
    self._done: set[tuple[int | None, str]] = set()
    self._columns = 0

  def take(self, number: int, piece: str) -> None:
    """Takes a brace, or a statement that ends at a brace or at the line's end."""
    word, _, rest = piece.replace("\t", " ").partition(" ")
    word, rest = word.upper(), rest.strip()
    if (piece == "{") != self._waiting or (piece == "}" and not self._open):
      raise InputError(f"{self._path}:{number}: '{piece[:40]}' is out of place.")
    if piece == "{":
      self._waiting = False
    elif piece == "}":
      self._close(number)
    elif word == "ROOT" and self._joints:
      raise InputError(
        f"{self._path}:{number}: has a second root, '{rest}'; write the motion of each "
        "person to a file of its own."
      )
    elif word in ("ROOT", "JOINT", "END"):
      self._start(number, word, rest)
    elif word == "OFFSET":
      self._offset(number, rest)
    elif word == "CHANNELS":
      self._channels(number, rest)
    else:
      raise InputError(
        f"{self._path}:{number}: '{piece[:40]}' is no statement of a BVH hierarchy."
      )

  def finish(self, number: int) -> tuple[list[Joint], int]:
    """The joints, parents first, and the number of columns."""
    if self._open or not self._joints:
      raise InputError(
        f"{self._path}:{number}: MOTION comes before the hierarchy is complete."
      )
    return self._joints, self._columns

  def _start(self, number: int, word: str, rest: str) -> None:
    above = self._open[-1] if self._open else -1
    if above is None or (above < 0) != (word == "ROOT"):
      raise InputError(f"{self._path}:{number}: '{word} {rest}' is out of place.")
    if word == "END":
      self._open.append(None)
    else:
      if not rest:
        raise InputError(f"{self._path}:{number}: {word} wants a name.")
      if len(self._joints) == _MOST_JOINTS:
        raise InputError(f"{self._path}:{number}: has more than {_MOST_JOINTS} joints.")
      self._open.append(len(self._joints))
      self._joints.append(Joint(rest, above, np.full(3, np.nan), {}, {}))
    self._waiting = True

  def _close(self, number: int) -> None:
    index = self._open.pop()
    if index is None:
      return
    joint = self._joints[index]
    if np.isnan(joint.offset).any() or (index, "CHANNELS") not in self._done:
      raise InputError(
        f"{self._path}:{number}: joint '{joint.name}' wants OFFSET and CHANNELS."
      )

  def _once(self, number: int, word: str) -> Joint:
    """Returns the joint of a statement, which must be its only one of that word."""
    owner = self._open[-1] if self._open else None
    index = self._open[-2] if owner is None and len(self._open) > 1 else owner
    if index is None or (owner is None and word == "CHANNELS"):
      raise InputError(f"{self._path}:{number}: {word} is out of place.")
    if (owner, word) in self._done and owner is not None:
      raise InputError(
        f"{self._path}:{number}: joint '{self._joints[index].name}' has two {word}."
      )
    self._done.add((owner, word))
    return self._joints[index]

  def _offset(self, number: int, rest: str) -> None:
    joint = self._once(number, "OFFSET")
    offset = _numbers(rest.split())
    if len(offset) != 3 or not (np.abs(offset) < _LARGEST).all():
      raise InputError(
        f"{self._path}:{number}: OFFSET of '{joint.name}' wants 3 numbers below "
        f"{_LARGEST:,.0f}."
      )
    if self._open[-1] is None:
      joint.end = offset
    else:
      joint.offset = offset

  def _channels(self, number: int, rest: str) -> None:
    joint = self._once(number, "CHANNELS")
    count, *names = rest.split() or [""]
    matches = [_CHANNEL.fullmatch(name) for name in names]
    for match in matches:
      if match:
        rotates = match[2].lower() == "rotation"
        columns = joint.rotations if rotates else joint.positions
        columns["xyz".index(match[1].lower())] = self._columns
        self._columns += 1
    if count != str(len(joint.positions) + len(joint.rotations)) or None in matches:
      raise InputError(
        f"{self._path}:{number}: CHANNELS of '{joint.name}' wants their number, and as "
        "many different ones of Xposition to Zposition and Xrotation to Zrotation."
      )


def _numbers(words: list[str]) -> Float[np.ndarray, "_"]:
  """The numbers that the words stand for; none if a word is no number."""
  try:
    return np.fromiter(map(float, words), np.float64, len(words))
  except ValueError:
    return np.zeros(0)


def _motion_header(
  path: str | pathlib.Path, lines: list[str], line: int
) -> tuple[int, float, int]:
  """The number of frames, their rate, and the index of the first frame's line."""
  fields = {}
  for name in ("Frames", "Frame Time"):
    while line < len(lines) and not lines[line].strip():
      line += 1
    text = " ".join(lines[line].split()) if line < len(lines) else ""
    pattern = rf"{name} ?:? ?(\S+)"
    match = re.fullmatch(pattern, text, re.IGNORECASE)
    if not match:
      raise InputError(f"{path}:{line + 1}: expected '{name}:' and a number after it.")
    fields[name] = match[1], line + 1
    line += 1
  count, number = fields["Frames"]
  if not re.fullmatch(r"0*[1-9][0-9]{0,9}", count):
    raise InputError(
      f"{path}:{number}: 'Frames: {count[:20]}' is no whole number above zero."
    )
  time, number = fields["Frame Time"]
  seconds = _numbers([time])
  if not seconds.size or not 1 / _FASTEST <= seconds[0] <= 1 / _SLOWEST:
    raise InputError(
      f"{path}:{number}: 'Frame Time: {time[:20]}' is not from {1 / _FASTEST} to "
      f"{1 / _SLOWEST:g} seconds."
    )
  return int(count), _rate(time, float(seconds[0])), line


def _rate(text: str, seconds: float) -> float:
  """Frames per second; a whole number if its frame time was rounded to the text's."""
  decimals = re.fullmatch(r"\d*\.(\d+)", text)
  whole = round(1 / seconds)
  error = 10.0 ** -len(decimals[1]) if decimals else 0.0
  return float(whole) if abs(1 / whole - seconds) <= error else 1 / seconds


def _values(
  path: str | pathlib.Path, lines: list[str], first: int, frames: int, width: int
) -> Float[np.ndarray, "time channels"]:
  rows = {
    number: words for number, line in enumerate(lines[first:], first + 1)
    if (words := line.split())
  }  # fmt: skip
  for number, words in rows.items():
    if len(words) != width:
      raise InputError(
        f"{path}:{number}: a frame of this skeleton has {width} values, not "
        f"{len(words)}; is the file cut off?"
      )
  if len(rows) != frames:
    raise InputError(f"{path}: has {len(rows)} frames, and not 'Frames: {frames}'.")
  values = _numbers(list(itertools.chain.from_iterable(rows.values())))
  if not values.size or not (np.abs(values) < _LARGEST).all():
    for number, words in rows.items():
      row = _numbers(words)
      if not row.size or not (np.abs(row) < _LARGEST).all():
        raise InputError(
          f"{path}:{number}: a frame wants finite numbers below {_LARGEST:,.0f}."
        )
  return values.reshape(frames, width)
