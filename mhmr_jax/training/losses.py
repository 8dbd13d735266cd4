"""The training loss: Procrustes-aligned 3D joints, reprojection, and optional terms.

Every term is a float32 mean over the whole (global) batch: `domain_loss` over its valid
frames, the other terms over the frames that are valid and labelled.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from mhmr_jax.body import smpl
from mhmr_jax.geometry import procrustes, rotations
from mhmr_jax.models import encoder
from mhmr_jax.models.predicted_joints import predicted_joints
from mhmr_jax.schema import Batch, Prediction

# The paper's loss is the first two terms; it gives neither their weights nor the norm.
DEFAULT_WEIGHTS = {
  "joints_3d": 1.0,
  "joints_2d": 1.0,
  "joints_seen": 0.0,
  "joint_heatmaps": 0.0,
  "joints_relative": 0.0,
  "joints_velocity": 0.0,
  "rotations": 0.0,
  "rotations_camera": 0.0,
  "betas": 0.0,
  "betas_prior": 0.0,
  "gravity": 0.0,
  "standing": 0.0,
  "domain_loss": 1.0,  # Only a model with a domain classifier has this term.
}
# Below this distance, in metres, the distance's penalty is quadratic.
_DISTANCE_KNEE = 1e-3
_HEATMAP_SIGMA = 0.12  # The standard deviation round a joint, in half crops.

Terms = dict[str, Float[Array, ""]]


def _weighted_mean(
  values: Float[Array, "*shape"], weights: Float[Array, "*shape"]
) -> Float[Array, ""]:
  """The weighted mean over the global batch; zero if all weights are zero."""
  return jnp.sum(values * weights) / jnp.maximum(jnp.sum(weights), 1.0)


def _distance(
  points: Float[Array, "*batch 3"], target: Float[Array, "*batch 3"]
) -> Float[Array, "*batch"]:
  """The Euclidean distance, smoothed so that its gradient is finite at zero.

  It is sqrt(d^2 + knee^2) - knee, the pseudo-Huber loss up to a factor.
  """
  square = jnp.sum(jnp.square(points - target), axis=-1)
  return jnp.sqrt(square + _DISTANCE_KNEE**2) - _DISTANCE_KNEE


def _joints_3d(
  body: smpl.SmplModel,
  joints: Float[Array, "batch time 24 3"],
  target: Float[Array, "batch time 24 3"],
  valid: Bool[Array, "batch time"],
) -> Float[Array, ""]:
  """The mean distance in metres after Procrustes alignment of each frame."""
  # An invalid frame may hold NaN, which a weight of zero would not remove.
  target = jnp.where(valid[..., None, None], target, body.joint_template)
  aligned = procrustes.align(joints, target)
  error = jnp.mean(_distance(aligned, target), axis=-1)
  return _weighted_mean(error, valid.astype(jnp.float32))


def _unaligned(
  joints: Float[Array, "batch time 24 3"],
  target: Float[Array, "batch time 24 3"],
  valid: Bool[Array, "batch time"],
) -> Terms:
  """The mean error of joints relative to the pelvis, and of their change, in metres.

  Unlike Procrustes alignment, these leave the person's orientation and size to learn.
  """
  relative = target - target[..., :1, :]
  difference = jnp.where(valid[..., None, None], joints - relative, 0.0)
  error = jnp.mean(_distance(difference, jnp.zeros_like(difference)), axis=-1)
  change = difference[:, 1:] - difference[:, :-1]
  velocity = jnp.mean(_distance(change, jnp.zeros_like(change)), axis=-1)
  both = valid[:, 1:] & valid[:, :-1]
  return {
    "joints_relative": _weighted_mean(error, valid.astype(jnp.float32)),
    "joints_velocity": _weighted_mean(velocity, both.astype(jnp.float32)),
  }


def _world_terms(
  prediction: Prediction, batch: Batch, valid: Bool[Array, "batch time"]
) -> Terms:
  """The squared error of gravity's direction; the cross entropy of standing feet."""
  weights = valid.astype(jnp.float32)
  terms = {}
  if "gravity" in prediction and "gravity" in batch:
    # An invalid frame's target may be garbage.
    target = jnp.where(valid[..., None], batch["gravity"], 0.0)
    error = jnp.sum(jnp.square(prediction["gravity"] - target), axis=-1)
    terms["gravity"] = _weighted_mean(error, weights)
  if "standing_logits" in prediction and "standing" in batch:
    standing = jnp.asarray(batch["standing"]).astype(jnp.float32)
    logits = prediction["standing_logits"]
    entropy = jnp.mean(optax.sigmoid_binary_cross_entropy(logits, standing), axis=-1)
    terms["standing"] = _weighted_mean(entropy, weights)
  return terms


