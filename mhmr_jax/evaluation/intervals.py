"""Bootstrap intervals: how far the means would move with other sequences."""

from collections.abc import Sequence

import numpy as np

from mhmr_jax.evaluation import means
from mhmr_jax.evaluation.frame_errors import Errors
from mhmr_jax.evaluation.protocols import Protocol

CONFIDENCE = 0.95
_RESAMPLES = 2000
_SEED = 0

Intervals = dict[str, list[float] | None]


def bootstrap(
  errors: Sequence[Errors], sequences: Sequence[str], protocol: Protocol
) -> Intervals:
  """95 % percentile intervals of `means.overall`, by measure.

  Whole sequences are resampled with replacement, since frames of one sequence are
  alike. The 2,000 draws are the same in every evaluation. With a dozen sequences such
  an interval is a little too narrow.

  Args:
    errors: one entry for each clip.
    sequences: the sequence of each clip.
    protocol: averages over frames, or over the means of sequences.

  Returns:
    The lower and the upper end; None where fewer than two sequences have a value.
  """
  count = len(set(sequences))
  rng = np.random.default_rng(_SEED)
  draws = rng.multinomial(count, np.full(count, 1 / count), _RESAMPLES)
  weights = draws.astype(np.float64)
  tail = 100 * (1 - CONFIDENCE) / 2
  found: Intervals = {}
  for name in means.MEASURES:
    sums, counts = means.totals(errors, sequences, name)
    if (counts > 0).sum() < 2:
      found[name] = None
      continue
    values = means.weighted(sums, counts, weights, protocol)
    # A draw can miss every sequence where the measure is defined.
    values = values[np.isfinite(values)]
    found[name] = np.percentile(values, [tail, 100 - tail]).tolist()
  return found
