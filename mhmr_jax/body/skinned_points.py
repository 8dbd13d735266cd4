"""Points on the body that follow its joints, without any vertex.

A regressor reads a point off the vertices, and skinning blends the joints' transforms
at every vertex. Both are linear in the transforms, so their product is precomputed:
point k is sum_j R_j (template_kj + shapedirs_kj betas) + weight_kj t_j. This is exact
for a body without pose blend shapes, and leaves those of other bodies out.
"""

import functools

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mhmr_jax.body.smpl import SmplModel, bone_transforms

# A TPU would otherwise multiply in bfloat16: centimetres at human scale.
_einsum = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


@flax.struct.dataclass
class SkinnedPoints:
  """The precomputed products of a regressor with the skinning weights of a body."""

  weights: Float[Array, "K 24"]
  template: Float[Array, "K 24 3"]
  shapedirs: Float[Array, "K 24 3 10"]


def of_keypoints(body: SmplModel) -> SkinnedPoints:
  """COCO-17 of a body."""
  regressor = np.asarray(body.keypoint_regressor)
  used = np.flatnonzero(regressor.any(axis=0))
  regressor, weights = regressor[:, used], np.asarray(body.weights)[used]
  shapedirs = np.asarray(body.shapedirs)[used]
  return SkinnedPoints(
    weights=jnp.asarray(regressor @ weights),
    template=jnp.asarray(
      np.einsum("kv,vj,vc->kjc", regressor, weights, np.asarray(body.v_template)[used])
    ),
    shapedirs=jnp.asarray(
      np.einsum("kv,vj,vcs->kjcs", regressor, weights, shapedirs, optimize=True)
    ),
  )


def joints_and_points(
  body: SmplModel,
  points: SkinnedPoints,
  rotations: Float[Array, "*#batch 24 3 3"],
  betas: Float[Array, "*#batch 10"],
) -> tuple[
  Float[Array, "*#batch 24 3"],
  Float[Array, "*#batch K 3"],
  Float[Array, "*#batch 24 3 3"],
]:
  """Poses a body and returns its joints, its points, and the joints' world rotations.

  Positions are in metres; the pelvis lies where the rest pose has it.
  """
  R, t, joints = bone_transforms(body, rotations, betas)
  # The points' own axis is contracted with the shape before time is looked at: betas
  # of one frame a clip, as [batch, 1, 10], are then cheap.
  rest = points.template + _einsum("kjcs,...s->...kjc", points.shapedirs, betas)
  posed = _einsum("...jic,...kjc->...ki", R, rest)
  return joints, posed + _einsum("kj,...ji->...ki", points.weights, t), R
