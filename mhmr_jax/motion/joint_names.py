"""Finds the bones of SMPL's joints in a skeleton, by the names that programs give.

Names are compared without case, separators, namespaces and prefixes that most of them
share. Limbs are found by name. The trunk is found by where the limbs hang, because its
names differ most: the pelvis carries both legs, the chest both arms, and the spine lies
between them.
"""

import collections
import dataclasses
import itertools
import re
from collections.abc import Sequence

from mhmr_jax.body.joints import SMPL_JOINTS
from mhmr_jax.errors import InputError

# The names of a limb's joints, beside the word for its side: those of CMU's BVH files
# (cgspeed's for Daz and for MotionBuilder), Mixamo, Blender's Rigify, Unreal, 3ds Max's
# Biped, Rokoko, Motive, Xsens MVN, Acclaim and SMPL. The first name that a skeleton has
# counts, and a joint is taken once: 'LeftShoulder' is the collar where there is a
# 'LeftArm', and 'LeftFoot' the toes where there is a 'LeftAnkle'.
_LIMB_NAMES = {
  joint: tuple(names.split())
  for joint, names in (
    ("hip", "upleg thigh upperleg legupper femur thighbend hip leg"),
    ("knee", "knee shin calf lowerleg lowleg leglower tibia leg"),
    ("ankle", "ankle foot"),
    ("foot", "toebase toe toes toe0 ball foot"),
    (
      "shoulder",
      "upperarm uparm uarm armupper arm humerus shldr shldrbend shoulder",
    ),
    ("collar", "collar clavicle clav shoulder"),
    ("elbow", "forearm lowerarm lowarm farm armlower radius forearmbend elbow"),
    ("wrist", "wrist hand"),
  )
}
_OPTIONAL = ("foot", "collar")
_CHAINS = (("hip", "knee", "ankle", "foot"), ("collar", "shoulder", "elbow", "wrist"))
_PELVIS = ("hips", "pelvis", "hip")
_NECK = re.compile(r"neck\d*|(lower|upper)neck")
_SPINE = re.compile(r"spine\d+")  # Rigify's neck and head are its last bones.
_SIDES = {"left": ("left", "l"), "right": ("right", "r")}
_SEPARATORS = re.compile(r"[^0-9a-z]+")
_GLUED_PREFIX = re.compile(r"^mixamorig\d*")
_SHARED = 0.75  # A first word that more of the names have is a prefix.
_SHOWN_NAMES = 24  # In a message.


@dataclasses.dataclass(frozen=True)
class Bones:
  """The joints of a skeleton that correspond to SMPL's joints, by index.

  Attributes:
    pelvis: the joint that carries the legs and the spine.
    spine: from the first joint above the pelvis to the chest; at least one.
    neck: from the first joint above the chest to the last one below the head.
    head: the head; None if the skeleton ends at the neck.
    limbs: by SMPL's names; the feet (toes) and the collars may be absent.
    keys: the names of all joints, as they are compared.
    parents: the index of each joint's parent; -1 for the root.
  """

  pelvis: int
  spine: tuple[int, ...]
  neck: tuple[int, ...]
  head: int | None
  limbs: dict[str, int]
  keys: tuple[str, ...]
  parents: tuple[int, ...]

  def chain(self, first: int, last: int) -> tuple[int, ...]:
    """The joints from one down to the one above another; the first at least."""
    return (first, *_between(self.parents, first, last)[:-1])


def find_bones(path: object, names: Sequence[str], parents: Sequence[int]) -> Bones:
  """Finds the bones of a skeleton.

  Args:
    path: the file, for messages.
    names: the joints' names, parents first.
    parents: the index of each joint's parent; -1 for the root.

  Raises:
    InputError: a limb, the spine, or the neck and head have no joint, or a limb's
      joints don't follow each other.
  """
  keys = _keys(names)
  limbs = _limbs(keys)
  missing = [
    f"{side}_{joint}"
    for joint in _LIMB_NAMES
    for side in _SIDES
    if joint not in _OPTIONAL and f"{side}_{joint}" not in limbs
  ]
  pelvis, head = 0, None
  spine: tuple[int, ...] = ()
  neck: tuple[int, ...] = ()
  if not {"left_hip", "right_hip"} & set(missing):
    pelvis = _pelvis(keys, parents, limbs)
    if not {"left_shoulder", "right_shoulder"} & set(missing):
      spine, neck, head = _trunk(keys, parents, pelvis, limbs)
      missing += [] if spine else ["spine"]
      missing += [] if neck or head is not None else ["neck or head"]
  if missing:
    used = {pelvis, head, *spine, *neck, *limbs.values()}
    other = [f"'{name}'" for index, name in enumerate(names) if index not in used]
    more = ", ..." if len(other) > _SHOWN_NAMES else ""
    raise InputError(
      f"{path}: no joint has a known name for {', '.join(missing)}; rename joints to "
      f"SMPL's names, such as '{SMPL_JOINTS[1]}' (not used: "
      f"{', '.join(other[:_SHOWN_NAMES]) or 'none'}{more})."
    )
  _check_chains(path, names, parents, limbs)
  return Bones(pelvis, spine, neck, head, limbs, tuple(keys), tuple(parents))


