"""Scores predictions: from bodies, vertices or joints to the errors of each clip.

`readout` gets a protocol's joints out of bodies, `labels` poses the truth once for all
predictions, and `frame_errors` compares the two.
"""

import dataclasses
import functools

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float, Int

from mhmr_jax.body import posed_frames
from mhmr_jax.body.gendered import Bodies
from mhmr_jax.errors import InputError
from mhmr_jax.evaluation import baselines, frame_errors
from mhmr_jax.evaluation.frame_errors import Errors
from mhmr_jax.evaluation.labels import Labels
from mhmr_jax.evaluation.protocols import Protocol
from mhmr_jax.evaluation.readout import JOINT_BLOCK, Readout
from mhmr_jax.evaluation.truth import Predicted, Truth


@dataclasses.dataclass(frozen=True)
class Scorer:
  """Scores any number of predictions of the same clips by the same protocol.

  Attributes:
    protocol: chooses the joints and the frames that count.
    regressor: the protocol's, on the bodies' vertices; None if it needs none.
    bodies: those of the predictions (neutral) and of the labels (by gender).
    truth: the labels.
    mesh: the devices that the frames are divided over.
  """

  protocol: Protocol
  regressor: Float[np.ndarray, "K V"] | None
  bodies: Bodies
  truth: Truth
  mesh: Mesh

  def __post_init__(self) -> None:
    for body in self.bodies:
      if self.regressor is None or body is None:
        continue
      if len(body.v_template) != self.regressor.shape[1]:
        raise InputError(
          f"Protocol {self.protocol.name}'s regressor is for {self.regressor.shape[1]} "
          f"vertices, and a body has {len(body.v_template)}: use smpl24, or bodies of "
          "one mesh."
        )

  @functools.cached_property
  def labels(self) -> Labels:
    """The truth, posed."""
    readout = Readout(self.protocol, self.regressor, self.mesh)
    return Labels(self.truth, self.bodies, readout)

  @property
  def counted(self) -> Bool[np.ndarray, "frames"]:
    """The frames that the protocol counts; InputError if there are none."""
    return self.labels.counted

  def counted_frames(self) -> list[Int[np.ndarray, "some"]]:
    """The numbers, in its video, of each clip's frames that count."""
    numbers = self.truth.by_clip(self.truth.frame_index)
    kept = self.truth.by_clip(self.counted)
    return [n[k] for n, k in zip(numbers, kept, strict=True)]

  def score(self, predicted: Predicted) -> list[Errors]:
    """The errors of each clip in the frames that count and have a prediction.

    Raises:
      InputError: a prediction is not finite.
    """
    used = self.counted & predicted.present
    frames = np.zeros(1, int) if predicted.constant_body else np.flatnonzero(used)
    arrays = {
      name: np.asarray(values, np.float32) for name, values in predicted.arrays.items()
    }
    _check_finite(arrays, frames)
    surface, points = self._surface_and_points(arrays, frames)
    points = np.broadcast_to(points, (len(used), *points.shape[1:]))
    joints, root = points[:, :-1] - points[:, -1:], points[:, -1]
    target = self.labels.joints
    errors = frame_errors.of_joints(joints, target, used, self.mesh)
    if surface is not None:
      pve = frame_errors.of_surfaces(surface, root, used, self.labels)
      if pve is not None:
        errors["pve_mm"] = pve
    return frame_errors.by_clip(joints, target, errors, used, self.truth)

  def _surface_and_points(
    self, arrays: dict[str, np.ndarray], frames: Int[np.ndarray, "some"]
  ) -> tuple[posed_frames.Posed | np.ndarray | None, np.ndarray]:
    """Predicted bodies or vertices, if any; and the protocol's joints and its root."""
    neutral, readout = self.bodies.neutral, self.labels.readout
    if "rotations" in arrays:
      posed = readout.pose(neutral, arrays["rotations"], arrays["betas"], frames)
      return posed, readout.of_bodies(neutral, posed, frames)
    vertices, points = arrays.get("vertices"), arrays.get("points")
    if points is None:
      points = readout.of_vertices(neutral, arrays["vertices"], frames)
    return vertices, points

  def score_oracle(self) -> list[Errors]:
    """The errors of the best constant joints, chosen for each measure by itself."""
    used, target = self.counted, self.labels.joints
    weights = self._frame_weights()[used]
    aligned = baselines.best_aligned_joints(target[used], weights)
    rooted = baselines.best_rooted_joints(target[used], weights)
    still = np.broadcast_to(rooted, target.shape)
    errors = frame_errors.of_joints(still, target, used, self.mesh)
    of_aligned = frame_errors.of_joints(
      np.broadcast_to(aligned, target.shape), target, used, self.mesh
    )
    errors |= {name: of_aligned[name] for name in ("pa_mpjpe_mm", "joints_pa_mm")}
    return frame_errors.by_clip(still, target, errors, used, self.truth)

  def _frame_weights(self) -> Float[np.ndarray, "frames"]:
    """The weight of a frame's error in the protocol's mean, up to a common factor."""
    if self.protocol.mean == "frame":
      return np.ones(self.truth.num_frames, np.float32)
    _, sequence = np.unique(np.array(self.truth.sequences), return_inverse=True)
    of_frame = np.repeat(sequence, self.truth.lengths)
    counts = np.bincount(of_frame, self.counted)
    return (1 / np.maximum(counts, 1))[of_frame].astype(np.float32)


def _check_finite(
  arrays: dict[str, np.ndarray], frames: Int[np.ndarray, "some"]
) -> None:
  size = JOINT_BLOCK["size"]  # A part at a time: no second copy of all vertices.
  for start in range(0, len(frames), size):
    rows = frames[start : start + size]
    if not all(np.isfinite(values[rows]).all() for values in arrays.values()):
      raise InputError(
        "The predictions are not all finite: if a training diverged, evaluate an "
        "earlier checkpoint."
      )
