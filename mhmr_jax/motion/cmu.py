"""CMU motion capture (ASF skeleton, AMC motion), retargeted to SMPL's joints."""

import dataclasses
import pathlib

import numpy as np
from scipy.spatial.transform import Rotation

from mhmr_jax.body.joints import SMPL_JOINTS
from mhmr_jax.errors import InputError
from mhmr_jax.motion import acclaim, retargeting
from mhmr_jax.motion.pose_sequence import PoseSequence, resample

# Frames per second of CMU's recordings; the files don't hold it.
CMU_FPS = 120.0

_SHORTEST = 1e-6  # Metres, of a limb whose direction is known.

_SPINE = ("lowerback", "upperback", "thorax")


@dataclasses.dataclass(frozen=True)
class _Source:
  """The CMU bones whose rotation an SMPL joint is given.

  Attributes:
    bones: one bone, or two whose rotations are averaged: those of the neck, and those
      of the forearm, which CMU twists in a bone of its own.
    chain: the bones with whose rest direction SMPL's limb is aligned; none where the
      rest poses agree.
    ends: the SMPL joints at the ends of that limb.
  """

  bones: tuple[str, ...]
  chain: tuple[str, ...] = ()
  ends: tuple[str, str] = ("", "")


def _sources() -> dict[str, _Source]:
  # The spine is aligned as a whole, because its bones curve differently in the two
  # skeletons. The collars are not aligned: CMU's start lower, and the shoulders would
  # be raised. CMU's hip sockets, fingers and thumbs are ignored.
  sources = {
    "pelvis": _Source(("root",)),
    "spine1": _Source(("lowerback",), _SPINE, ("spine1", "neck")),
    "spine2": _Source(("upperback",), _SPINE, ("spine1", "neck")),
    "spine3": _Source(("thorax",), _SPINE, ("spine1", "neck")),
    "neck": _Source(*2 * (("lowerneck", "upperneck"),), ("neck", "head")),
    "head": _Source(("head",)),
  }
  for side in ("left", "right"):
    for joint, end, bones in (
      ("hip", "knee", ("femur",)),
      ("knee", "ankle", ("tibia",)),
      ("ankle", "foot", ("foot",)),
      ("shoulder", "elbow", ("humerus",)),
      ("elbow", "wrist", ("radius", "wrist")),
      ("wrist", "hand", ("hand",)),
    ):
      names = tuple(side[0] + bone for bone in bones)
      ends = (f"{side}_{joint}", f"{side}_{end}")
      sources[ends[0]] = _Source(names, names, ends)
    sources[f"{side}_collar"] = _Source((f"{side[0]}clavicle",))
    toes = (f"{side[0]}toes",)
    sources[f"{side}_foot"] = _Source(toes, toes, (f"{side}_ankle", f"{side}_foot"))
    sources[f"{side}_hand"] = sources[f"{side}_wrist"]
  return {joint: sources[joint] for joint in SMPL_JOINTS}


_SOURCES = _sources()


def read(
  asf_path: str | pathlib.Path, amc_path: str | pathlib.Path, fps: float = 30.0
) -> PoseSequence:
  """Reads a motion, recorded at 120 frames per second, as SMPL poses.

  The joints of the hands keep their rest pose. `transl` is the root's path in metres.

  Raises:
    InputError: a file is missing or malformed, or the two don't belong together.
  """
  skeleton = acclaim.read_skeleton(asf_path)
  _check_bones(asf_path, skeleton)
  angles = acclaim.read_angles(amc_path, skeleton)
  stride = CMU_FPS / fps
  kept = round(stride) if stride >= 1 and stride == round(stride) else 1
  angles = {name: columns[::kept] for name, columns in angles.items()}
  local = acclaim.local_rotations(skeleton, angles)
  rotations = acclaim.global_rotations(skeleton, local)
  limbs = {
    joint: _limb(asf_path, skeleton, rotations, source)
    for joint, source in _SOURCES.items()
  }
  pose = retargeting.local_pose(retargeting.world_rotations(limbs))
  transl = acclaim.root_path(skeleton, angles).astype(np.float32)
  return resample(PoseSequence(pose, transl, CMU_FPS / kept), fps)


def _check_bones(path: str | pathlib.Path, skeleton: acclaim.Skeleton) -> None:
  required = {bone for source in _SOURCES.values() for bone in source.bones}
  missing = required - skeleton.bones.keys()
  if missing:
    raise InputError(f"{path}: not CMU's skeleton: it has no bone '{min(missing)}'.")


def _limb(
  path: str | pathlib.Path,
  skeleton: acclaim.Skeleton,
  rotations: dict[str, Rotation],
  source: _Source,
) -> retargeting.Limb:
  rotation = rotations[source.bones[0]]
  if len(source.bones) == 2:
    rotation = retargeting.halfway(rotation, rotations[source.bones[1]])
  if not source.chain:
    return retargeting.Limb(rotation)
  bones = [skeleton.bones[name] for name in source.chain]
  direction = np.sum([bone.direction * bone.length for bone in bones], axis=0)
  if np.linalg.norm(direction) < _SHORTEST:
    raise InputError(f"{path}: {' and '.join(source.chain)} together have no length.")
  return retargeting.Limb(rotation, direction, source.ends)
