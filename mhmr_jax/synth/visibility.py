"""Decides from depth and body parts which joints and keypoints a camera sees.

A joint lies inside the body, so some surface is always in front of it. It counts as
hidden where that surface is farther in front of it than its limb is thick. The limb
itself, seen end on, does not hide it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from mhmr_jax.body import joints as body_joints
from mhmr_jax.synth import skinning

_LIMBS = frozenset((1, 2, 4, 5, 7, 8, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23))
_HEAD = frozenset((12, 15))
_TRUNK = (0, 3, 6, 9, 13, 14)
# Metres: cloth and hair lie off the skin.
_MARGIN = 0.03
# Metres: eyes, ears and nose lie on the skin, not under it.
_FACE_DEPTH = 0.05


class DepthBuffer(NamedTuple):
  """The nearest surface at every pixel's centre."""

  depth: Float[np.ndarray, "height width"]  # Metres; infinite off the body.
  # Index of the joint that moves the surface; arbitrary off the body.
  part: Int[np.ndarray, "height width"]


class VisibilityRule(NamedTuple):
  """How deep under a surface each of n points may lie and still count as visible."""

  depth: Float[np.ndarray, "n"]  # Metres.
  own: Bool[np.ndarray, "n 24"]  # The body parts that never hide the point.

  def visible(
    self,
    points_camera: Float[np.ndarray, "n 3"],
    pixels: Float[np.ndarray, "n 2"],
    buffer: DepthBuffer,
  ) -> Bool[np.ndarray, "n"]:
    """Returns which points are inside the frame and not hidden.

    Args:
      points_camera: metres, in the camera's frame.
      pixels: their projections.
      buffer: the whole frame's surfaces.
    """
    height, width = buffer.depth.shape
    inside = ((pixels >= 0) & (pixels < [width, height])).all(-1)
    inside &= points_camera[:, 2] > 0
    column, row = np.where(inside[:, None], pixels, 0).astype(int).T
    ahead = points_camera[:, 2] - buffer.depth[row, column]
    own = self.own[np.arange(len(row)), buffer.part[row, column]]
    return inside & (own | (ahead <= self.depth))


def joint_rule(body: skinning.Body) -> VisibilityRule:
  """The rule for SMPL's 24 joints."""
  depth = [_thickness(body, joint) + _MARGIN for joint in range(24)]
  own = np.zeros((24, 24), bool)
  for joint, parent in enumerate(body_joints.SMPL_PARENTS):
    group = _LIMBS if joint in _LIMBS else _HEAD
    own[joint, [part for part in (joint, parent) if part in group]] = True
  return VisibilityRule(np.array(depth), own)


def keypoint_rule(joints: VisibilityRule) -> VisibilityRule:
  """The rule for COCO's 17 keypoints.

  Keypoints that are joints follow the joints' rule; those of the face lie on the skin.

  Args:
    joints: the rule for the joints.
  """
  depth = np.full(17, _FACE_DEPTH)
  own = np.zeros((17, 24), bool)
  for keypoint, joint in body_joints.COCO_FROM_SMPL.items():
    depth[keypoint], own[keypoint] = joints.depth[joint], joints.own[joint]
  return VisibilityRule(depth, own)


def _thickness(body: skinning.Body, joint: int) -> float:
  """Metres from a joint to the skin around it, across the bone, where it is widest."""
  rest = body.joint_template
  children = [c for c, p in enumerate(body_joints.SMPL_PARENTS) if p == joint]
  if joint in _TRUNK:
    on_part = np.isin(body.part, _TRUNK)
    bone = np.array([0.0, 1.0, 0.0])
  else:
    on_part = body.part == joint
    parent = body_joints.SMPL_PARENTS[joint]
    bone = rest[children[0]] - rest[joint] if children else rest[joint] - rest[parent]
    bone = bone / np.linalg.norm(bone)
  offset = body.v_template[on_part] - rest[joint]
  along = offset @ bone
  across = np.linalg.norm(offset - along[:, None] * bone, axis=1)
  near = np.abs(along) <= max(0.04, np.abs(along).min())
  return float(np.quantile(across[near], 0.9))