def _keys(names: Sequence[str]) -> list[str]:
  """The names in lower case, without namespaces, shared prefixes and separators."""
  words = [
    [word for word in _SEPARATORS.split(re.split("[:|]", name.lower())[-1]) if word]
    for name in names
  ]
  while True:
    first = collections.Counter(w[0] for w in words if len(w) > 1)
    prefix, count = (first.most_common(1) or [("", 0)])[0]
    if count <= _SHARED * len(words):
      break
    words = [w[1:] if len(w) > 1 and w[0] == prefix else w for w in words]
  return [_GLUED_PREFIX.sub("", "".join(w)) for w in words]


def _limbs(keys: list[str]) -> dict[str, int]:
  sided: dict[tuple[str, str], int] = {}
  for index, key in enumerate(keys):
    for side, marks in _SIDES.items():
      for mark in marks:
        if key.startswith(mark):
          sided.setdefault((side, key[len(mark) :]), index)
        if key.endswith(mark):
          sided.setdefault((side, key[: -len(mark)]), index)
  limbs: dict[str, int] = {}
  for side in _SIDES:
    for joint, candidates in _LIMB_NAMES.items():
      for candidate in candidates:
        found = sided.get((side, candidate))
        if found is not None and found not in limbs.values():
          limbs[f"{side}_{joint}"] = found
          break
  return limbs


def _pelvis(keys: list[str], parents: Sequence[int], limbs: dict[str, int]) -> int:
  """The joint that carries both legs, or one above it that is named the pelvis."""
  fork = _fork(parents, limbs["left_hip"], limbs["right_hip"])
  named = [joint for joint in _ancestors(parents, fork) if keys[joint] in _PELVIS]
  return named[0] if named else fork


def _trunk(
  keys: list[str], parents: Sequence[int], pelvis: int, limbs: dict[str, int]
) -> tuple[tuple[int, ...], tuple[int, ...], int | None]:
  """The spine, the neck and the head."""
  fork = _fork(parents, limbs["left_shoulder"], limbs["right_shoulder"])
  spine = _between(parents, pelvis, fork)
  # Biped's collars hang on the neck.
  necks = [place for place, joint in enumerate(spine) if _NECK.fullmatch(keys[joint])]
  spine = spine[: necks[0]] if necks else spine
  if not spine:
    return (), (), None
  above = [j for j in range(len(keys)) if spine[-1] in _ancestors(parents, j)[1:]]
  heads = [joint for joint in above if keys[joint] == "head"]
  if heads:
    return spine, _between(parents, spine[-1], heads[0])[:-1], heads[0]
  ends = [joint for joint in above if _NECK.fullmatch(keys[joint])]
  if ends:
    return spine, _between(parents, spine[-1], ends[-1]), None
  ends = [joint for joint in above if _SPINE.fullmatch(keys[joint])]
  if ends:
    *neck, head = _between(parents, spine[-1], ends[-1])
    return spine, tuple(neck), head
  return spine, (), None


def _ancestors(parents: Sequence[int], joint: int) -> list[int]:
  """The joint itself, its parent, and so on up to the root."""
  chain = []
  while joint >= 0:
    chain.append(joint)
    joint = parents[joint]
  return chain


def _fork(parents: Sequence[int], first: int, second: int) -> int:
  """The lowest joint above two others."""
  above = _ancestors(parents, second)[1:]
  return next((j for j in _ancestors(parents, first)[1:] if j in above), 0)


def _between(parents: Sequence[int], first: int, last: int) -> tuple[int, ...]:
  """The joints below `first` on the way down to `last`, which is the last of them."""
  chain = _ancestors(parents, last)
  return tuple(reversed(chain[: chain.index(first)])) if first in chain else ()


def _check_chains(
  path: object, names: Sequence[str], parents: Sequence[int], limbs: dict[str, int]
) -> None:
  for side in _SIDES:
    for chain in _CHAINS:
      found = [f"{side}_{joint}" for joint in chain if f"{side}_{joint}" in limbs]
      for upper, lower in itertools.pairwise(found):
        if limbs[upper] not in _ancestors(parents, limbs[lower])[1:]:
          raise InputError(
            f"{path}: joint '{names[limbs[lower]]}' ({lower}) doesn't hang on "
            f"'{names[limbs[upper]]}' ({upper})."
          )
