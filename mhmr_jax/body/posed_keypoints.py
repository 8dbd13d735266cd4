"""COCO-17 keypoints from the bones of a posed body, without its vertices.

Linear blend skinning is linear in the bones' transforms, and so is a regressor in the
vertices. Their product is computed once: keypoint k of a body whose bone j moves by
R_j and t_j is the sum over j of R_j m_kj + w_kj t_j, where m_kj is the regressor's and
the weights' mean of the unposed vertices. The result is that of `smpl.regressed_joints`
for a hundredth of the work, which makes the optimisation along a video affordable.
"""

import functools

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mhmr_jax.body import smpl

# A TPU would otherwise multiply in bfloat16: centimetres at human scale.
_einsum = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


@flax.struct.dataclass
class KeypointMoments:
  """The moments of the unposed vertices about the bones that carry each keypoint.

  `template`, `shapedirs` and `posedirs` are the model's arrays of the same name, summed
  over the vertices with the factor keypoint_regressor[k, v] * weights[v, j]; `weights`
  is the sum of these factors.
  """

  weights: Float[Array, "K 24"]
  template: Float[Array, "K 24 3"]
  shapedirs: Float[Array, "K 24 3 10"]
  posedirs: Float[Array, "K 24 3 P"]


def moments(model: smpl.SmplModel) -> KeypointMoments:
  """Sums a model's vertices over its `keypoint_regressor` and its weights."""
  regressor = np.asarray(model.keypoint_regressor, np.float64)
  used = np.flatnonzero(regressor.any(axis=0))
  factors = regressor[:, used, None] * np.asarray(model.weights)[used]

  def to_float(array: np.ndarray) -> Float[Array, "..."]:
    return jnp.asarray(array.astype(np.float32), jnp.float32)

  def summed(vertices: Array) -> Float[Array, "..."]:
    values = np.asarray(vertices)[used]
    return to_float(np.tensordot(factors, values, axes=(1, 0)))

  return KeypointMoments(
    weights=to_float(factors.sum(axis=1)),
    template=summed(model.v_template),
    shapedirs=summed(model.shapedirs),
    posedirs=summed(model.posedirs),
  )


def keypoints_and_joints(
  model: smpl.SmplModel,
  keypoint_moments: KeypointMoments,
  rotations: Float[Array, "*#batch 24 3 3"],
  betas: Float[Array, "*#batch 10"],
) -> tuple[Float[Array, "*#batch K 3"], Float[Array, "*#batch 24 3"]]:
  """Poses the keypoints and the joints of a body without translation; metres."""
  R, t, joints = smpl.bone_transforms(model, rotations, betas)
  moved = _unposed(keypoint_moments, betas)
  if keypoint_moments.posedirs.shape[-1]:
    feature = smpl.pose_feature(jnp.asarray(rotations))
    moved = moved + _einsum("kjcp,...p->...kjc", keypoint_moments.posedirs, feature)
  return _skinned(keypoint_moments, moved, R, t), joints


def of_world_rotations(
  model: smpl.SmplModel,
  keypoint_moments: KeypointMoments,
  world: Float[Array, "*#batch 24 3 3"],
  betas: Float[Array, "*#batch 10"],
) -> tuple[Float[Array, "*#batch K 3"], Float[Array, "*#batch 24 3"]]:
  """`keypoints_and_joints`, given the result of `smpl.world_rotations`.

  Pose blend shapes, which depend on the rotations themselves, are left out; the free
  body has none.
  """
  t, joints = smpl.bones_of_world_rotations(model, world, betas)
  moved = _unposed(keypoint_moments, betas)
  return _skinned(keypoint_moments, moved, world, t), joints


def _unposed(
  keypoint_moments: KeypointMoments, betas: Float[Array, "*#batch 10"]
) -> Float[Array, "*#batch K 24 3"]:
  return keypoint_moments.template + _einsum(
    "kjcs,...s->...kjc", keypoint_moments.shapedirs, betas
  )


def _skinned(
  keypoint_moments: KeypointMoments,
  moved: Float[Array, "*#batch K 24 3"],
  R: Float[Array, "*#batch 24 3 3"],
  t: Float[Array, "*#batch 24 3"],
) -> Float[Array, "*#batch K 3"]:
  keypoints = _einsum("...jic,...kjc->...ki", R, moved)
  return keypoints + _einsum("kj,...ji->...ki", keypoint_moments.weights, t)
