"""Bootstrap intervals: how far the means would vary with other sequences."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mhmr_jax.evaluation import means
from mhmr_jax.evaluation.frame_errors import Errors
from mhmr_jax.evaluation.protocols import Protocol

CONFIDENCE = 0.95
_RESAMPLES = 2000
_SEED = 0

Intervals = dict[str, list[float] | None]


class SeedErrors(NamedTuple):
  """The errors of one method, trained with one or more seeds, in each sequence.

  Attributes:
    sums: the sums of a sequence's errors; the sequences are the same for all seeds.
    counts: how many errors each sequence has.
  """

  sums: Float[np.ndarray, "seeds sequences"]
  counts: Float[np.ndarray, " sequences"]


class Estimate(NamedTuple):
  """A mean, and the ends of its 95 % interval."""

  mean: float
  low: float
  high: float


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


def over_seeds(errors: SeedErrors) -> Estimate:
  """The mean error over seeds and sequences, with its percentile interval.

  Each draw takes seeds and, independently, whole sequences with replacement (stratified
  bootstrap, Agarwal et al. 2021). With one seed the interval leaves out the variation
  between seeds, and with three it is still too narrow.

  Raises:
    ValueError: there are fewer than two sequences.
  """
  whole = _everything(errors)
  return _estimate(_mean(errors, *whole)[0], _mean(errors, *_draws(errors)))


def difference(first: SeedErrors, second: SeedErrors) -> Estimate:
  """The mean error of the first method minus that of the second, as in `over_seeds`.

  Both were tested on the same sequences, and each draw takes the same ones for both;
  their seeds are drawn independently.

  Raises:
    ValueError: their sequences differ, or are fewer than two.
  """
  if not np.array_equal(first.counts, second.counts):
    raise ValueError("the methods were tested on other sequences")
  value = _mean(first, *_everything(first)) - _mean(second, *_everything(second))
  draws = _draws(first)
  # Another stream for the second one's seeds: equal numbers of them are no pairs.
  others = _draws(second, stream=1)[1]
  return _estimate(value[0], _mean(first, *draws) - _mean(second, draws[0], others))


def _draws(
  errors: SeedErrors, stream: int = 0
) -> tuple[Float[np.ndarray, "draws sequences"], Float[np.ndarray, "draws seeds"]]:
  """How often each draw takes each sequence and each seed."""
  seeds, sequences = errors.sums.shape
  if sequences < 2:
    raise ValueError("there is one sequence alone")
  of_sequences = np.random.default_rng(_SEED)
  of_seeds = np.random.default_rng([_SEED, 1, stream])

  def multinomial(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.multinomial(count, np.full(count, 1 / count), _RESAMPLES).astype(float)

  return multinomial(of_sequences, sequences), multinomial(of_seeds, seeds)


def _everything(
  errors: SeedErrors,
) -> tuple[Float[np.ndarray, "1 sequences"], Float[np.ndarray, "1 seeds"]]:
  seeds, sequences = errors.sums.shape
  return np.ones((1, sequences)), np.ones((1, seeds))


def _mean(
  errors: SeedErrors,
  sequences: Float[np.ndarray, "draws sequences"],
  seeds: Float[np.ndarray, "draws seeds"],
) -> Float[np.ndarray, " draws"]:
  of_seeds = (sequences @ errors.sums.T) / (sequences @ errors.counts)[:, None]
  return np.sum(seeds * of_seeds, axis=1) / np.sum(seeds, axis=1)


def _estimate(value: float, draws: Float[np.ndarray, " draws"]) -> Estimate:
  tail = 100 * (1 - CONFIDENCE) / 2
  low, high = np.percentile(draws, [tail, 100 - tail])
  return Estimate(float(value), float(low), float(high))
