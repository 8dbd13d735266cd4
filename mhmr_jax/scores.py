"""From predicted bodies to the errors of frames, sequence by sequence."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from mhmr_jax import baselines, metrics, posing, sharding
from mhmr_jax.body import smpl
from mhmr_jax.body.gendered import Bodies
from mhmr_jax.errors import InputError
from mhmr_jax.protocols import Protocol
from mhmr_jax.truth import Predicted, Truth

# Both bodies' vertices of this many frames are posed at a time: what stays in a core's
# cache, where 256 frames take nearly three times as long.
_POSED_AT_ONCE = 32
# Joints alone: what stays in a core's cache.
_FRAMES_AT_ONCE = 4096
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
    points = self.truth.joints_camera[:, [*range(24), 0]]
    regressed = np.zeros((len(points), len(self.protocol.rows) + 1, 3), np.float32)
    for gender, frames in self._by_gender(self.counted):
      body = self.bodies.of(gender)
      if body is None:
        if self.regressor is not None:
          raise InputError(
            f"Protocol {self.protocol.name} takes the labels' joints from the "
            f"{gender} body: name its file by config.body.{gender}."
          )
        continue
      self._check_labels(body, gender, frames)
      if self.regressor is not None:
        restricted = smpl.restrict(body, self.protocol.readout(self.regressor))
        for kept, padded in _blocks(frames, _POSED_AT_ONCE):
          block = posing.regressed(
            restricted, self.truth.pose[padded], self.truth.betas[padded]
          )
          regressed[kept] = block[: len(kept)]
    points = points if self.regressor is None else regressed
    relative = points[:, :-1] - points[:, -1:]
    return np.where(self.counted[:, None, None], relative, 0).astype(np.float32)

  def score(self, predicted: Predicted) -> list[Errors]:
    """The errors of each clip, in frames that count and are predicted.

    Raises:
      InputError: a prediction is not finite.
    """
    used = self.counted & predicted.present
    joints, frames = self._posed(predicted.arrays, used)
    frames |= self._frame_errors(joints, used)
    return self._by_clip(joints, frames, used)

  def score_oracle(self) -> list[Errors]:
    """The errors of the best constant joints: for each measure, its own best."""
    used, target = self.counted, self.target
    weights = self._frame_weights()[used]
    aligned = baselines.best_aligned_joints(target[used], weights)
    rooted = baselines.best_rooted_joints(target[used], weights)
    still = np.broadcast_to(np.asarray(rooted), target.shape)
    frames = self._frame_errors(still, used)
    of_aligned = self._frame_errors(
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

  def _check_labels(
    self, body: smpl.SmplModel, gender: str, frames: Int[np.ndarray, "some"]
  ) -> None:
    frames = frames[self.truth.valid[frames]]
    label = self.truth.joints_camera[frames]
    joints = np.asarray(
      posing.joints(body, self.truth.pose[frames], self.truth.betas[frames])
    )
    gap = np.linalg.norm(joints - joints[:, :1] - label + label[:, :1], axis=-1)
    if gap.max(initial=0) > _LABEL_TOLERANCE_MM / 1000:
      key = gender if gender in ("male", "female") else "path"
      raise InputError(
        f"The labels' joints lie up to {1000 * gap.max():.0f} mm from those of the "
        f"body that config.body.{key} names: evaluate with the body that the clips "
        "were made with."
      )

  def _posed(
    self, arrays: Mapping[str, np.ndarray], used: Bool[np.ndarray, "frames"]
  ) -> tuple[Float[np.ndarray, "frames n 3"], dict[str, np.ndarray]]:
    """Predicted joints relative to the root, and the vertices' errors if they have."""
    split, whole = sharding.batched(self.mesh), sharding.replicated(self.mesh)
    size = -(-_POSED_AT_ONCE // self.mesh.size) * self.mesh.size
    # One row stands for all frames.
    still = {name for name, values in arrays.items() if len(values) < len(used)}
    pose = jax.jit(
      posing.pose_block,
      in_shardings=(
        *[whole] * 3,
        {name: whole if name in still else split for name in arrays},
        *[split] * 2,
      ),
      out_shardings=split,
    )
    readout = None
    if self.regressor is not None:
      readout = self.protocol.readout(self.regressor).astype(np.float32)
    elif "vertices" in arrays:
      # Of posed vertices SMPL's own regressor gives its joints to some millimetres.
      readout = self.protocol.readout(np.asarray(self.bodies.neutral.J_regressor))
    joints = np.zeros((len(used), len(self.protocol.rows), 3), np.float32)
    surface = np.full(len(used), np.nan, np.float32)
    for gender, frames in self._by_gender(used):
      body = self.bodies.of(gender)
      if body is not None and len(body.v_template) != self._num_vertices(arrays):
        body = None
      for kept, padded in _blocks(frames, size):
        block = {
          name: np.asarray(values if name in still else values[padded], np.float32)
          for name, values in arrays.items()
        }
        if not all(np.isfinite(values).all() for values in block.values()):
          raise InputError(
            "The predictions are not all finite: if a training diverged, evaluate an "
            "earlier checkpoint."
          )
        labels = (self.truth.pose[padded], self.truth.betas[padded])
        out = pose(self.bodies.neutral, body, readout, block, *labels)
        joints[kept] = out["joints"][: len(kept)]
        if "pve_mm" in out:
          surface[kept] = out["pve_mm"][: len(kept)]
    # Of part of the frames the mean would not compare.
    return joints, {} if np.isnan(surface[used]).any() else {"pve_mm": surface}

  def _num_vertices(self, arrays: Mapping[str, np.ndarray]) -> int:
    if "vertices" in arrays:
      return arrays["vertices"].shape[1]
    return len(self.bodies.neutral.v_template) if "rotations" in arrays else 0

  def _frame_errors(
    self, joints: Float[np.ndarray, "frames n 3"], used: Bool[np.ndarray, "frames"]
  ) -> dict[str, np.ndarray]:
    """The joints' errors of each frame; 0 where it is not used."""
    size = -(-_FRAMES_AT_ONCE // self.mesh.size) * self.mesh.size
    split = sharding.batched(self.mesh)
    errors = jax.jit(_joint_measures, in_shardings=split, out_shardings=split)
    found: dict[str, np.ndarray] = {}
    for kept, padded in _blocks(np.flatnonzero(used), size):
      block = jax.device_get(errors(joints[padded], self.target[padded]))
      for name, values in block.items():
        whole = found.setdefault(
          name, np.zeros((len(used), *values.shape[1:]), np.float32)
        )
        whole[kept] = values[: len(kept)]
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


def _blocks(
  frames: Int[np.ndarray, "some"], size: int
) -> Iterator[tuple[Int[np.ndarray, "kept"], Int[np.ndarray, "padded"]]]:
  """Frames by blocks, and the same filled up to one size so that all compile once."""
  for start in range(0, len(frames), size):
    kept = frames[start : start + size]
    yield kept, kept[np.minimum(np.arange(size), len(kept) - 1)]


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


@jax.jit
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
