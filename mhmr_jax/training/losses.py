"""The training loss: Procrustes-aligned 3D joints, reprojection, and optional priors.

All terms are float32 means over the valid frames of the whole (global) batch; all but
`domain_loss` over those that are labelled.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from mhmr_jax.body import smpl
from mhmr_jax.geometry import procrustes, rotations
from mhmr_jax.models.prediction import prediction_joints
from mhmr_jax.schema import Batch, Prediction

# The paper's loss is the first two terms; it gives neither their weights nor the norm.
DEFAULT_WEIGHTS = {
  "joints_3d": 1.0,
  "joints_2d": 1.0,
  "rotations": 0.0,
  "betas": 0.0,
  "betas_prior": 0.0,
  "domain_loss": 1.0,  # Where a domain classifier is trained.
}
_DISTANCE_KNEE = 1e-3  # Metres.

Terms = dict[str, Float[Array, ""]]


def _weighted_mean(
  values: Float[Array, "*shape"], weights: Float[Array, "*shape"]
) -> Float[Array, ""]:
  """Zero if all weights are; sums run over the global batch before dividing."""
  return jnp.sum(values * weights) / jnp.maximum(jnp.sum(weights), 1.0)


def _distance(
  points: Float[Array, "*batch 3"], target: Float[Array, "*batch 3"]
) -> Float[Array, "*batch"]:
  """Euclidean distance, quadratic below a millimetre: its gradient is finite at 0."""
  square = jnp.sum(jnp.square(points - target), axis=-1)
  return jnp.sqrt(square + _DISTANCE_KNEE**2) - _DISTANCE_KNEE


def _joints_3d(
  body: smpl.SmplModel,
  joints: Float[Array, "batch time 24 3"],
  target: Float[Array, "batch time 24 3"],
  valid: Bool[Array, "batch time"],
) -> Float[Array, ""]:
  """Mean distance, metres, after each frame's best similarity."""
  # Whatever an invalid frame holds must not reach the SVD: NaN times 0 is NaN.
  target = jnp.where(valid[..., None, None], target, body.joint_template)
  aligned = procrustes.align(joints, target)
  error = jnp.mean(_distance(aligned, target), axis=-1)
  return _weighted_mean(error, valid.astype(jnp.float32))


def _joints_2d(
  joints: Float[Array, "batch time 24 2"],
  target: Float[Array, "batch time 24 2"],
  weights: Float[Array, "batch time 24"],
) -> Float[Array, ""]:
  """Mean absolute error in crop units of the visible joints, |dx| + |dy|."""
  target = jnp.where(weights[..., None] > 0, target, 0.0)
  return _weighted_mean(jnp.sum(jnp.abs(joints - target), axis=-1), weights)


def _parameter_terms(
  prediction: Prediction, batch: Batch, valid: Bool[Array, "batch time"]
) -> Terms:
  """Mean squared errors of rotation matrices and betas, and the betas' own size."""
  weights = valid.astype(jnp.float32)
  betas = prediction["betas"].astype(jnp.float32)
  terms = {"betas_prior": _weighted_mean(jnp.mean(jnp.square(betas), axis=-1), weights)}
  if "pose" in batch:
    pose = jnp.where(valid[..., None, None], batch["pose"], 0.0)
    difference = prediction["rotations"] - rotations.axis_angle_to_matrix(pose)
    error = jnp.mean(jnp.square(difference), axis=(-3, -2, -1))
    terms["rotations"] = _weighted_mean(error, weights)
  if "betas" in batch:
    error = jnp.mean(jnp.square(betas - batch["betas"][:, None]), axis=-1)
    terms["betas"] = _weighted_mean(error, weights)
  return terms


def valid_frames(
  batch: Batch, frames: tuple[int, ...]
) -> tuple[Bool[Array, "batch time"], Bool[Array, "batch time"]]:
  """Which of a batch's clips x times are frames, and which of them have labels."""
  valid = jnp.asarray(batch.get("valid", jnp.ones(frames, bool)))
  labelled = jnp.asarray(batch.get("labelled", jnp.ones(frames[:1], bool)))
  return valid, valid & labelled[:, None]


def _domain_loss(
  logits: Float[Array, "batch time"],
  labelled: Bool[Array, "batch"],
  valid: Bool[Array, "batch time"],
) -> Float[Array, ""]:
  """Mean cross entropy of each frame's domain."""
  domain = jnp.broadcast_to(labelled[:, None], logits.shape).astype(jnp.float32)
  entropy = optax.sigmoid_binary_cross_entropy(logits, domain)
  return _weighted_mean(entropy, valid.astype(jnp.float32))


def motion_hmr_loss(
  body: smpl.SmplModel,
  prediction: Prediction,
  batch: Batch,
  weights: Mapping[str, float] | None = None,
) -> tuple[Float[Array, ""], Terms]:
  """The loss of a batch and its terms, unweighted.

  Args:
    body: the SMPL layer.
    prediction: what the model said of the batch.
    batch: a term whose targets (`joints_camera`, `joints_crop`, `pose`, `betas`)
      are absent is left out; `visibility`, `valid` and `labelled` default to ones.
    weights: of the terms, in place of `DEFAULT_WEIGHTS`'; terms of weight 0 are
      reported still.

  Raises:
    ValueError: a weight is of no known term, or no term has both weight and target.
  """
  weights = {**DEFAULT_WEIGHTS, **(weights or {})}
  unknown = sorted(weights.keys() - DEFAULT_WEIGHTS.keys())
  if unknown:
    raise ValueError(f"unknown loss terms {unknown}, not in {sorted(DEFAULT_WEIGHTS)}")
  frames = prediction["camera"].shape[:2]
  seen, valid = valid_frames(batch, frames)
  joints, joints_crop = prediction_joints(body, prediction)

  terms = _parameter_terms(prediction, batch, valid)
  if "joints_camera" in batch:
    target = jnp.asarray(batch["joints_camera"])
    terms["joints_3d"] = _joints_3d(body, joints, target, valid)
  if "joints_crop" in batch:
    visibility = batch.get("visibility", jnp.ones((*frames, 24), jnp.float32))
    # An invalid frame's visibility may be garbage too.
    visible = jnp.where(valid[..., None], visibility, 0.0)
    target = jnp.asarray(batch["joints_crop"])
    terms["joints_2d"] = _joints_2d(joints_crop, target, visible)
  if "domain_logits" in prediction:
    labelled = jnp.asarray(batch["labelled"])
    terms["domain_loss"] = _domain_loss(prediction["domain_logits"], labelled, seen)
  weighted = [weights[name] * term for name, term in terms.items() if weights[name]]
  if not weighted:
    raise ValueError(f"a batch of {sorted(batch)} has no target of a weighted term")
  return jax.tree.reduce(jnp.add, weighted), terms
