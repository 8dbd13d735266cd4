"""Averages the errors of frames into the figures that are reported."""

from collections.abc import Sequence
from typing import Final, Literal, TypedDict, cast

import numpy as np
from jaxtyping import Float

from mhmr_jax.evaluation.frame_errors import Errors
from mhmr_jax.evaluation.protocols import Protocol

Measure = Literal[
  "pa_mpjpe_mm",
  "mpjpe_mm",
  "pve_mm",
  "accel_mm_s2",
  "pck_150mm_percent",
  "auc_150mm_percent",
]
MEASURES: Final[tuple[Measure, ...]] = (
  "pa_mpjpe_mm",
  "mpjpe_mm",
  "pve_mm",
  "accel_mm_s2",
  "pck_150mm_percent",
  "auc_150mm_percent",
)


class Means(TypedDict):
  """The mean of each measure; None where it is defined in no frame."""

  pa_mpjpe_mm: float | None
  mpjpe_mm: float | None
  pve_mm: float | None
  accel_mm_s2: float | None
  pck_150mm_percent: float | None
  auc_150mm_percent: float | None


class ClipMeans(Means):
  """The means over the frames of one clip."""

  sequence: str
  num_frames: int


class JointMeans(TypedDict):
  """The means of one joint."""

  joint: str
  pa_mpjpe_mm: float
  mpjpe_mm: float


def overall(
  errors: Sequence[Errors], sequences: Sequence[str], protocol: Protocol
) -> Means:
  """Averages each measure as the protocol does.

  Args:
    errors: one entry for each clip.
    sequences: the sequence of each clip; clips of one sequence are taken together.
    protocol: averages over frames, or over the means of sequences.
  """
  everything = np.ones((1, len(set(sequences))))
  found: dict[str, float | None] = {}
  for name in MEASURES:
    value = weighted(*totals(errors, sequences, name), everything, protocol)[0]
    found[name] = None if np.isnan(value) else float(value)
  return cast(Means, found)


def per_joint(
  errors: Sequence[Errors], sequences: Sequence[str], protocol: Protocol
) -> list[JointMeans]:
  """Averages PA-MPJPE and MPJPE for each joint of the protocol, as `overall` does."""
  everything = np.ones((1, len(set(sequences))))

  def mean(name: str, joint: int) -> float:
    of_joint = [{name: clip[name][:, joint]} for clip in errors if name in clip]
    return float(weighted(*totals(of_joint, sequences, name), everything, protocol)[0])

  return [
    JointMeans(
      joint=name,
      pa_mpjpe_mm=mean("joints_pa_mm", joint),
      mpjpe_mm=mean("joints_mm", joint),
    )
    for joint, name in enumerate(protocol.joints)
  ]


def per_clip(
  errors: Sequence[Errors], names: Sequence[str], protocol: Protocol
) -> list[ClipMeans]:
  """Averages over the frames of each clip, in the order of the clips."""
  return [
    ClipMeans(
      sequence=name,
      num_frames=len(of_clip["pa_mpjpe_mm"]),
      **overall([of_clip], [name], protocol),
    )
    for name, of_clip in zip(names, errors, strict=True)
  ]


def totals(
  errors: Sequence[Errors], sequences: Sequence[str], name: str
) -> tuple[Float[np.ndarray, " sequences"], Float[np.ndarray, " sequences"]]:
  """The sum and the number of a measure's values in each sequence."""
  _, index = np.unique(np.array(sequences), return_inverse=True)
  sums, counts = np.zeros((2, index.max(initial=-1) + 1))
  for sequence, of_clip in zip(index, errors, strict=True):
    values = of_clip.get(name, np.zeros(0))
    sums[sequence] += values.sum(dtype=np.float64)
    counts[sequence] += len(values)
  return sums, counts


def weighted(
  sums: Float[np.ndarray, " sequences"],
  counts: Float[np.ndarray, " sequences"],
  weights: Float[np.ndarray, "draws sequences"],
  protocol: Protocol,
) -> Float[np.ndarray, " draws"]:
  """The protocol's mean with each sequence counted `weights` times.

  A draw in which the measure is nowhere defined has NaN.
  """
  if protocol.mean == "sequence":
    sums = sums / np.maximum(counts, 1)
    counts = (counts > 0).astype(np.float64)
  below = weights @ counts
  above = weights @ sums
  return np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
