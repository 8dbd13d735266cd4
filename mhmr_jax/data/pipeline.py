"""The Grain graph, from stored clips to numpy batches of one host.

Training: shuffle, window of T frames, keypoint noise, crop window with jitter,
flow, flip, batch. Evaluation: whole sequences, chunk after chunk, no jitter.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal, cast

import grain
import grain.experimental
import numpy as np
from ml_collections import ConfigDict

from mhmr_jax.data import flow_cache, transforms
from mhmr_jax.data import target as target_domain
from mhmr_jax.data.sources import ClipSource, Mixture
from mhmr_jax.errors import InputError
from mhmr_jax.files import flow_images, jpeg
from mhmr_jax.geometry import windows
from mhmr_jax.keypoints import noise_file
from mhmr_jax.keypoints.noise import KeypointNoise, corrupt
from mhmr_jax.runtime.sharding import HostRows
from mhmr_jax.schema import INPUT_CHANNELS, Clip, HostBatch

# Where flow can come from: the host computes or reads it, or a network on the device
# estimates it.
HOST_FLOW = ("dis", "exact")
FLOW_SOURCES = (*HOST_FLOW, "flownets", "raft")
# Fields of a batch that are not of single frames.
WITHOUT_TIME = ("betas", "rgb_before")
# The key of an iterator's state: examples taken from the stream, over all hosts.
POSITION = "global_next_index"


@dataclasses.dataclass(frozen=True)
class InputSpec:
  """What the network is given of a clip."""

  inputs: tuple[str, ...]
  size: int
  window: int
  window_scale: float
  flow_source: str
  flow_preset: str
  noise: KeypointNoise | None
  flow_cached: bool = False  # Read from `flow_estimated` of the clips.

  @classmethod
  def from_config(cls, config: ConfigDict) -> "InputSpec":
    """Reads the spec off a config; InputError for inputs or flow it does not know."""
    for name in config.model.inputs:
      if name not in INPUT_CHANNELS:
        raise InputError(
          f"config.model.inputs has {name!r}: use some of {', '.join(INPUT_CHANNELS)}."
        )
    if config.flow.source not in FLOW_SOURCES:
      raise InputError(
        f"config.flow.source is {config.flow.source!r}: choose one of "
        f"{', '.join(FLOW_SOURCES)}."
      )
    return cls(
      inputs=tuple(config.model.inputs),
      size=config.data.size,
      window=config.data.window,
      window_scale=config.data.window_scale,
      flow_source=config.flow.source,
      flow_preset=config.flow.preset,
      noise=noise_file.from_config(config),
      flow_cached=flow_cache.is_on(config),
    )

  @property
  def stored_flow(self) -> Literal["flow", "flow_estimated"] | None:
    """The clips' field that the flow is cropped from; None where it is estimated."""
    if self.flow_cached:
      return "flow_estimated"
    return "flow" if self.flow_source == "exact" else None

  @property
  def host_inputs(self) -> tuple[str, ...]:
    """What the host makes: in place of a network's flow, the frames that it sees."""
    on_host = self.flow_cached or self.flow_source in HOST_FLOW
    if "flow" not in self.inputs or on_host:
      return self.inputs
    others = [name for name in self.inputs if name not in ("rgb", "flow")]
    return ("rgb", "rgb_before", *others)

  def noisy_keypoints(self, clip: Clip, rng: np.random.Generator) -> np.ndarray:
    """The clip's keypoints as a detector would report them, [T, 17, 3]."""
    if self.noise is None or clip.get("keypoints_detected", False):
      return clip["keypoints_image"]
    return corrupt(clip["keypoints_image"], rng, self.noise, _image_size(clip))


def clip_example(
  clip: Clip,
  keypoints: np.ndarray,
  box: np.ndarray,
  span: slice,
  spec: InputSpec,
) -> HostBatch:
  """Inputs and targets of the frames `span` of a clip, cropped by `box`.

  Args:
    clip: the stored clip; only the frames of the span (and the one before,
      for the flow) are decoded.
    keypoints: [T, 17, 3] of the whole clip, in image pixels.
    box: the window.
    span: which frames.
    spec: what to make.
  """
  inputs = spec.host_inputs
  colour = "rgb" in inputs
  stored = spec.stored_flow
  dis_preset = spec.flow_preset if stored is None else None
  wants_dis = "flow" in inputs and dis_preset is not None
  frames, previous = [], None
  if colour or wants_dis:
    frames = [jpeg.decode(frame, colour) for frame in clip["frames"][span]]
    if span.start > 0 and "flow" in spec.inputs:
      previous = jpeg.decode(clip["frames"][span.start - 1], colour)
  batch = transforms.model_inputs(
    frames,
    keypoints[span],
    box,
    inputs=inputs,
    size=spec.size,
    flow_preset=dis_preset,
    previous=previous,
  )
  if "flow" in inputs and stored is not None:
    batch["flow"] = _stored_flow(clip, stored, box, span, spec.size)
  batch.update(transforms.targets(clip, span, box))
  return batch