def _joints_2d(
  joints: Float[Array, "batch time 24 2"],
  target: Float[Array, "batch time 24 2"],
  weights: Float[Array, "batch time 24"],
) -> Float[Array, ""]:
  """The mean error |dx| + |dy| of the visible joints, in crop units (-1 to 1)."""
  target = jnp.where(weights[..., None] > 0, target, 0.0)
  return _weighted_mean(jnp.sum(jnp.abs(joints - target), axis=-1), weights)


def _joint_heatmaps(
  heatmaps: Float[Array, "batch time rows columns 24"],
  target: Float[Array, "batch time 24 2"],
  weights: Float[Array, "batch time 24"],
) -> Float[Array, ""]:
  """The mean cross entropy between heatmaps and Gaussians round the visible joints.

  Unlike an error of the heatmap's mean, it tells each cell whether the joint is there,
  so that heatmaps with several peaks get a gradient too. Joints beyond the cells do not
  count.
  """
  places = encoder.cell_places(*heatmaps.shape[2:4])
  reach = jnp.max(jnp.abs(target), axis=-1) < encoder.REACH
  weights = jnp.where(reach, weights, 0.0)
  target = jnp.where(weights[..., None] > 0, target, 0.0)
  away = places[:, :, None] - target[:, :, None, None]
  closeness = -jnp.sum(jnp.square(away), axis=-1) / (2 * _HEATMAP_SIGMA**2)
  expected = jax.nn.softmax(closeness, axis=(2, 3))
  return _weighted_mean(-jnp.sum(expected * heatmaps, axis=(2, 3)), weights)


def _parameter_terms(
  prediction: Prediction, batch: Batch, valid: Bool[Array, "batch time"]
) -> Terms:
  """The mean squared errors of rotation matrices and betas, and the prior on betas."""
  weights = valid.astype(jnp.float32)
  betas = prediction["betas"].astype(jnp.float32)
  terms = {"betas_prior": _weighted_mean(jnp.mean(jnp.square(betas), axis=-1), weights)}
  target = _target_rotations(batch, valid)
  if target is not None:
    difference = prediction["rotations"] - target
    error = jnp.mean(jnp.square(difference), axis=(-3, -2, -1))
    terms["rotations"] = _weighted_mean(error, weights)
  if "betas" in batch:
    error = jnp.mean(jnp.square(betas - batch["betas"][:, None]), axis=-1)
    terms["betas"] = _weighted_mean(error, weights)
  return terms


def _rotations_camera(
  prediction: Prediction, batch: Batch, valid: Bool[Array, "batch time"]
) -> Terms:
  """The mean squared error of the joints' rotation matrices in the camera's frame."""
  target = _target_rotations(batch, valid)
  if target is None:
    return {}
  difference = smpl.world_rotations(prediction["rotations"])
  difference = difference - smpl.world_rotations(target)
  error = jnp.mean(jnp.square(difference), axis=(-3, -2, -1))
  weights = valid.astype(jnp.float32)
  return {"rotations_camera": _weighted_mean(error, weights)}


def _target_rotations(
  batch: Batch, valid: Bool[Array, "batch time"]
) -> Float[Array, "batch time 24 3 3"] | None:
  """The target's rotation matrices, identities in invalid frames; None if absent."""
  if "rotations" in batch:
    target = jnp.asarray(batch["rotations"])
    return jnp.where(valid[..., None, None, None], target, jnp.eye(3))
  if "pose" in batch:
    pose = jnp.where(valid[..., None, None], batch["pose"], 0.0)
    return rotations.axis_angle_to_matrix(pose)
  return None


