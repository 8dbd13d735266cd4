"""From predicted bodies to the errors of frames, sequences and whole splits.

Protocol smpl24: SMPL's 24 joints, the SMPL pelvis as root, means per frame.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from mhmr_jax import baselines, metrics, sharding
from mhmr_jax.batch import Clip
from mhmr_jax.body import smpl
from mhmr_jax.errors import InputError

ROOT = "SMPL pelvis"
# Both bodies' vertices of this many frames are in memory at a time.
_FRAMES_AT_ONCE = 256
_LABEL_TOLERANCE_MM = 5.0

# Errors of the frames where a measure is defined, by measure.
Errors = dict[str, np.ndarray]


class Truth(NamedTuple):
  """The labels of several sequences, one sequence after the other."""

  pose: Float[np.ndarray, "frames 24 3"]
  betas: Float[np.ndarray, "frames 10"]
  joints_camera: Float[np.ndarray, "frames 24 3"]
  valid: Bool[np.ndarray, "frames"]
  frame_index: Int[np.ndarray, "frames"]
  lengths: Int[np.ndarray, "sequences"]
  fps: Float[np.ndarray, "sequences"]

  @classmethod
  def of(cls, clips: Sequence[Clip]) -> "Truth":
    """Joins the labels of clips."""
    lengths = np.array([len(clip["pose"]) for clip in clips])
    betas = np.stack([clip["betas"] for clip in clips])
    return cls(
      pose=np.concatenate([clip["pose"] for clip in clips]),
      betas=np.repeat(betas, lengths, axis=0),
      joints_camera=np.concatenate([clip["joints_camera"] for clip in clips]),
      valid=np.concatenate([np.asarray(clip["valid"], bool) for clip in clips]),
      frame_index=np.concatenate([clip["frame_index"] for clip in clips]),
      lengths=lengths,
      fps=np.array([clip["fps"] for clip in clips], np.float32),
    )

  @property
  def joints(self) -> Float[np.ndarray, "frames 24 3"]:
    """Relative to the root."""
    return self.joints_camera - self.joints_camera[:, :1]


def score(
  body: smpl.SmplModel,
  rotations: Float[np.ndarray, "frames 24 3 3"],
  betas: Float[np.ndarray, "frames 10"],
  truth: Truth,
  mesh: Mesh,
) -> list[Errors]:
  """The errors of each sequence.

  Args:
    body: of prediction and labels.
    rotations: predicted, for the frames of `truth`.
    betas: predicted.
    truth: the labels.
    mesh: the frames are divided over it.

  Raises:
    InputError: the labels' joints are not this body's, or a prediction is not finite.
  """
  if not (np.isfinite(rotations).all() and np.isfinite(betas).all()):
    raise InputError(
      "The checkpoint predicts values that are not finite: its training diverged, "
      "evaluate an earlier one."
    )
  frames = _in_blocks(body, rotations, betas, truth, mesh)
  gap = frames.pop("label_gap_mm")[truth.valid]
  if len(gap) and gap.max() > _LABEL_TOLERANCE_MM:
    raise InputError(
      f"The labels' joints lie up to {gap.max():.0f} mm from those of the body that "
      "config.body.path names: evaluate with the body that the clips were made with."
    )
  joints = frames.pop("joints")
  return by_sequence(joints, frames, truth)


def score_oracle(truth: Truth) -> list[Errors]:
  """The errors of the best constant joints: for each measure, its own best."""
  target = truth.joints
  aligned = baselines.best_aligned_joints(target[truth.valid])
  rooted = baselines.best_rooted_joints(target[truth.valid])
  frames = jax.device_get(_oracle_errors(aligned, rooted, target))
  return by_sequence(np.broadcast_to(rooted, target.shape), frames, truth)


def by_sequence(
  joints: Float[np.ndarray, "frames 24 3"],
  frames: Mapping[str, Float[np.ndarray, "frames"]],
  truth: Truth,
) -> list[Errors]:
  """Splits errors by sequence, adds acceleration, and drops invalid frames."""
  borders = np.cumsum(truth.lengths)[:-1]
  acceleration, defined = _acceleration(joints, truth)
  valid = np.split(truth.valid, borders)
  split = {name: np.split(values, borders) for name, values in frames.items()}
  return [
    {name: values[i][valid[i]] for name, values in split.items()}
    | {"accel_mm_s2": acceleration[i][defined[i]]}
    for i in range(len(truth.lengths))
  ]


def mean_per_frame(errors: Sequence[Errors]) -> dict[str, float | None]:
  """Means over all frames of all sequences; None where nothing is defined."""
  means: dict[str, float | None] = {}
  for name in ("pa_mpjpe_mm", "mpjpe_mm", "pve_mm", "accel_mm_s2"):
    values = np.concatenate([e.get(name, np.zeros(0)) for e in errors])
    means[name] = float(values.mean(dtype=np.float64)) if len(values) else None
  return means


def _acceleration(
  joints: Float[np.ndarray, "frames 24 3"], truth: Truth
) -> tuple[
  Float[np.ndarray, "sequences longest"], Bool[np.ndarray, "sequences longest"]
]:
  """Of root-relative joints, all sequences padded to the longest."""
  inside = np.arange(truth.lengths.max(initial=1)) < truth.lengths[:, None]

  def pad(values: np.ndarray) -> np.ndarray:
    padded = np.zeros((*inside.shape, *values.shape[1:]), values.dtype)
    padded[inside] = values
    return padded

  error, defined = jax.jit(metrics.acceleration_error)(
    pad(joints),
    pad(truth.joints),
    pad(truth.valid),
    truth.fps,
    pad(truth.frame_index),
  )
  return np.asarray(error), np.asarray(defined)


@jax.jit
def _oracle_errors(
  aligned: Float[Array, "24 3"],
  rooted: Float[Array, "24 3"],
  target: Float[Array, "frames 24 3"],
) -> dict[str, Array]:
  return {
    "pa_mpjpe_mm": metrics.pa_mpjpe(jnp.broadcast_to(aligned, target.shape), target),
    "mpjpe_mm": metrics.mpjpe(jnp.broadcast_to(rooted, target.shape), target),
  }


def _in_blocks(
  body: smpl.SmplModel,
  rotations: np.ndarray,
  betas: np.ndarray,
  truth: Truth,
  mesh: Mesh,
) -> dict[str, np.ndarray]:
  """`_frame_errors` of all frames, a block at a time."""
  split, whole = sharding.batched(mesh), sharding.replicated(mesh)
  block = -(-_FRAMES_AT_ONCE // mesh.size) * mesh.size
  errors = jax.jit(
    _frame_errors, in_shardings=(whole, *[split] * 5), out_shardings=split
  )
  arrays = (rotations, betas, truth.pose, truth.betas, truth.joints)
  blocks = []
  for start in range(0, len(truth.valid), block):
    rows = [np.asarray(array[start : start + block], np.float32) for array in arrays]
    count = len(rows[0])
    padding = np.minimum(np.arange(block), count - 1)
    out = errors(body, *(array[padding] for array in rows))
    blocks.append({name: np.asarray(leaf)[:count] for name, leaf in out.items()})
  return cast(
    dict[str, np.ndarray], jax.tree.map(lambda *leaves: np.concatenate(leaves), *blocks)
  )


def _frame_errors(
  body: smpl.SmplModel,
  rotations: Float[Array, "frames 24 3 3"],
  betas: Float[Array, "frames 10"],
  target_pose: Float[Array, "frames 24 3"],
  target_betas: Float[Array, "frames 10"],
  target: Float[Array, "frames 24 3"],
) -> dict[str, Array]:
  """Errors, and the predicted joints relative to the root."""
  origin = jnp.zeros((len(betas), 3))
  vertices, joints = smpl.forward_matrices(body, rotations, betas, origin)
  target_vertices, label = smpl.forward(body, target_pose, target_betas, origin)
  gap = jnp.linalg.norm(label - label[:, :1] - target, axis=-1).max(-1)
  return {
    "pa_mpjpe_mm": metrics.pa_mpjpe(joints, target),
    "mpjpe_mm": metrics.mpjpe(joints, target),
    "pve_mm": metrics.pve(vertices, target_vertices, joints[:, 0], label[:, 0]),
    "joints": joints - joints[:, :1],
    "label_gap_mm": 1000 * gap,
  }
