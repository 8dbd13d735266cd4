"""Joints and keypoints of posed bodies in NumPy.

These functions compute for a video's rows what `smpl.joints_from_matrices` and
`posed_keypoints` compute in JAX, which would trace and load a program for each of these
small sums: that takes longer than the sums themselves.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mhmr_jax.body import posed_keypoints, smpl
from mhmr_jax.body.joints import SMPL_PARENTS

_EYE = np.eye(3, dtype=np.float32)


class Bones(NamedTuple):
  """The bones of posed bodies, metres, as `smpl.bone_transforms` gives them."""

  world: Float[np.ndarray, "N 24 3 3"]  # Rotations in the frame of the pelvis' one.
  rest_joints: Float[np.ndarray, "N 24 3"]
  joints: Float[np.ndarray, "N 24 3"]


def bones(
  body: smpl.SmplModel,
  rotations: Float[np.ndarray, "N 24 3 3"],
  betas: Float[np.ndarray, "N 10"],
) -> Bones:
  """Poses the bones of bodies without translation.

  Args:
    body: whose shape `betas` are.
    rotations: relative to the joints' parents.
    betas: the shapes.
  """
  template = np.asarray(body.joint_template)
  directions = np.asarray(body.joint_shapedirs).reshape(72, 10)
  rest = template + (betas.astype(np.float32) @ directions.T).reshape(-1, 24, 3)
  world, joints = kinematic_chain(rotations.astype(np.float32), rest)
  return Bones(world, rest, joints)


def kinematic_chain(
  rotations: Float[np.ndarray, "N 24 3 3"], rest: Float[np.ndarray, "*#N 24 3"]
) -> tuple[Float[np.ndarray, "N 24 3 3"], Float[np.ndarray, "N 24 3"]]:
  """Rotations and positions of the joints in one frame; the pelvis stays at rest.

  Args:
    rotations: relative to the joints' parents.
    rest: the joints in the rest pose, of each body or of all.
  """
  world = rotations.copy()
  joints = np.broadcast_to(rest, (len(rotations), 24, 3)).copy()
  for joint, parent in enumerate(SMPL_PARENTS[1:], start=1):
    offset = rest[..., joint, :] - rest[..., parent, :]
    turned = np.matmul(world[:, parent], offset[..., None])[..., 0]
    joints[:, joint] = joints[:, parent] + turned
    world[:, joint] = world[:, parent] @ world[:, joint]
  return world, joints


def keypoints(
  moments: posed_keypoints.KeypointMoments,
  posed: Bones,
  rotations: Float[np.ndarray, "N 24 3 3"],
  betas: Float[np.ndarray, "N 10"],
) -> Float[np.ndarray, "N 17 3"]:
  """COCO-17 of posed bodies, metres.

  Args:
    moments: the `posed_keypoints.moments` of the body.
    posed: the bones of the posed bodies.
    rotations: as in `bones`.
    betas: as in `bones`.
  """
  moved = np.asarray(moments.template) + np.tensordot(
    betas.astype(np.float32), np.asarray(moments.shapedirs), (1, 3)
  )
  posedirs = np.asarray(moments.posedirs)
  if posedirs.shape[-1]:
    feature = (rotations[:, 1:] - _EYE).reshape(len(rotations), -1)
    moved += np.tensordot(feature.astype(np.float32), posedirs, (1, 3))
  turned = np.einsum("njk,njik->nji", posed.rest_joints, posed.world)
  shift = posed.joints - turned
  summed = np.einsum("njic,nkjc->nki", posed.world, moved, optimize=True)
  return summed + np.asarray(moments.weights) @ shift
