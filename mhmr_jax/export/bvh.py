"""Writes a motion as a Biovision hierarchy: SMPL's joints, the person's bone lengths.

Lengths are in centimetres and y is up. The root's OFFSET is zero, because some readers
add it to the position channels and others don't.
"""

import pathlib
import warnings

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from mhmr_jax.body import smpl
from mhmr_jax.body.joints import SMPL_JOINTS, SMPL_PARENTS
from mhmr_jax.export import even_rate, rest_pose
from mhmr_jax.files import atomic
from mhmr_jax.schema import Motion

_CENTIMETRES = 100.0
_ORDER = "ZXY"  # R = Rz Rx Ry; a standing body's heading is the last angle.
_ROTATIONS = " ".join(f"{axis}rotation" for axis in _ORDER)
_FORMAT = (
  " ".join(["%.5f"] * (3 + 24 * 3)) + "\n"
)  # A row: faster than number by number.
_CHILDREN = {j: [c for c in range(24) if SMPL_PARENTS[c] == j] for j in range(24)}


def write(path: pathlib.Path, motion: Motion, body: smpl.SmplModel) -> None:
  """Writes a .bvh file of one person, at the video's average frame rate.

  Args:
    path: the path of the file.
    motion: the motion of one person.
    body: the body that the motion was made with.

  Raises:
    InputError: the file cannot be written.
  """
  offsets, ends = _skeleton(body, motion.betas[0])
  hierarchy, order = _joint(0, offsets, ends)
  with atomic.whole(path) as partial, partial.open("w") as file:
    file.write("\n".join(["HIERARCHY", *hierarchy, "MOTION", ""]))
    file.write(f"Frames: {even_rate.count_rows(motion)}\n")
    file.write(f"Frame Time: {1 / motion.fps:.8f}\n")
    before = None
    for part in even_rate.pose_sequences(motion):
      angles = _euler(part.pose, before)
      before = angles[-1]
      columns = angles[:, order].reshape(len(angles), -1)
      for row in np.concatenate([part.transl * _CENTIMETRES, columns], axis=1).tolist():
        file.write(_FORMAT % tuple(row))


def _skeleton(
  body: smpl.SmplModel, betas: Float[np.ndarray, "10"]
) -> tuple[Float[np.ndarray, "24 3"], dict[int, Float[np.ndarray, "3"]]]:
  """Each joint's place in its parent's frame, and the tips of the last joints, cm.

  A tip lies as far along the bone as the vertices that move with the joint do; that of
  the toes at the height of their joint, for soles are flat.
  """
  vertices, joints = (_CENTIMETRES * part for part in rest_pose.shaped(body, betas))
  offsets = joints - joints[list(SMPL_PARENTS)]
  offsets[0] = 0
  carrier = np.argmax(np.asarray(body.weights), axis=1)
  ends = {}
  for joint, children in _CHILDREN.items():
    if not children:
      flat = (1, 0, 1) if SMPL_JOINTS[joint].endswith("foot") else (1, 1, 1)
      along = offsets[joint] * flat
      along /= np.linalg.norm(along)
      reach = (vertices[carrier == joint] - joints[joint]) @ along
      ends[joint] = along * reach.max(initial=1.0)
  return offsets, ends


def _joint(
  joint: int,
  offsets: Float[np.ndarray, "24 3"],
  ends: dict[int, Float[np.ndarray, "3"]],
  depth: int = 0,
) -> tuple[list[str], list[int]]:
  """The lines of a joint and of those below it, and the joints in the lines' order."""
  indent = "  " * depth
  positions = "" if depth else "Xposition Yposition Zposition "
  lines = [
    f"{indent}{'JOINT' if depth else 'ROOT'} {SMPL_JOINTS[joint]}",
    f"{indent}{{",
    f"{indent}  {_offset(offsets[joint])}",
    f"{indent}  CHANNELS {3 if depth else 6} {positions}{_ROTATIONS}",
  ]
  order = [joint]
  for child in _CHILDREN[joint]:
    below, joints = _joint(child, offsets, ends, depth + 1)
    lines += below
    order += joints
  if joint in ends:
    lines += [f"{indent}  End Site", f"{indent}  {{"]
    lines += [f"{indent}    {_offset(ends[joint])}", f"{indent}  }}"]
  return [*lines, f"{indent}}}"], order


def _offset(place: Float[np.ndarray, "3"]) -> str:
  return "OFFSET " + " ".join(f"{value:.5f}" for value in place)


def _euler(
  pose: Float[np.ndarray, "time 24 3"], before: Float[np.ndarray, "24 3"] | None
) -> Float[np.ndarray, "time 24 3"]:
  """Euler angles in degrees, which jump as little from row to row as they can.

  A rotation has two triples of angles. The usual one, whose middle angle is within a
  right angle, jumps when a knee bends further than that.

  Args:
    pose: axis-angle.
    before: the angles of the row before the first one, if there is one.
  """
  with warnings.catch_warnings():
    # A middle angle of exactly 90 degrees leaves a choice, and SciPy says it chose.
    warnings.filterwarnings("ignore", message="Gimbal lock", category=UserWarning)
    angles = Rotation.from_rotvec(pose.reshape(-1, 3)).as_euler(_ORDER, degrees=True)
  angles = angles.reshape(pose.shape)
  both = np.stack([angles, angles * (1, -1, 1) + 180], axis=-2)
  for row in range(len(angles)):
    if before is not None:
      last = before[:, None]
      choices = both[row] - 360 * np.round((both[row] - last) / 360)
      nearest = np.abs(choices - last).sum(axis=-1).argmin(axis=-1)
      angles[row] = choices[np.arange(24), nearest]
    before = angles[row]
  return angles
