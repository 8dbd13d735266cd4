"""Reads Acclaim's skeleton (ASF) and motion (AMC) files, as CMU writes them."""

import collections
import dataclasses
import pathlib

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from mhmr_jax.errors import InputError
from mhmr_jax.files import untrusted

_METRES_PER_INCH = 0.0254
_ROTATIONS = ("rx", "ry", "rz")
_TRANSLATIONS = ("tx", "ty", "tz")
_ANGLES = {":DEGREES": True, ":RADIANS": False}
_MAX_BYTES = 1 << 28
_LARGEST = 1e6  # No length or angle of a recording is larger; products stay finite.
_LONGEST_BONE = 100.0  # Metres.
_SMALLEST_UNIT, _LARGEST_UNIT = 1e-6, 1e3  # Metres.


@dataclasses.dataclass(frozen=True)
class Bone:
  """A bone in the rest pose, and how its angles rotate it.

  Attributes:
    parent: name of the parent bone; empty for the root.
    direction: unit vector in the rest pose, world frame.
    length: metres.
    axis: the rest frame, in whose axes the angles rotate the bone.
    order: the fixed axes in the order of the rotations, e.g. 'xyz'.
    dofs: the columns that the motion file has for the bone, of tx ty tz rx ry rz.
  """

  parent: str
  direction: Float[np.ndarray, "3"]
  length: float
  axis: Rotation
  order: str
  dofs: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Skeleton:
  """The skeleton of an ASF file.

  Attributes:
    bones: by name, parents first; 'root' has length zero.
    metres_per_unit: the length of the file's unit.
    degrees: whether the file's angles are in degrees, not radians.
  """

  bones: dict[str, Bone]
  metres_per_unit: float
  degrees: bool


def read_skeleton(path: str | pathlib.Path) -> Skeleton:
  """Reads an ASF file.

  Raises:
    InputError: the file is missing or malformed.
  """
  path = pathlib.Path(path)
  sections = _sections(path)
  units = _Fields(f"{path}: :units", {line[0]: line[1:] for line in sections[":units"]})
  length = float(units.floats("length", 1)[0])
  if not _SMALLEST_UNIT <= _METRES_PER_INCH / max(length, 1e-9) <= _LARGEST_UNIT:
    raise InputError(
      f"{path}: 'length' under :units is no scale of a recording, such as 0.45."
    )
  scale = _METRES_PER_INCH / length
  degrees = units.words("angle", 1)[0].lower().startswith("deg")
  blocks = _blocks(path, sections[":bonedata"])
  root = {line[0].lower(): line[1:] for line in sections[":root"]}
  blocks["root"] = _Fields(f"{path}: :root", root)
  parents = _parents(path, sections[":hierarchy"])
  if parents.keys() != blocks.keys():
    name = min(parents.keys() ^ blocks.keys())
    raise InputError(f"{path}: bone '{name}' is not in both :bonedata and :hierarchy.")
  bones = {
    name: _bone(blocks[name], parent, scale, degrees)
    for name, parent in parents.items()
  }
  return Skeleton(bones, scale, degrees)


def read_angles(
  path: str | pathlib.Path, skeleton: Skeleton
) -> dict[str, Float[np.ndarray, "time _"]]:
  """Reads an AMC file: the columns of each bone, in the skeleton's units.

  Raises:
    InputError: the file is missing or malformed, or doesn't fit the skeleton.
  """
  path = pathlib.Path(path)
  lines = _read_text(path).splitlines()
  rows: dict[str, list[str]] = collections.defaultdict(list)
  numbers: dict[str, list[int]] = collections.defaultdict(list)
  frames, degrees = 0, skeleton.degrees
  for number, line in enumerate(lines, 1):
    name, values = (*line.split(None, 1), "", "")[:2]
    if name.isdigit() and not values:
      frames += 1
    elif frames:
      if name:
        rows[name].append(values)
        numbers[name].append(number)
    elif name.upper() in _ANGLES:
      degrees = _ANGLES[name.upper()]
    elif name and name[0] not in "#:":
      raise InputError(f"{path}:{number}: expected a frame number, not '{line}'.")
  if not frames or "root" not in rows:
    raise InputError(f"{path}: no frame with a root; is this an AMC file?")
  angles = {
    name: _columns(path, skeleton, name, rows[name], numbers[name], frames)
    for name in rows
  }
  if degrees != skeleton.degrees:
    convert = np.degrees if skeleton.degrees else np.radians
    for name, columns in angles.items():
      turns = [dof in _ROTATIONS for dof in skeleton.bones[name].dofs]
      columns[:, turns] = convert(columns[:, turns])
  return angles


def local_rotations(
  skeleton: Skeleton, angles: dict[str, Float[np.ndarray, "time _"]]
) -> dict[str, Rotation]:
  """Each bone's rotation relative to its parent, in world axes: C R(angles) C^-1."""
  frames = len(angles["root"])
  local = {}
  for name, bone in skeleton.bones.items():
    euler = np.zeros((frames, 3))
    for column, dof in enumerate(bone.dofs):
      if name in angles and dof in _ROTATIONS:
        euler[:, bone.order.index(dof[1])] = angles[name][:, column]
    turn = Rotation.from_euler(bone.order, euler, degrees=skeleton.degrees)
    local[name] = bone.axis * turn * bone.axis.inv()
  return local


def global_rotations(
  skeleton: Skeleton, local: dict[str, Rotation]
) -> dict[str, Rotation]:
  """Each bone's world rotation from its rest pose."""
  world: dict[str, Rotation] = {}
  for name, bone in skeleton.bones.items():
    world[name] = world[bone.parent] * local[name] if bone.parent else local[name]
  return world


