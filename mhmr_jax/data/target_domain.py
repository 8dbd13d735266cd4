"""Mixes clips of the target domain, without labels, into the labelled stream.

Domain-adversarial training (Ganin et al., 2016) reads both: `pipeline` calls this last,
on finished examples.
"""

import grain
import numpy as np

from mhmr_jax.data import transforms
from mhmr_jax.schema import INPUT_CHANNELS, HostBatch

_KEPT = (*INPUT_CHANNELS, "rgb_before", "flow_scale", "window", "valid")


def take_turns(
  labelled: grain.MapDataset, target: grain.MapDataset
) -> grain.MapDataset:
  """One stream of examples, every other one from the target domain.

  Half of an even batch then comes from each domain, so that batch norm averages over
  both, and the position in the stream alone decides which example comes.
  """
  return grain.MapDataset.mix([labelled.map(_keep), target.map(_withhold)])


def _keep(example: HostBatch) -> HostBatch:
  return {**example, "labelled": np.ones((), bool)}


def _withhold(example: HostBatch) -> HostBatch:
  """Puts zeros in the labels' place, whether the clip has labels or not.

  All examples of a batch must have the same fields.
  """
  kept = {key: value for key, value in example.items() if key in _KEPT}
  zeros = transforms.no_labels(len(example["valid"]))
  return {**zeros, **kept, "labelled": np.zeros((), bool)}
