"""The errors of predicted joints and surfaces in each frame, then split by clip."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float

from mhmr_jax.body import posed_frames
from mhmr_jax.evaluation import readout
from mhmr_jax.evaluation.labels import Labels
from mhmr_jax.evaluation.truth import Truth
from mhmr_jax.geometry import metrics

# The errors of one clip by measure, in the frames where the measure is defined; those
# of single joints have a second axis.
Errors = dict[str, np.ndarray]


def of_joints(
  joints: Float[np.ndarray, "frames n 3"],
  target: Float[np.ndarray, "frames n 3"],
  used: Bool[np.ndarray, "frames"],
  mesh: Mesh,
) -> dict[str, np.ndarray]:
  """The errors of joints relative to the root, by measure; 0 in frames not used."""
  rows, frames = (joints, target), np.flatnonzero(used)
  errors: dict[str, np.ndarray] = posed_frames.in_blocks(
    _joint_measures, (), rows, frames, mesh, **readout.JOINT_BLOCK
  )
  return errors


def _joint_measures(
  joints: Float[Array, "frames n 3"], target: Float[Array, "frames n 3"]
) -> dict[str, Array]:
  aligned = metrics.aligned_joint_errors(joints, target)
  rooted = metrics.joint_errors(joints, target)
  return {
    "pa_mpjpe_mm": jnp.mean(aligned, axis=-1),
    "mpjpe_mm": jnp.mean(rooted, axis=-1),
    "pck_150mm_percent": metrics.pck(rooted),
    "auc_150mm_percent": metrics.pck_area(rooted),
    "joints_pa_mm": aligned,
    "joints_mm": rooted,
  }


def of_surfaces(
  surface: posed_frames.Posed | Float[np.ndarray, "frames V 3"],
  root: Float[np.ndarray, "frames 3"],
  used: Bool[np.ndarray, "frames"],
  labels: Labels,
) -> Float[np.ndarray, "frames"] | None:
  """The per-vertex error (PVE) of each frame, in mm; 0 in frames that are not used.

  Args:
    surface: predicted bodies (one may stand for all frames), or their vertices.
    root: the root joints of the predictions.
    used: the frames to compare.
    labels: the bodies to compare with.

  Returns:
    None if a label's body is missing or has another mesh, since a mean over the
    remaining frames would not be comparable.
  """
  body, mesh = labels.bodies.neutral, labels.readout.mesh
  num_vertices = len(body.v_template)
  if not isinstance(surface, posed_frames.Posed):
    num_vertices = surface.shape[1]
  errors = np.zeros(len(used), np.float32)
  for _, frames, label_body in labels.by_gender(used):
    if label_body is None or len(label_body.v_template) != num_vertices:
      return None
    whole: tuple[Any, ...] = (body, label_body)
    rows: tuple[Any, ...] = (labels.posed, root, labels.root)
    if isinstance(surface, posed_frames.Posed) and len(surface.betas) < len(used):
      whole = (*whole, surface)
    else:
      rows = (surface, *rows)
    found = posed_frames.in_blocks(
      posed_frames.surface_errors, whole, rows, frames, mesh, **readout.SURFACE_BLOCK
    )
    errors[frames] = found[frames]
  return errors


def by_clip(
  joints: Float[np.ndarray, "frames n 3"],
  target: Float[np.ndarray, "frames n 3"],
  errors: Mapping[str, np.ndarray],
  used: Bool[np.ndarray, "frames"],
  truth: Truth,
) -> list[Errors]:
  """Splits errors by clip, drops frames that are not used, and adds acceleration.

  Args:
    joints: predicted ones relative to the root.
    target: the true ones.
    errors: by measure, each with a leading axis of frames.
    used: the frames to keep.
    truth: the labels, which tell where the clips begin and end.
  """
  acceleration, defined = _acceleration(joints, target, used, truth)
  kept = truth.by_clip(used)
  split = {name: truth.by_clip(values) for name, values in errors.items()}
  return [
    {name: values[i][kept[i]] for name, values in split.items()}
    | {"accel_mm_s2": acceleration[i][defined[i]]}
    for i in range(len(truth.lengths))
  ]


def _acceleration(
  joints: Float[np.ndarray, "frames n 3"],
  target: Float[np.ndarray, "frames n 3"],
  used: Bool[np.ndarray, "frames"],
  truth: Truth,
) -> tuple[Float[np.ndarray, "clips longest"], Bool[np.ndarray, "clips longest"]]:
  """The acceleration errors and where they are defined, clips padded to the longest."""
  inside = np.arange(truth.lengths.max(initial=1)) < truth.lengths[:, None]

  def pad(values: np.ndarray) -> np.ndarray:
    padded = np.zeros((*inside.shape, *values.shape[1:]), values.dtype)
    padded[inside] = values
    return padded

  error, defined = _acceleration_error(
    pad(joints), pad(target), pad(used), truth.fps, pad(truth.frame_index)
  )
  return np.asarray(error), np.asarray(defined)


_acceleration_error = jax.jit(metrics.acceleration_error)