def root_path(
  skeleton: Skeleton, angles: dict[str, Float[np.ndarray, "time _"]]
) -> Float[np.ndarray, "time 3"]:
  """The root's position in every frame, metres."""
  dofs = skeleton.bones["root"].dofs
  columns = [dofs.index(dof) for dof in _TRANSLATIONS]
  return angles["root"][:, columns] * skeleton.metres_per_unit


def _read_text(path: pathlib.Path) -> str:
  return untrusted.read_bytes(path, "Acclaim's text", _MAX_BYTES).decode("latin-1")


def _columns(
  path: pathlib.Path,
  skeleton: Skeleton,
  name: str,
  rows: list[str],
  numbers: list[int],
  frames: int,
) -> Float[np.ndarray, "time _"]:
  if name not in skeleton.bones:
    raise InputError(
      f"{path}:{numbers[0]}: the skeleton has no bone '{name[:40]}'; give the ASF file "
      "of the same subject."
    )
  if len(rows) != frames:
    raise InputError(
      f"{path}: bone '{name[:40]}' is in {len(rows)} of {frames} frames."
    )
  width = len(skeleton.bones[name].dofs)
  values = np.zeros((frames, width))
  for into, row, number in zip(values, rows, numbers, strict=True):
    found = _floats(row.split())
    if found is None or len(found) != width:
      raise InputError(
        f"{path}:{number}: bone '{name[:40]}' wants {width} finite numbers below "
        f"{_LARGEST:,.0f}."
      )
    into[:] = found
  return values


def _floats(words: list[str]) -> Float[np.ndarray, "_"] | None:
  """The numbers that the words stand for; None if one is no possible number."""
  try:
    values = np.fromiter(map(float, words), np.float64, len(words))
  except ValueError:
    return None
  return values if (np.abs(values) < _LARGEST).all() else None


def _sections(path: pathlib.Path) -> dict[str, list[list[str]]]:
  """The words of each line under each ':section' of an ASF file."""
  sections: dict[str, list[list[str]]] = collections.defaultdict(list)
  section = ""
  for line in _read_text(path).splitlines():
    words = line.partition("#")[0].split()
    if words and words[0].startswith(":"):
      section = words[0]
    elif words:
      sections[section].append(words)
  missing = {":units", ":root", ":bonedata", ":hierarchy"} - sections.keys()
  if missing:
    raise InputError(f"{path}: no section {min(missing)}; is this an ASF file?")
  return sections


@dataclasses.dataclass(frozen=True)
class _Fields:
  """The values of one block of an ASF file, and its name in error messages."""

  where: str
  values: dict[str, list[str]]

  def words(self, key: str, count: int) -> list[str]:
    words = self.values.get(key, [])
    if len(words) < count:
      raise InputError(f"{self.where} wants {count} values of '{key}'.")
    return words

  def floats(self, key: str, count: int) -> Float[np.ndarray, "_"]:
    values = _floats(self.words(key, count)[:count])
    if values is None:
      raise InputError(
        f"{self.where}: '{key}' wants {count} finite numbers below {_LARGEST:,.0f}."
      )
    return values


def _blocks(path: pathlib.Path, lines: list[list[str]]) -> dict[str, _Fields]:
  blocks: dict[str, _Fields] = {}
  fields: dict[str, list[str]] = {}
  for words in lines:
    if words[0] == "begin":
      fields = {}
    elif words[0] == "end":
      (name, *_) = _Fields(f"{path}: a bone", fields).words("name", 1)
      blocks[name] = _Fields(f"{path}: bone '{name}'", fields)
    elif len(words) > 1:
      fields.setdefault(words[0], words[1:])
  return blocks


def _parents(path: pathlib.Path, lines: list[list[str]]) -> dict[str, str]:
  """The parent of each bone; parents come before their children."""
  children: dict[str, list[str]] = collections.defaultdict(list)
  for words in lines:
    if words[0] not in ("begin", "end"):
      children[words[0]] += words[1:]
  parents = {"root": ""}
  queue = ["root"]
  for name in queue:
    for child in children.pop(name, []):
      if child in parents:
        raise InputError(f"{path}: bone '{child}' has two parents in :hierarchy.")
      parents[child] = name
      queue.append(child)
  if children:
    raise InputError(f"{path}: bone '{min(children)}' doesn't hang on the root.")
  return parents


def _bone(fields: _Fields, parent: str, scale: float, degrees: bool) -> Bone:
  if parent:
    order = fields.words("axis", 4)[3].lower()
    axis = fields.floats("axis", 3)
    direction = fields.floats("direction", 3)
    direction = direction / max(float(np.linalg.norm(direction)), 1e-9)
    length = float(fields.floats("length", 1)[0]) * scale
    if not 0 <= length < _LONGEST_BONE:
      raise InputError(f"{fields.where}: {length:.3g} m is no 'length' of a bone.")
    dofs = tuple(dof.lower() for dof in fields.values.get("dof", ()))
    known: tuple[str, ...] = _ROTATIONS
  else:
    order = fields.words("axis", 1)[0].lower()
    axis = fields.floats("orientation", 3)
    direction, length = np.zeros(3), 0.0
    dofs = tuple(dof.lower() for dof in fields.words("order", 6))
    known = _TRANSLATIONS + _ROTATIONS
  is_usable = set(dofs) <= set(known) and len(set(dofs)) == len(dofs)
  if not parent:
    is_usable &= len(dofs) == len(known)
  if sorted(order) != ["x", "y", "z"] or not is_usable:
    raise InputError(
      f"{fields.where}: only the dofs {', '.join(known)} are read, once each (all of "
      "the root's), about the axes x, y and z."
    )
  rest = Rotation.from_euler(order, axis, degrees=degrees)
  return Bone(parent, direction, length, rest, order, dofs)
