"""From the errors of frames to the figures that are reported, with intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from mhmr_jax.evaluation.protocols import Protocol
from mhmr_jax.evaluation.scores import Errors

MEASURES = (
  "pa_mpjpe_mm",
  "mpjpe_mm",
  "pve_mm",
  "accel_mm_s2",
  "pck_150mm_percent",
  "auc_150mm_percent",
)
_PER_JOINT = {"pa_mpjpe_mm": "joints_pa_mm", "mpjpe_mm": "joints_mm"}

CONFIDENCE = 0.95
_RESAMPLES = 2000
_SEED = 0

Means = dict[str, float | None]


def means(
  errors: Sequence[Errors], sequences: Sequence[str], protocol: Protocol
) -> Means:
  """Each measure's mean as the protocol takes it; None where nothing is defined.

  Args:
    errors: of each clip.
    sequences: that the clips are of; clips of one sequence are taken together.
    protocol: whether to take means of frames, or of sequences' means.
  """
  everything = np.ones((1, len(set(sequences))))
  found: Means = {}
  for name in MEASURES:
    value = _weighted_means(*_totals(errors, sequences, name), everything, protocol)[0]
    found[name] = None if np.isnan(value) else float(value)
  return found


def intervals(
  errors: Sequence[Errors], sequences: Sequence[str], protocol: Protocol
) -> dict[str, list[float] | None]:
  """95 % bootstrap intervals of `means`; None where fewer than two sequences count.

  Whole sequences are drawn anew, with replacement, since frames of one sequence are
  alike; the percentile interval of 2,000 draws, the same ones in every evaluation.
  With a dozen sequences it is a little too narrow.
  """
  count = len(set(sequences))
  rng = np.random.default_rng(_SEED)
  drawn = rng.multinomial(count, np.full(count, 1 / count), _RESAMPLES)
  weights = drawn.astype(np.float64)
  tail = 100 * (1 - CONFIDENCE) / 2
  found: dict[str, list[float] | None] = {}
  for name in MEASURES:
    totals, counts = _totals(errors, sequences, name)
    if (counts > 0).sum() < 2:
      found[name] = None
      continue
    values = _weighted_means(totals, counts, weights, protocol)
    # A draw can miss every sequence where the measure is defined.
    values = values[np.isfinite(values)]
    found[name] = np.percentile(values, [tail, 100 - tail]).tolist()
  return found


def per_joint(
  errors: Sequence[Errors], sequences: Sequence[str], protocol: Protocol
) -> list[dict[str, Any]]:
  """PA-MPJPE and MPJPE of each joint, by the same mean."""
  rows: list[dict[str, Any]] = [{"joint": name} for name in protocol.joints]
  everything = np.ones((1, len(set(sequences))))
  for measure, name in _PER_JOINT.items():
    for joint, row in enumerate(rows):
      of_joint = [{name: clip[name][:, joint]} for clip in errors if name in clip]
      totals = _totals(of_joint, sequences, name)
      row[measure] = float(_weighted_means(*totals, everything, protocol)[0])
  return rows


def per_clip(
  errors: Sequence[Errors], names: Sequence[str], protocol: Protocol
) -> list[dict[str, Any]]:
  """Means over the frames of each clip, in order."""
  return [
    {
      "sequence": name,
      "num_frames": len(of_clip["pa_mpjpe_mm"]),
      **means([of_clip], [name], protocol),
    }
    for name, of_clip in zip(names, errors, strict=True)
  ]


def _totals(
  errors: Sequence[Errors], sequences: Sequence[str], name: str
) -> tuple[Float[np.ndarray, " sequences"], Float[np.ndarray, " sequences"]]:
  """Sum and number of a measure's values in each sequence."""
  _, index = np.unique(np.array(sequences), return_inverse=True)
  totals, counts = np.zeros((2, index.max(initial=-1) + 1))
  for sequence, of_clip in zip(index, errors, strict=True):
    values = of_clip.get(name, np.zeros(0))
    totals[sequence] += values.sum(dtype=np.float64)
    counts[sequence] += len(values)
  return totals, counts


def _weighted_means(
  totals: Float[np.ndarray, " sequences"],
  counts: Float[np.ndarray, " sequences"],
  weights: Float[np.ndarray, "draws sequences"],
  protocol: Protocol,
) -> Float[np.ndarray, " draws"]:
  """The mean with each sequence counted so often; NaN where nothing is counted."""
  if protocol.mean == "sequence":
    totals = totals / np.maximum(counts, 1)
    counts = (counts > 0).astype(np.float64)
  below = weights @ counts
  above = weights @ totals
  return np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
