"""Pairs of frames with their exact flow, from stored clips, to train networks on."""

from typing import Any, NamedTuple, cast

import grain
import numpy as np
from ml_collections import ConfigDict

from mhmr_jax.data.sources import ClipSource, Mixture
from mhmr_jax.errors import InputError
from mhmr_jax.files import flow_images, jpeg
from mhmr_jax.geometry import windows
from mhmr_jax.schema import Clip, HostBatch

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
    jpeg.decode(data, colour=True)
    for data in (clip["frames"][frame - 1], clip["frames"][frame])
  )
  flow, valid = flow_images.decode_png_with_valid(clip["flow"][frame])
  return Pair(first, second, flow, valid)


def crop(pair: Pair, box: np.ndarray, size: int, shift: np.ndarray) -> Pair:
  """Resamples a window of both frames; the flow in pixels of the crop.

  Args:
    pair: of whole frames.
    box: the first frame's window [x0, y0, x1, y1], px.
    size: of the crop, px.
    shift: [x, y] from the first frame's window to the second's, in their sides.
  """
  known = windows.crop_image(pair.valid.astype(np.float32), box, size)
  other = box + np.tile(shift * (box[2] - box[0]), 2).astype(np.float32)
  flow = windows.crop_flow(pair.flow, box, size) - shift * size
  return Pair(
    first=windows.crop_image(pair.first, box, size),
    second=windows.crop_image(pair.second, other, size),
    flow=flow.astype(np.float32),
    valid=known > 0.999,
  )


class TrainingPair(grain.transforms.RandomMap):
  """A stored clip to one random window of two of its frames."""

  def __init__(self, size: int, scales: tuple[float, float], shift: float):
    self._size = size
    self._scales = scales
    self._shift = shift

  def random_map(self, element: Any, rng: np.random.Generator) -> HostBatch:
    """Cuts and mirrors; `rng` depends on seed and position alone."""
    clip = cast(Clip, element)
    pair = read(clip, int(rng.integers(1, len(clip["frames"]))))
    frame = np.array(pair.first.shape[1::-1])
    side = frame.min() * rng.uniform(*self._scales)
    outside = _OUTSIDE * side
    low = rng.uniform(-outside, np.maximum(frame - side + outside, -outside))
    box = np.concatenate([low, low + side]).astype(np.float32)
    # Mostly far less than the most, as people's motion is.
    shift = self._shift * rng.random() ** 2 * rng.uniform(-1, 1, 2)
    cut = crop(pair, box, self._size, shift)
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
  data = config.data
  example = TrainingPair(data.size, tuple(data.scales), data.shift)
  clips = grain.MapDataset.source(source).seed(config.seed).shuffle().repeat()
  return clips.random_map(example)
