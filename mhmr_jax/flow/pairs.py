"""Pairs of frames with their exact flow, from stored clips, to train networks on."""

from typing import Any, NamedTuple, cast

import grain
import numpy as np
from ml_collections import ConfigDict

from mhmr_jax.batch import Clip, HostBatch
from mhmr_jax.data import transforms
from mhmr_jax.data.sources import ClipSource, Mixture
from mhmr_jax.errors import InputError
from mhmr_jax.flow import images

# Windows may reach so far out of the frame, in their sides: people's windows do.
_OUTSIDE = 0.1


class Pair(NamedTuple):
  """Two frames and the flow from the first to the second, px."""

  first: np.ndarray
  second: np.ndarray
  flow: np.ndarray
  valid: np.ndarray  # Where the flow is known.


def read(clip: Clip, frame: int) -> Pair:
  """Decodes a frame of a clip, the one before it, and their flow.

  Raises:
    InputError: the clip stores no flow.
  """
  if "flow" not in clip:
    raise InputError(
      f"Clip {clip['sequence']} stores no exact flow: train flow networks on "
      "synthetic_clips."
    )
  first, second = (
    transforms.decode_frame(data, colour=True)
    for data in (clip["frames"][frame - 1], clip["frames"][frame])
  )
  flow, valid = images.decode_png_with_valid(clip["flow"][frame])
  return Pair(first, second, flow, valid)


def crop(pair: Pair, box: np.ndarray, size: int) -> Pair:
  """Resamples a window of both frames; the flow in pixels of the crop."""
  known = transforms.crop_image(pair.valid.astype(np.float32), box, size)
  return Pair(
    first=transforms.crop_image(pair.first, box, size),
    second=transforms.crop_image(pair.second, box, size),
    flow=transforms.crop_flow(pair.flow, box, size),
    valid=known > 0.999,
  )


class TrainingPair(grain.transforms.RandomMap):
  """A stored clip to one random window of two of its frames."""

  def __init__(self, size: int, scales: tuple[float, float]):
    self._size = size
    self._scales = scales

  def random_map(self, element: Any, rng: np.random.Generator) -> HostBatch:
    """Cuts and mirrors; `rng` depends on seed and position alone."""
    clip = cast(Clip, element)
    pair = read(clip, int(rng.integers(1, len(clip["frames"]))))
    frame = np.array(pair.first.shape[1::-1])
    side = frame.min() * rng.uniform(*self._scales)
    outside = _OUTSIDE * side
    low = rng.uniform(-outside, np.maximum(frame - side + outside, -outside))
    box = np.concatenate([low, low + side]).astype(np.float32)
    cut = crop(pair, box, self._size)
    flow = cut.flow
    axes = tuple(int(axis) for axis in np.flatnonzero(rng.random(2) < 0.5))
    # Axis 0 holds rows, whose direction is the flow's second component.
    flow = flow * np.array([-1 if 1 in axes else 1, -1 if 0 in axes else 1], np.float32)
    batch = cut._replace(flow=flow)._asdict()
    return {
      key: np.ascontiguousarray(np.flip(value, axes)) for key, value in batch.items()
    }


def training_dataset(
  source: ClipSource | Mixture, config: ConfigDict
) -> grain.MapDataset:
  """The endless, shuffled stream of pairs."""
  if isinstance(source, Mixture):
    raise InputError("config.data.mixture is set: flow trains on one dataset alone.")
  example = TrainingPair(config.data.size, tuple(config.data.scales))
  clips = grain.MapDataset.source(source).seed(config.seed).shuffle().repeat()
  return clips.random_map(example)