def _stored_flow(
  clip: Clip,
  field: Literal["flow", "flow_estimated"],
  box: np.ndarray,
  span: slice,
  size: int,
) -> np.ndarray:
  if field == "flow" and field not in clip:
    raise InputError("config.flow.source is 'exact', but the clips store no flow.")
  flows = [flow_images.decode_png(data) for data in clip[field][span]]
  crops = [windows.crop_flow(flow, box, size) for flow in flows]
  return np.stack(crops).astype(np.float16)


def _window(
  clip: Clip, keypoints: np.ndarray, span: slice, spec: InputSpec
) -> np.ndarray:
  """The window of the frames `span`, from all keypoints of the clip."""
  boxes = clip["box"][span] if "box" in clip else None
  box = windows.clip_window(keypoints[span], spec.window_scale, boxes)
  return windows.whole_image(*map(float, _image_size(clip))) if box is None else box


def _image_size(clip: Clip) -> tuple[int, int]:
  height, width = jpeg.decode(clip["frames"][0], colour=False).shape
  return width, height


class TrainingExample(grain.transforms.RandomMap):
  """A stored clip to one random training example."""

  def __init__(self, spec: InputSpec, scale: float, shift: float):
    self._spec = spec
    self._scale = scale
    self._shift = shift

  def random_map(self, element: Any, rng: np.random.Generator) -> HostBatch:
    """Cuts, distorts, crops and flips; `rng` depends on seed and position alone."""
    clip = cast(Clip, element)
    spec = self._spec
    length = len(clip["frames"])
    if length < spec.window:
      raise InputError(
        f"Clip {clip['sequence']} has {length} frames, fewer than "
        f"config.data.window = {spec.window}."
      )
    starts = _useful_starts(clip["valid"], spec.window)
    start = int(starts[rng.integers(len(starts))])
    span = slice(start, start + spec.window)
    keypoints = spec.noisy_keypoints(clip, rng)
    box = _window(clip, keypoints, span, spec)
    box = windows.jitter_window(box, rng, self._scale, self._shift)
    batch = clip_example(clip, keypoints, box, span, spec)
    # A window's first flow is zero, as on the first frame of a video.
    if "flow" in batch:
      batch["flow"][0] = 0
    if "rgb_before" in batch:
      batch["rgb_before"] = batch["rgb"][0]
    if rng.random() < 0.5:
      batch = transforms.flip(batch, spec.size)
    return {key: np.ascontiguousarray(value) for key, value in batch.items()}


def _useful_starts(valid: np.ndarray, window: int) -> np.ndarray:
  """Where windows with a valid frame start; everywhere if there is none."""
  views = np.lib.stride_tricks.sliding_window_view(np.asarray(valid, bool), window)
  useful = np.asarray(views.any(-1))
  return np.flatnonzero(useful) if useful.any() else np.arange(len(useful))


def training_dataset(
  source: ClipSource | Mixture, config: ConfigDict, target: ClipSource | None = None
) -> grain.MapDataset:
  """The endless, shuffled stream of examples, the same for any number of hosts.

  A mixture's sources take turns in proportion to their weights, each in an order of
  its own: position and seed alone decide what comes.
  """
  spec = InputSpec.from_config(config)
  example = TrainingExample(spec, config.data.jitter_scale, config.data.jitter_shift)

  def shuffled(clips: ClipSource, seed: int = config.seed) -> grain.MapDataset:
    opened = flow_cache.opened(clips, config)
    return grain.MapDataset.source(opened).seed(seed).shuffle().repeat()

  if isinstance(source, ClipSource):
    labelled = shuffled(source).random_map(example)
  else:
    streams = [shuffled(clips) for clips in source.sources]
    mixed = grain.MapDataset.mix(streams, source.weights)
    labelled = mixed.seed(config.seed).random_map(example)
  if target is None:
    return labelled
  # Another seed: two kinds of synthetic clips show the same motions under the same
  # numbers, and would otherwise come in pairs.
  unlabelled = shuffled(target, config.seed + 1).random_map(example)
  return target_domain.take_turns(labelled, unlabelled)


def training_iterator(
  source: ClipSource | Mixture,
  config: ConfigDict,
  host: HostRows | None = None,
  target: ClipSource | None = None,
) -> grain.experimental.ElasticIterator:
  """This host's part of every global batch, half of it the target's if there is one."""
  dataset = training_dataset(source, config, target)
  return elastic_iterator(dataset, config, host)


