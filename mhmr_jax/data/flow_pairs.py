"""Pairs of frames with their exact flow, from stored clips, to train flow networks on.

A stored clip becomes one random example of `mhmr_jax.train_flow`, as `examples` does it
for `mhmr_jax.train`, and `pipeline.elastic_iterator` makes batches of them.
"""

from typing import Any, NamedTuple, cast

import grain
import numpy as np
from jaxtyping import Bool, Float, UInt8
from ml_collections import ConfigDict

from mhmr_jax.data.sources import ClipSource, Mixture
from mhmr_jax.errors import InputError
from mhmr_jax.files import flow_images, jpeg
from mhmr_jax.geometry import windows
from mhmr_jax.schema import Clip, HostBatch

# How far windows may reach out of the frame, as a share of their side; those around
# people do.
_OUTSIDE = 0.1


class Pair(NamedTuple):
  """Two RGB frames and the flow from the first to the second.

  A batch of pairs has a leading axis.
  """

  first: UInt8[np.ndarray, "*batch height width 3"]
  second: UInt8[np.ndarray, "*batch height width 3"]
  flow: Float[np.ndarray, "*batch height width 2"]  # Pixels.
  valid: Bool[np.ndarray, "*batch height width"]  # Where the flow is known.


def read(clip: Clip, frame: int) -> Pair:
  """Decodes a frame of a clip, the frame before it, and the flow between them.

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


def crop(
  pair: Pair,
  box: Float[np.ndarray, "4"],
  size: int,
  shift: Float[np.ndarray, "2"],
) -> Pair:
  """Resamples a window of both frames; the flow becomes pixels of the crop.

  Args:
    pair: whole frames.
    box: the first frame's window [x0, y0, x1, y1], px.
    size: side of the crop, px.
    shift: [x, y] from the first frame's window to the second's, as a share of their
      side.
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
  """Turns a stored clip into one random window of two of its frames."""

  def __init__(self, size: int, scales: tuple[float, float], shift: float):
    """Keeps the settings.

    Args:
      size: side of the crops, px.
      scales: range of the windows' side over the frame's shorter side.
      shift: the largest shift between the two windows, as a share of their side.
    """
    self._size = size
    self._scales = scales
    self._shift = shift

  def random_map(self, element: Any, rng: np.random.Generator) -> HostBatch:
    """Cuts and mirrors a pair of frames.

    Args:
      element: the clip.
      rng: depends on the seed and the position in the stream alone.

    Returns:
      The fields of a `Pair`, by name.

    Raises:
      InputError: the clip stores no flow.
    """
    clip = cast(Clip, element)
    pair = read(clip, int(rng.integers(1, len(clip["frames"]))))
    frame = np.array(pair.first.shape[1::-1])
    side = frame.min() * rng.uniform(*self._scales)
    outside = _OUTSIDE * side
    low = rng.uniform(-outside, np.maximum(frame - side + outside, -outside))
    box = np.concatenate([low, low + side]).astype(np.float32)
    # Most shifts are far smaller than the largest, as people's motion is.
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
  """The endless, shuffled stream of pairs.

  Raises:
    InputError: the config mixes several datasets.
  """
  if isinstance(source, Mixture):
    raise InputError("config.data.mixture is set: flow trains on one dataset alone.")
  data = config.data
  example = TrainingPair(data.size, tuple(data.scales), data.shift)
  clips = grain.MapDataset.source(source).seed(config.seed).shuffle().repeat()
  return clips.random_map(example)
