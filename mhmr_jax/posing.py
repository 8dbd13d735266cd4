"""The joints that a protocol looks at, and the surface, of many posed bodies."""

from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mhmr_jax import metrics
from mhmr_jax.body import smpl
from mhmr_jax.geometry import rotations as rot


@jax.jit
def regressed(
  restricted: smpl.SmplModel,
  pose: Float[Array, "frames 24 3"],
  betas: Float[Array, "frames 10"],
) -> Float[Array, "frames n 3"]:
  """The points of a `smpl.restrict`ed body's regressor, without translation."""
  return smpl.regressed_joints(restricted, pose, betas, jnp.zeros((len(betas), 3)))


@jax.jit
def joints(
  body: smpl.SmplModel,
  pose: Float[Array, "frames 24 3"],
  betas: Float[Array, "frames 10"],
) -> Float[Array, "frames 24 3"]:
  """SMPL's own joints, without translation."""
  return smpl.joints(body, pose, betas, jnp.zeros((len(betas), 3)))


def pose_block(
  body: smpl.SmplModel,
  label_body: smpl.SmplModel | None,
  readout: Float[Array, "n V"] | None,
  predicted: dict[str, Array],
  label_pose: Float[Array, "frames 24 3"],
  label_betas: Float[Array, "frames 10"],
) -> dict[str, Array]:
  """Predicted joints, and the vertices' errors where there is a body to compare with.

  Args:
    body: of predictions.
    label_body: of the labels; None where its vertices are missing or others.
    readout: the protocol's joints and last its root from vertices; None for SMPL's
      own joints.
    predicted: the arrays of a `truth.Predicted`; of one frame for all, or of each.
    label_pose: axis-angle.
    label_betas: of the labels.

  Returns:
    `joints` relative to the root, metres, and `pve_mm` with both roots at the origin.
  """
  vertices = predicted.get("vertices")
  points = predicted.get("points")
  if "rotations" in predicted:
    vertices, points = _posed_points(
      body, readout, predicted["rotations"], predicted["betas"]
    )
  elif points is None:
    points = _read(cast(Any, readout), cast(Array, vertices))
  frames = len(label_pose)
  points = jnp.broadcast_to(points, (frames, *points.shape[1:]))
  out = {"joints": points[:, :-1] - points[:, -1:]}
  if vertices is not None and label_body is not None:
    label_rotations = rot.axis_angle_to_matrix(label_pose)
    surface, label_points = _posed_points(
      label_body, readout, label_rotations, label_betas
    )
    vertices = jnp.broadcast_to(vertices, surface.shape)
    out["pve_mm"] = metrics.pve(vertices, surface, points[:, -1], label_points[:, -1])
  return out


def _posed_points(
  body: smpl.SmplModel,
  readout: Float[Array, "n V"] | None,
  rotations: Float[Array, "frames 24 3 3"],
  betas: Float[Array, "frames 10"],
) -> tuple[Float[Array, "frames V 3"], Float[Array, "frames n 3"]]:
  """Vertices, and the protocol's joints with its root last."""
  origin = jnp.zeros((len(betas), 3))
  vertices, joints = smpl.forward_matrices(body, rotations, betas, origin)
  if readout is None:
    return vertices, jnp.concatenate([joints, joints[:, :1]], axis=1)
  return vertices, _read(readout, vertices)


def _read(
  readout: Float[Array, "n V"], vertices: Float[Array, "frames V 3"]
) -> Float[Array, "frames n 3"]:
  # A TPU would otherwise multiply in bfloat16: centimetres at human scale.
  return jnp.einsum(
    "nv,fvc->fnc", readout, vertices, precision=jax.lax.Precision.HIGHEST
  )