def valid_frames(
  batch: Batch, frames: tuple[int, ...]
) -> tuple[Bool[Array, "batch time"], Bool[Array, "batch time"]]:
  """Tells which frames of a batch are not padding, and which of these have labels.

  Args:
    batch: `valid` and `labelled` are read; they default to True.
    frames: the number of clips, and of frames in each.

  Returns:
    The mask of valid frames, and that of valid and labelled frames.
  """
  valid = jnp.asarray(batch.get("valid", jnp.ones(frames, bool)))
  labelled = jnp.asarray(batch.get("labelled", jnp.ones(frames[:1], bool)))
  return valid, valid & labelled[:, None]


def _domain_loss(
  logits: Float[Array, "batch time"],
  labelled: Bool[Array, "batch"],
  valid: Bool[Array, "batch time"],
) -> Float[Array, ""]:
  """The mean binary cross entropy of the valid frames' domain; 1 means labelled."""
  domain = jnp.broadcast_to(labelled[:, None], logits.shape).astype(jnp.float32)
  entropy = optax.sigmoid_binary_cross_entropy(logits, domain)
  return _weighted_mean(entropy, valid.astype(jnp.float32))


def motion_hmr_loss(
  body: smpl.SmplModel,
  prediction: Prediction,
  batch: Batch,
  weights: Mapping[str, float] | None = None,
) -> tuple[Float[Array, ""], Terms]:
  """Computes the loss of a batch.

  Args:
    body: the SMPL layer.
    prediction: what the model predicted for the batch.
    batch: the targets. A term whose target (`joints_camera`, `joints_crop`, `pose` or
      `rotations`, `betas`, `gravity`, `standing`) is absent is left out; `visibility`,
      `valid` and `labelled` default to ones.
    weights: weights of terms that replace those of `DEFAULT_WEIGHTS`. A term of weight
      0 is reported too, unless it costs time: `joint_heatmaps`, `joints_relative`,
      `joints_velocity` and `rotations_camera` are then left out.

  Returns:
    The loss, and its terms without their weights.

  Raises:
    ValueError: a weight names no term, or no term has both a weight and a target.
  """
  weights = {**DEFAULT_WEIGHTS, **(weights or {})}
  unknown = sorted(weights.keys() - DEFAULT_WEIGHTS.keys())
  if unknown:
    raise ValueError(f"unknown loss terms {unknown}, not in {sorted(DEFAULT_WEIGHTS)}")
  frames = prediction["camera"].shape[:2]
  valid, labelled = valid_frames(batch, frames)
  joints, joints_crop = predicted_joints(body, prediction)

  terms = _parameter_terms(prediction, batch, labelled)
  if weights["rotations_camera"]:
    terms |= _rotations_camera(prediction, batch, labelled)
  if "joints_camera" in batch:
    target = jnp.asarray(batch["joints_camera"])
    terms["joints_3d"] = _joints_3d(body, joints, target, labelled)
    if weights["joints_relative"] or weights["joints_velocity"]:
      terms |= _unaligned(joints, target, labelled)
  if "joints_crop" in batch:
    visibility = batch.get("visibility", jnp.ones((*frames, 24), jnp.float32))
    # An invalid frame's visibility may be garbage too.
    visible = jnp.where(labelled[..., None], visibility, 0.0)
    target = jnp.asarray(batch["joints_crop"])
    terms["joints_2d"] = _joints_2d(joints_crop, target, visible)
    if "joints_seen" in prediction:
      terms["joints_seen"] = _joints_2d(prediction["joints_seen"], target, visible)
    if "joint_heatmaps" in prediction and weights["joint_heatmaps"]:
      heatmaps = prediction["joint_heatmaps"]
      terms["joint_heatmaps"] = _joint_heatmaps(heatmaps, target, visible)
  terms |= _world_terms(prediction, batch, labelled)
  if "domain_logits" in prediction:
    clips = jnp.asarray(batch["labelled"])
    terms["domain_loss"] = _domain_loss(prediction["domain_logits"], clips, valid)
  weighted = [weights[name] * term for name, term in terms.items() if weights[name]]
  if not weighted:
    raise ValueError(f"a batch of {sorted(batch)} has no target of a weighted term")
  return jax.tree.reduce(jnp.add, weighted), terms
