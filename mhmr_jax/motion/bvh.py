"""BVH motion capture of any skeleton with known joint names, retargeted to SMPL's.

The skeleton's rest pose is that of its OFFSETs, or, where these are no standing pose
(as in files whose bones all lie along one axis), a frame of the motion. Which axis is
up, and where the body faces, follow from the rest pose. No file says its unit, and none
is guessed: the path is scaled by the ratio of the leg lengths, the free body's to the
skeleton's, because steps then cover the ground that SMPL's legs reach, and feet that
stand don't slide.
"""

import dataclasses
import pathlib

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from mhmr_jax.body.joints import SMPL_JOINTS
from mhmr_jax.errors import InputError
from mhmr_jax.motion import biovision, joint_names, retargeting, standing_pose
from mhmr_jax.motion.figure import Figure, Tips, figure_of, find_tips
from mhmr_jax.motion.pose_sequence import PoseSequence, resample
from mhmr_jax.motion.skeleton import rest_joints

_SIDES = ("left", "right")
_SHORTEST = 1e-3  # The shortest limb, in lengths of the leg.
_TOWARDS = 0.25  # The cosine from which a foot points to the front.
_LEAD_SECONDS = 3.0  # Where a pose in front of the motion is looked for.


def read(path: str | pathlib.Path, fps: float = 30.0) -> PoseSequence:
  """Reads a motion as SMPL poses.

  Thighs, shins, feet, upper arms, forearms and hands point exactly where the file's do.
  `transl` is the path of SMPL's pelvis, in metres of the free body, such that the
  middle of its hips follows the skeleton's. A T-pose or A-pose that was put in front of
  the motion is dropped.

  Raises:
    InputError: the file is missing or malformed, its joints have no known names, or
      neither its rest pose nor any of its frames is a standing pose.
  """
  recording = biovision.read_recording(path)
  names = [joint.name for joint in recording.joints]
  parents = [joint.parent for joint in recording.joints]
  bones = joint_names.find_bones(path, names, parents)
  tips = find_tips(recording, bones)
  first = _first_frame(recording, bones, tips)
  stride = recording.fps / fps
  kept = round(stride) if stride >= 1 and stride == round(stride) else 1
  # The first frame comes along, since it may be the only standing pose.
  rows = np.concatenate([recording.values[:1], recording.values[first::kept]])
  figure = figure_of(dataclasses.replace(recording, values=rows), bones, tips)
  point_like = _point_like(figure)
  if point_like:
    raise InputError(f"{path}: {' and '.join(point_like)} are at one place.")
  at_rest = figure_of(biovision.at_rest(recording), bones, tips)
  figure, rest, base = _with_rest(path, figure, at_rest)
  limbs = _Limbs(figure, rest, base.apply([0.0, 0.0, 1.0]), bones).all()
  world = retargeting.world_rotations(limbs, base)
  pose = retargeting.local_pose(world)[1:]
  transl = _path(figure, world[0]).astype(np.float32)[1:]
  return resample(PoseSequence(pose, transl, recording.fps / kept), fps)


def _first_frame(
  recording: biovision.Recording, bones: joint_names.Bones, tips: Tips
) -> int:
  values = recording.values[: round(_LEAD_SECONDS * recording.fps) + 2]
  start = figure_of(dataclasses.replace(recording, values=values), bones, tips)
  columns = [c for joint in recording.joints for c in joint.rotations.values()]
  return standing_pose.lead_in(start, np.all(values[:, columns] == 0, axis=1))


def _point_like(figure: Figure) -> tuple[str, str] | None:
  """The ends of a line that has no length in some frame, of those that are aligned."""
  shortest = _SHORTEST * _leg_length(figure)
  trunk = ("hips", _neck_of(figure))
  for line in (*standing_pose.LIMBS, ("right_hip", "left_hip"), trunk):
    if not np.linalg.norm(figure.line(*line), axis=-1).min() > shortest:
      return line
  return None


def _neck_of(figure: Figure) -> str:
  return "neck" if "neck" in figure.points else "head"


def _with_rest(
  path: str | pathlib.Path, figure: Figure, at_rest: Figure
) -> tuple[Figure, Figure, Rotation]:
  """Turns a figure to y up, and finds its rest pose.

  Returns:
    the figure, its rotations from the rest pose; the rest pose, a single frame; and the
    rotation from SMPL's rest pose to it.
  """
  if standing_pose.is_upright(at_rest) and not _point_like(at_rest):
    axes = standing_pose.facing(at_rest, standing_pose.upright_axis(at_rest))
    return figure.seen_from(axes), at_rest.seen_from(axes), Rotation.identity()
  index = standing_pose.straightest(figure)
  if index is None:
    raise InputError(
      f"{path}: neither the OFFSETs nor any frame is a standing pose; put a T-pose in "
      "front of the motion."
    )
  up = standing_pose.upright_axis(figure)
  figure = figure.seen_from(standing_pose.facing(figure.frame(index), up))
  rest = figure.frame(index)
  return figure.relative_to(rest), rest, standing_pose.body_turn(rest)


def _leg_length(figure: Figure) -> float:
  """The length from hip to ankle, along thigh and shin."""
  lines = [figure.line(*bone) for bone in standing_pose.LEGS]
  return float(np.median(np.linalg.norm(lines, axis=-1).sum(axis=0))) / 2


