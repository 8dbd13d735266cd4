"""Clips of the target domain beside the labelled ones, their labels withheld."""

import grain
import numpy as np

from mhmr_jax.schema import INPUT_CHANNELS, HostBatch

_KEPT = (*INPUT_CHANNELS, "rgb_before", "valid")


def take_turns(
  labelled: grain.MapDataset, target: grain.MapDataset
) -> grain.MapDataset:
  """One stream of examples, every other one of the target domain.

  An even batch is half and half, so that batch norm sees both domains, and the
  position in the one stream is that in both.
  """
  return grain.MapDataset.mix([labelled.map(_keep), target.map(_withhold)])


def _keep(example: HostBatch) -> HostBatch:
  return {**example, "labelled": np.ones((), bool)}


def _withhold(example: HostBatch) -> HostBatch:
  """Zeros in place of the labels, which a batch must have of all its examples."""
  kept = {
    key: value if key in _KEPT else np.zeros_like(value)
    for key, value in example.items()
  }
  return {**kept, "labelled": np.zeros((), bool)}
