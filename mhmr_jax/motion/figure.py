"""A recorded skeleton in motion: its bones' rotations, and points by SMPL's names."""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from mhmr_jax.motion import biovision
from mhmr_jax.motion.joint_names import Bones

_SHORTEST = 1e-3  # The shortest bone, in lengths of the longest one.
_MIDDLE = "mid"  # In the name of the middle finger.
_THUMBS = ("thumb", "finger0")


# The ends of limbs that no joint of SMPL marks: 'left_hand', 'left_foot' (the end of a
# foot without toes) and 'left_toes', and the right ones. Each is the mean of points in
# the frames of joints; a name is absent where the skeleton has none.
Tips = dict[str, list[tuple[int, Float[np.ndarray, "3"]]]]


@dataclasses.dataclass(frozen=True)
class Figure:
  """A skeleton over time.

  Attributes:
    rotations: each joint's world rotation, by the joint's index.
    points: positions by SMPL's names, and 'left_toes', 'right_toes' (their ends),
      'hips' (their middle) and 'top' (the head, or the neck without one); what the
      skeleton lacks is absent.
  """

  rotations: dict[int, Rotation]
  points: dict[str, Float[np.ndarray, "time 3"]]

  def seen_from(self, axes: Rotation) -> "Figure":
    """The figure in another world frame, to which `axes` rotates."""
    rotations = {j: axes * r * axes.inv() for j, r in self.rotations.items()}
    return Figure(rotations, {k: axes.apply(p) for k, p in self.points.items()})

  def frame(self, index: int) -> "Figure":
    """A single frame."""
    rows = slice(index, index + 1)
    rotations = {j: r[rows] for j, r in self.rotations.items()}
    return Figure(rotations, {k: p[rows] for k, p in self.points.items()})

  def relative_to(self, frame: "Figure") -> "Figure":
    """The figure, with rotations from those of a single frame instead of from zero."""
    start = {joint: rotation[0].inv() for joint, rotation in frame.rotations.items()}
    rotations = {j: r * start[j] for j, r in self.rotations.items()}
    return Figure(rotations, self.points)

  def line(self, first: str, last: str) -> Float[np.ndarray, "time 3"]:
    """The line from one point to another in every frame."""
    return self.points[last] - self.points[first]


def find_tips(recording: biovision.Recording, bones: Bones) -> Tips:
  """Finds the ends of hands, feet and toes among lower joints and end sites."""
  _, positions = biovision.forward(
    biovision.at_rest(recording), range(len(recording.joints))
  )
  longest = max(float(np.linalg.norm(joint.offset)) for joint in recording.joints[1:])
  tips: Tips = {}
  for side in ("left", "right"):
    for name, start in (
      ("hand", bones.limbs[f"{side}_wrist"]),
      ("foot", bones.limbs[f"{side}_ankle"]),
      ("toes", bones.limbs.get(f"{side}_foot")),
    ):
      if start is None or (name == "foot" and f"{side}_foot" in bones.limbs):
        continue
      found = _ends_below(recording, bones, start, positions, _SHORTEST * longest)
      if found:
        tips[f"{side}_{name}"] = found
  return tips


def _ends_below(
  recording: biovision.Recording,
  bones: Bones,
  start: int,
  positions: dict[int, Float[np.ndarray, "1 3"]],
  shortest: float,
) -> list[tuple[int, Float[np.ndarray, "3"]]]:
  """The nearest points below a joint that are not at its place; no thumb among them."""
  here = np.zeros(3)
  found, middle = [], []
  walk = [(start, False)]
  for index, past in walk:
    joint = recording.joints[index]
    away = np.linalg.norm(positions[index] - positions[start]) > shortest
    if away and _MIDDLE in bones.keys[index]:
      middle.append((index, here))
    if away and not past:
      found.append((index, here))
    elif not past and joint.end is not None:
      end = positions[index][0] + joint.end
      if np.linalg.norm(end - positions[start]) > shortest:
        found.append((index, joint.end))
    walk += [
      (child, past or bool(away))
      for child, other in enumerate(recording.joints)
      if other.parent == index
      and not any(thumb in bones.keys[child] for thumb in _THUMBS)
    ]
  return middle[:1] or found


def figure_of(recording: biovision.Recording, bones: Bones, tips: Tips) -> Figure:
  """The figure in every frame of a recording, in the file's unit and axes."""
  named = {**bones.limbs, "pelvis": bones.pelvis}
  if bones.neck:
    named["neck"] = bones.neck[0]
  if bones.head is not None:
    named["head"] = bones.head
  carriers = [joint for found in tips.values() for joint, _ in found]
  wanted = [*named.values(), *bones.spine, *bones.neck, *carriers]
  rotations, positions = biovision.forward(recording, wanted)
  points = {name: positions[joint] for name, joint in named.items()}
  points["top"] = positions[bones.neck[-1] if bones.head is None else bones.head]
  points["hips"] = (points["left_hip"] + points["right_hip"]) / 2
  for name, found in tips.items():
    ends = [positions[joint] + rotations[joint].apply(place) for joint, place in found]
    points[name] = np.mean(ends, axis=0)
  return Figure(rotations, points)