def _path(figure: Figure, pelvis: Rotation) -> Float[np.ndarray, "time 3"]:
  """The path of SMPL's pelvis, metres."""
  joints = {name: rest_joints()[None, j] for j, name in enumerate(SMPL_JOINTS)}
  scale = _leg_length(Figure({}, joints)) / _leg_length(figure)
  middle = (joints["left_hip"] + joints["right_hip"]) / 2
  return scale * figure.points["hips"] - pelvis.apply(middle)


@dataclasses.dataclass(frozen=True)
class _Limbs:
  """Makes the limbs of SMPL's joints from a figure and its rest pose."""

  figure: Figure
  rest: Figure
  front: Float[np.ndarray, "3"]
  bones: joint_names.Bones

  def all(self) -> dict[str, retargeting.Limb]:
    limbs = {"pelvis": self._turned(self.bones.pelvis), **self._spine(), **self._neck()}
    for side in _SIDES:
      limbs |= self._leg(side) | self._arm(side)
    return {joint: limbs[joint] for joint in SMPL_JOINTS}

  def _turned(self, joint: int | None) -> retargeting.Limb:
    """A limb that is not aligned; without a joint, it moves with its parent."""
    return retargeting.Limb(None if joint is None else self.figure.rotations[joint])

  def _spine(self) -> dict[str, retargeting.Limb]:
    """The spine's turns, spread evenly over SMPL's three joints.

    It is aligned as a whole, from the hips to the neck, because its bones curve
    differently in the two skeletons.
    """
    end = _neck_of(self.rest)
    trunk = self.rest.line("hips", end)[0]
    chain = [self.figure.rotations[j] for j in (self.bones.pelvis, *self.bones.spine)]
    limbs = {}
    for number in (1, 2, 3):
      lower, third = divmod(number * (len(chain) - 1), 3)
      rotation = chain[lower]
      if third:
        rotation = retargeting.between(rotation, chain[lower + 1], third / 3)
      limbs[f"spine{number}"] = retargeting.Limb(rotation, trunk, ("pelvis", end))
    return limbs

  def _neck(self) -> dict[str, retargeting.Limb]:
    neck, head = self.bones.neck, self.bones.head
    if head is None:
      return {"neck": self._turned(neck[0]), "head": self._turned(None)}
    if not neck:
      rotations = (self.figure.rotations[j] for j in (self.bones.spine[-1], head))
      limb = retargeting.Limb(retargeting.halfway(*rotations))
    else:
      limb = self._segment("neck", "head", neck)
    return {"neck": limb, "head": self._turned(head)}

  def _leg(self, side: str) -> dict[str, retargeting.Limb]:
    hip, knee, ankle, foot = (f"{side}_{n}" for n in ("hip", "knee", "ankle", "foot"))
    toes = self.bones.limbs.get(foot)
    limbs = {
      hip: self._segment(hip, knee, self._chain(hip, knee)),
      knee: self._segment(knee, ankle, self._chain(knee, ankle)),
      ankle: self._segment(ankle, foot, self._chain(ankle, foot), self.front),
      foot: self._turned(toes),
    }
    if toes is not None:
      tip = f"{side}_toes"
      along = self._segment(foot, tip, (toes,), self.front)
      limbs[foot] = dataclasses.replace(along, ends=(ankle, foot), path=None)
    return limbs

  def _arm(self, side: str) -> dict[str, retargeting.Limb]:
    collar, shoulder, elbow, wrist, hand = (
      f"{side}_{n}" for n in ("collar", "shoulder", "elbow", "wrist", "hand")
    )
    forearm = self.rest.line(elbow, wrist)[0]
    return {
      collar: self._turned(self.bones.limbs.get(collar, self.bones.spine[-1])),
      shoulder: self._segment(shoulder, elbow, self._chain(shoulder, elbow)),
      elbow: self._segment(elbow, wrist, self._chain(elbow, wrist)),
      wrist: self._segment(wrist, hand, (self.bones.limbs[wrist],), forearm),
      hand: self._turned(None),
    }

  def _chain(self, first: str, last: str) -> tuple[int, ...]:
    """The joints from one to the one above another, both named."""
    limbs = self.bones.limbs
    return self.bones.chain(limbs[first], limbs.get(last, limbs[first]))

  def _segment(
    self,
    first: str,
    last: str,
    chain: tuple[int, ...],
    towards: Float[np.ndarray, "3"] | None = None,
  ) -> retargeting.Limb:
    """A limb between two points, turned as the joints along it are on average.

    It is aligned as its parent where the second point is missing, or is not `towards`
    that direction in the rest pose: some end sites point anywhere.
    """
    rotation = self.figure.rotations[chain[0]]
    if len(chain) > 1:
      rotation = retargeting.halfway(rotation, self.figure.rotations[chain[-1]])
    if {first, last} <= self.figure.points.keys():
      line, path = self.rest.line(first, last)[0], self.figure.line(first, last)
      shortest = _SHORTEST * _leg_length(self.figure)
      long = min(np.linalg.norm(lines, axis=-1).min() for lines in (line, path))
      if long > shortest and (towards is None or _cosine(line, towards) > _TOWARDS):
        return retargeting.Limb(rotation, line, (first, last), path=path)
    return retargeting.Limb(rotation, follows=True)


def _cosine(first: Float[np.ndarray, "3"], second: Float[np.ndarray, "3"]) -> float:
  return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))
