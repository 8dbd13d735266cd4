"""From predicted bodies to the errors of frames, sequence by sequence."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from mhmr_jax.body import posed_frames, smpl
from mhmr_jax.body.gendered import Bodies
from mhmr_jax.errors import InputError
from mhmr_jax.evaluation import baselines
from mhmr_jax.evaluation.protocols import Protocol
from mhmr_jax.evaluation.truth import Predicted, Truth
from mhmr_jax.geometry import metrics

# Both bodies' vertices of so many frames stay in a core's cache.
_SURFACE = {"steps": 32, "size": 32}
# Joints alone.
_JOINTS = {"steps": 1, "size": 4096}
_LABEL_TOLERANCE_MM = 5.0

# Errors of the frames where a measure is defined, by measure; those of single joints
# have a second axis.
Errors = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Scorer:
  """Scores predictions of the same clips by the same protocol.

  Attributes:
    protocol: which joints of which frames.
    regressor: the protocol's, on the bodies' vertices; None if it needs none.
    bodies: of predictions and labels.
    truth: the labels.
    mesh: the frames are divided over it.
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
  def counted(self) -> Bool[np.ndarray, "frames"]:
    """The frames that the protocol counts; InputError if there are none."""
    counted = self.protocol.counted(self.truth.valid, self.truth.keypoints)
    if not counted.any():
      raise InputError(
        f"Protocol {self.protocol.name} counts no frame of that split: there is "
        "nothing to score."
      )
    return counted

  def counted_frames(self) -> list[Int[np.ndarray, "some"]]:
    """Numbers, in its video, of each clip's frames that count."""
    borders = np.cumsum(self.truth.lengths)[:-1]
    numbers = np.split(self.truth.frame_index, borders)
    kept = np.split(self.counted, borders)
    return [n[k] for n, k in zip(numbers, kept, strict=True)]

  @functools.cached_property
  def target(self) -> Float[np.ndarray, "frames n 3"]:
    """The true joints relative to the root; 0 in frames that do not count.

    Raises:
      InputError: the body of a person's gender is missing, or is not that of the
        labels.
    """
    for gender, frames in self._by_gender(self.counted):
      body = self.bodies.of(gender)
      if body is not None:
        self._check_labels(gender, frames)
      elif self.regressor is not None:
        raise InputError(
          f"Protocol {self.protocol.name} takes the labels' joints from the "
          f"{gender} body: name its file by config.body.{gender}."
        )
    points = self.truth.joints_camera[:, [*range(24), 0]]
    if self.regressor is not None:
      points = self._label_points
    relative = points[:, :-1] - points[:, -1:]
    return np.where(self.counted[:, None, None], relative, 0).astype(np.float32)

  @functools.cached_property
  def _labels(self) -> posed_frames.Posed:
    """The labels' bodies in the frames that count, where the gender's is there."""
    rotations = posed_frames.matrices(self.truth.pose)
    betas = self.truth.betas.astype(np.float32)
    zeros = np.zeros((len(betas), 24, 3, 5), np.float32)
    transforms, joints = zeros[..., :4], zeros[..., 4]
    for gender, frames in self._by_gender(self.counted):
      body = self.bodies.of(gender)
      if body is not None:
        posed = self._pose(body, rotations, betas, frames)
        transforms[frames] = posed.transforms[frames]
        joints[frames] = posed.joints[frames]
    return posed_frames.Posed(rotations, betas, transforms, joints)

  @functools.cached_property
  def _label_points(self) -> Float[np.ndarray, "frames n 3"]:
    """The protocol's joints and last its root, of `_labels`."""
    points = np.zeros((len(self.counted), len(self.protocol.rows) + 1, 3), np.float32)
    for gender, frames in self._by_gender(self.counted):
      body = self.bodies.of(gender)
      if body is not None:
        points[frames] = self._points(body, self._labels, frames)[frames]
    return points

  def score(self, predicted: Predicted) -> list[Errors]:
    """The errors of each clip, in frames that count and are predicted.

    Raises:
      InputError: a prediction is not finite.
    """
    used = self.counted & predicted.present
    frames = np.flatnonzero(used)
    arrays = {
      name: np.asarray(values, np.float32) for name, values in predicted.arrays.items()
    }
    if predicted.constant_body:
      frames = np.zeros(1, int)
    for start in range(0, len(frames), _JOINTS["size"]):
      rows = frames[start : start + _JOINTS["size"]]
      if not all(np.isfinite(values[rows]).all() for values in arrays.values()):
        raise InputError(
          "The predictions are not all finite: if a training diverged, evaluate an "
          "earlier checkpoint."
        )
    said: posed_frames.Posed | np.ndarray | None = arrays.get("vertices")
    points = arrays.get("points")
    if "rotations" in arrays:
      neutral = self.bodies.neutral
      said = self._pose(neutral, arrays["rotations"], arrays["betas"], frames)
      points = self._points(neutral, said, frames)
    elif points is None:
      points = self._read(arrays["vertices"], frames)
    points = np.broadcast_to(points, (len(used), *points.shape[1:]))
    joints = points[:, :-1] - points[:, -1:]
    errors = self._joint_errors(joints, used)
    if said is not None:
      errors |= self._surface_errors(said, points[:, -1], used)
    return self._by_clip(joints, errors, used)

  def score_oracle(self) -> list[Errors]:
    """The errors of the best constant joints: for each measure, its own best."""
    used, target = self.counted, self.target
    weights = self._frame_weights()[used]
    aligned = baselines.best_aligned_joints(target[used], weights)
    rooted = baselines.best_rooted_joints(target[used], weights)
    still = np.broadcast_to(np.asarray(rooted), target.shape)
    frames = self._joint_errors(still, used)
    of_aligned = self._joint_errors(
      np.broadcast_to(np.asarray(aligned), target.shape), used
    )
    frames |= {name: of_aligned[name] for name in ("pa_mpjpe_mm", "joints_pa_mm")}
    return self._by_clip(still, frames, used)

  def _frame_weights(self) -> Float[np.ndarray, "frames"]:
    """What a frame's error weighs in the protocol's mean, to scale."""
    if self.protocol.mean == "frame":
      return np.ones(len(self.truth.valid), np.float32)
    _, sequence = np.unique(np.array(self.truth.sequences), return_inverse=True)
    of_frame = np.repeat(sequence, self.truth.lengths)
    counts = np.bincount(of_frame, self.counted)
    return (1 / np.maximum(counts, 1))[of_frame].astype(np.float32)

  def _by_gender(
    self, used: Bool[np.ndarray, "frames"]
  ) -> Iterator[tuple[str, Int[np.ndarray, "some"]]]:
    genders = np.repeat(np.array(self.truth.genders), self.truth.lengths)
    for gender in sorted(set(self.truth.genders)):
      frames = np.flatnonzero(used & (genders == gender))
      if len(frames):
        yield gender, frames

  def _check_labels(self, gender: str, frames: Int[np.ndarray, "some"]) -> None:
    frames = frames[self.truth.valid[frames]]
    label, joints = self.truth.joints_camera[frames], self._labels.joints[frames]
    gap = np.linalg.norm(joints - joints[:, :1] - label + label[:, :1], axis=-1)
    if gap.max(initial=0) > _LABEL_TOLERANCE_MM / 1000:
      key = gender if gender in ("male", "female") else "path"
      raise InputError(
        f"The labels' joints lie up to {1000 * gap.max():.0f} mm from those of the "
        f"body that config.body.{key} names: evaluate with the body that the clips "
        "were made with."
      )

  def _pose(
    self,
    body: smpl.SmplModel,
    rotations: Float[np.ndarray, "frames 24 3 3"],
    betas: Float[np.ndarray, "frames 10"],
    frames: Int[np.ndarray, "some"],
  ) -> posed_frames.Posed:
    transforms, joints = posed_frames.in_blocks(
      posed_frames.bones, (body,), (rotations, betas), frames, self.mesh, **_JOINTS
    )
    return posed_frames.Posed(rotations, betas, transforms, joints)

  def _points(
    self,
    body: smpl.SmplModel,
    posed: posed_frames.Posed,
    frames: Int[np.ndarray, "some"],
  ) -> Float[np.ndarray, "frames n 3"]:
    """The protocol's joints of posed bodies, and last its root."""
    if self.regressor is None:
      rows = [*self.protocol.rows, *self.protocol.root_rows]
      return np.asarray(posed.joints)[:, rows]
    restricted = smpl.restrict(body, self.protocol.readout(self.regressor))
    points: np.ndarray = posed_frames.in_blocks(
      posed_frames.regressed, (restricted,), (posed,), frames, self.mesh, **_SURFACE
    )
    return points

  def _read(
    self, vertices: Float[np.ndarray, "frames V 3"], frames: Int[np.ndarray, "some"]
  ) -> Float[np.ndarray, "frames n 3"]:
    """The protocol's joints of given vertices, and last its root."""
    regressor = self.regressor
    if regressor is None:
      # Of posed vertices SMPL's own regressor gives its joints to some millimetres.
      regressor = np.asarray(self.bodies.neutral.J_regressor)
    readout = self.protocol.readout(regressor).astype(np.float32)
    points: np.ndarray = posed_frames.in_blocks(
      posed_frames.read, (readout,), (vertices,), frames, self.mesh, **_SURFACE
    )
    return points

  def _surface_errors(
    self,
    said: posed_frames.Posed | Float[np.ndarray, "frames V 3"],
    root: Float[np.ndarray, "frames 3"],
    used: Bool[np.ndarray, "frames"],
  ) -> dict[str, np.ndarray]:
    """PVE of each frame; nothing where a label's vertices are missing or others."""
    count = len(self.bodies.neutral.v_template)
    if not isinstance(said, posed_frames.Posed):
      count = said.shape[1]
    errors = np.zeros(len(used), np.float32)
    for gender, frames in self._by_gender(used):
      body = self.bodies.of(gender)
      if body is None or len(body.v_template) != count:
        # Of part of the frames the mean would not compare.
        return {}
      whole: tuple[Any, ...] = (self.bodies.neutral, body)
      rows: tuple[Any, ...] = (self._labels, root, self._label_points[:, -1])
      if isinstance(said, posed_frames.Posed) and len(said.betas) < len(used):
        whole = (*whole, said)
      else:
        rows = (said, *rows)
      errors[frames] = posed_frames.in_blocks(
        posed_frames.surface_errors, whole, rows, frames, self.mesh, **_SURFACE
      )[frames]
    return {"pve_mm": errors}

  def _joint_errors(
    self, joints: Float[np.ndarray, "frames n 3"], used: Bool[np.ndarray, "frames"]
  ) -> dict[str, np.ndarray]:
    """The joints' errors of each frame; 0 where it is not used."""
    rows, frames = (joints, self.target), np.flatnonzero(used)
    found: dict[str, np.ndarray] = posed_frames.in_blocks(
      _joint_measures, (), rows, frames, self.mesh, **_JOINTS
    )
    return found

  def _by_clip(
    self,
    joints: Float[np.ndarray, "frames n 3"],
    frames: Mapping[str, Float[np.ndarray, "frames ..."]],
    used: Bool[np.ndarray, "frames"],
  ) -> list[Errors]:
    """Splits errors by clip, adds acceleration, and drops frames that are not used."""
    borders = np.cumsum(self.truth.lengths)[:-1]
    acceleration, defined = _acceleration(joints, self.target, used, self.truth)
    kept = np.split(used, borders)
    split = {name: np.split(values, borders) for name, values in frames.items()}
    return [
      {name: values[i][kept[i]] for name, values in split.items()}
      | {"accel_mm_s2": acceleration[i][defined[i]]}
      for i in range(len(self.truth.lengths))
    ]


def _acceleration(
  joints: Float[np.ndarray, "frames n 3"],
  target: Float[np.ndarray, "frames n 3"],
  used: Bool[np.ndarray, "frames"],
  truth: Truth,
) -> tuple[Float[np.ndarray, "clips longest"], Bool[np.ndarray, "clips longest"]]:
  """Of root-relative joints, all clips padded to the longest."""
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