class RowsOfHost(grain.MapDataset):
  """A stream whose every P-th example is one of the batch's rows that a host holds.

  `ElasticIterator` deals the examples of a batch out to P hosts in turns; a host's
  devices hold other rows. Seen through this, both agree, and a batch has its examples
  in the stream's order for any number of hosts.
  """

  def __init__(self, parent: grain.MapDataset, batch_size: int, rows: np.ndarray):
    super().__init__(parent)
    self._batch_size = batch_size
    self._rows = rows

  def __len__(self) -> int:
    return len(self._parent)

  def __getitem__(self, index: Any) -> Any:
    """The example at the place of its turn; only a host's own turns make sense."""
    if isinstance(index, slice):
      return self.slice(index)
    batch, turn = divmod(index, self._batch_size)
    row = self._rows[turn * len(self._rows) // self._batch_size]
    return self._parent[batch * self._batch_size + int(row)]


def elastic_iterator(
  dataset: grain.MapDataset, config: ConfigDict, host: HostRows | None = None
) -> grain.experimental.ElasticIterator:
  """This host's part (None: all) of every global batch of a stream of examples.

  The state is the position in the stream alone, so a run resumes exactly with
  another number of workers, devices or hosts.
  """
  shard = grain.sharding.ShardOptions(0, 1)
  if host is not None and host.hosts > 1:
    dataset = RowsOfHost(dataset, config.train.batch_size, host.rows)
    shard = grain.sharding.ShardOptions(host.host, host.hosts)
  workers = config.data.workers
  parallel = grain.MultiprocessingOptions(num_workers=workers) if workers else None
  return grain.experimental.ElasticIterator(
    dataset,
    config.train.batch_size,
    shard,
    read_options=grain.ReadOptions(num_threads=1, prefetch_buffer_size=2),
    multiprocessing_options=parallel,
  )


@dataclasses.dataclass(frozen=True)
class Chunk:
  """T frames of `lanes` sequences side by side, padded where one has ended.

  Attributes:
    batch: leading axis lanes; padded frames have valid = False.
    clips: [lanes] index of each lane's clip in the source, -1 for padding.
    boxes: [lanes, 4] crop windows in image pixels.
    start: frame of the sequences at which the chunk begins.
  """

  batch: HostBatch
  clips: np.ndarray
  boxes: np.ndarray
  start: int


def evaluation_groups(
  source: ClipSource,
  config: ConfigDict,
  lanes: int,
  shard: int = 0,
  shards: int = 1,
) -> Iterator[Iterator[Chunk]]:
  """Whole sequences, `lanes` at a time: each group yields its chunks in order.

  A chunk is made when it is asked for, so that memory does not grow with the length
  of sequences. A sequence's keypoint noise depends on its index alone.
  """
  spec = InputSpec.from_config(config)
  clips = flow_cache.opened(source, config)
  indices = np.arange(len(source))[shard::shards]
  for begin in range(0, len(indices), lanes):
    yield _chunks(clips, indices[begin : begin + lanes], lanes, spec)


def _chunks(
  source: ClipSource | flow_cache.ClipsWithFlow,
  indices: np.ndarray,
  lanes: int,
  spec: InputSpec,
) -> Iterator[Chunk]:
  clips = np.full(lanes, -1)
  clips[: len(indices)] = indices
  group = [source[int(index)] for index in indices]
  keypoints = [
    spec.noisy_keypoints(clip, np.random.default_rng([index, 2]))
    for clip, index in zip(group, indices, strict=True)
  ]
  longest = max(len(clip["frames"]) for clip in group)
  for start in range(0, longest, spec.window):
    examples: list[HostBatch | None] = [None] * lanes
    boxes = np.zeros((lanes, 4), np.float32)
    for lane, clip in enumerate(group):
      span = slice(start, min(start + spec.window, len(clip["frames"])))
      if span.start >= span.stop:
        continue
      boxes[lane] = _window(clip, keypoints[lane], span, spec)
      example = clip_example(clip, keypoints[lane], boxes[lane], span, spec)
      examples[lane] = pad_time(example, spec.window)
    # Some sequence is as long as the longest, so that one example is not blank.
    filled = next(example for example in examples if example is not None)
    blank = {key: np.zeros_like(value) for key, value in filled.items()}
    batch = {key: np.stack([(e or blank)[key] for e in examples]) for key in blank}
    yield Chunk(batch, clips, boxes, start)


def pad_time(batch: HostBatch, window: int) -> HostBatch:
  """Zeros after the last frame, of all fields that have frames."""

  def pad(key: str, value: np.ndarray) -> np.ndarray:
    if key in WITHOUT_TIME:
      return value
    missing = window - len(value)
    return np.concatenate([value, np.zeros((missing, *value.shape[1:]), value.dtype)])

  return {key: pad(key, value) for key, value in batch.items()}
