"""Sequences of any length in chunks of one window's length, and their inputs.

A network reads a sequence chunk by chunk: each chunk has one crop window, from its own
keypoints, and its first flow starts at the last frame of the chunk before. Stored
clips (`examples`) and videos (`inference.streaming`) are both cut here, so that a
network is given the same inputs for the same frames.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from mhmr_jax.data import transforms
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.geometry import pinhole, windows
from mhmr_jax.schema import HostBatch

# Flow is given to networks as the displacement in this time, s; most clips have a frame
# each.
TRAINING_STEP = 1 / 30
# Fields of an example that have no time axis.
_WITHOUT_TIME = ("betas", "rgb_before", "flow_scale", "window")


class Timing(NamedTuple):
  """When the network reads a video's frames, which may have another rate.

  Attributes:
    times: the moments, s, evenly spaced; the frames are those nearest to them.
    flow_seconds: the time between the two pictures of each frame's flow; 0 where a
      frame repeats the one before, whose flow it then has.
  """

  times: Float[np.ndarray, "time"]
  flow_seconds: Float[np.ndarray, "time"]


class Chunk(NamedTuple):
  """Up to a window's length of frames that the network reads in one crop window."""

  frames: Int[np.ndarray, "time"]  # Their numbers in the sequence; some may repeat.
  keypoints: Float[np.ndarray, "time 17 3"]  # Image pixels.
  box: Float[np.ndarray, "4"]  # The crop window, image pixels.
  segment: int = 0  # Chunks of one segment follow each other without a break.
  timing: Timing | None = None  # Only chunks of videos have it.

  @property
  def middle(self) -> int:
    """The middle one of the frames, whose intrinsics hold for the whole chunk."""
    return int(self.frames[len(self.frames) // 2])


def crop_window(
  keypoints: Float[np.ndarray, "time 17 3"],
  boxes: Float[np.ndarray, "time 4"] | None,
  spec: InputSpec,
  fallback: Callable[[], Float[np.ndarray, "4"]],
) -> Float[np.ndarray, "4"]:
  """The crop window around the person in some frames, image pixels.

  Args:
    keypoints: the keypoints of the frames, image pixels.
    boxes: stand in for the keypoints of frames that have none; see
      `windows.clip_window`.
    spec: gives the window's scale.
    fallback: gives the window where no frame has a keypoint or box.
  """
  box = windows.clip_window(keypoints, spec.window_scale, boxes)
  return fallback() if box is None else box


def cut(
  frames: Int[np.ndarray, "frames"],
  keypoints: Float[np.ndarray, "frames 17 3"],
  spec: InputSpec,
  fallback: Callable[[], Float[np.ndarray, "4"]],
  *,
  boxes: Float[np.ndarray, "frames 4"] | None = None,
  segment: int = 0,
) -> Iterator[Chunk]:
  """Cuts one segment into chunks.

  Args:
    frames: the segment's frames, as numbers in the sequence.
    keypoints: the keypoints of these frames, image pixels.
    spec: gives the chunks' length and the windows' scale.
    fallback: gives the window of a chunk without any keypoint or box. It is called
      when that chunk is asked for, so it may depend on the chunks before.
    boxes: as for `crop_window`.
    segment: the segment's number.
  """
  for start in range(0, len(frames), spec.window):
    span = slice(start, start + spec.window)
    own_boxes = None if boxes is None else boxes[span]
    box = crop_window(keypoints[span], own_boxes, spec, fallback)
    yield Chunk(frames[span], keypoints[span], box, segment)


class InputMaker:
  """Makes the inputs of chunk after chunk of one sequence.

  Args:
    spec: which inputs to make.
    intrinsics: those of the sequence, or of each of its frames; needed if
      `spec.window_in_camera`. If `spec` needs no images, the keypoints of a chunk
      are converted to its middle frame's intrinsics; else a zoom stays in the inputs.
  """

  def __init__(
    self, spec: InputSpec, intrinsics: Float[np.ndarray, "*num_frames 3 3"] | None
  ):
    self._spec, self._intrinsics = spec, intrinsics
    self._segment: int | None = None
    self._latest: list[tuple[int, np.ndarray]] = []  # The last two different images.

  def make(self, chunk: Chunk, images: Sequence[np.ndarray]) -> HostBatch:
    """Makes a chunk's inputs, padded to the window with `valid` False.

    Args:
      chunk: the one that follows the one before.
      images: one for each of its frames: RGB if `spec.colour`, else RGB or grey; none
        unless `spec.needs_images`.
    """
    if chunk.segment != self._segment:
      self._segment, self._latest = chunk.segment, []
    others = [image for frame, image in self._latest if frame != chunk.frames[0]]
    previous = others[-1] if others else None
    keypoints, intrinsics = chunk.keypoints, self._intrinsics
    if intrinsics is not None and intrinsics.ndim == 3:
      own = intrinsics[chunk.frames]
      intrinsics = intrinsics[chunk.middle]
      if not self._spec.needs_images:
        places = pinhole.to_camera(keypoints[..., :2], own, intrinsics[None])
        keypoints = np.append(places, keypoints[..., 2:], axis=-1).astype(np.float32)
    batch = transforms.model_inputs(
      list(images), keypoints, chunk.box, self._spec, previous, intrinsics
    )
    for frame, image in zip(chunk.frames, images, strict=False):
      if not self._latest or self._latest[-1][0] != frame:
        self._latest = [*self._latest[-1:], (int(frame), image)]
    batch["valid"] = np.ones(len(chunk.frames), bool)
    return pad_time(batch, self._spec.window)


def make_inputs(
  chunks: Sequence[Chunk],
  images: Iterable[np.ndarray],
  spec: InputSpec,
  intrinsics: Float[np.ndarray, "*num_frames 3 3"] | None,
) -> Iterator[HostBatch]:
  """Makes the inputs of all chunks of a sequence; see `InputMaker`.

  Args:
    chunks: in order.
    images: one for every frame of the chunks, in order: RGB if `spec.colour`, else RGB
      or grey. Not read unless `spec.needs_images`.
    spec: which inputs to make.
    intrinsics: as for `InputMaker`.
  """
  maker = InputMaker(spec, intrinsics)
  images = iter(images)
  for chunk in chunks:
    count = len(chunk.frames) if spec.needs_images else 0
    yield maker.make(chunk, list(itertools.islice(images, count)))


def pad_time(example: HostBatch, window: int) -> HostBatch:
  """Adds zeros after the last frame, up to the window, to all fields with frames."""

  def pad(key: str, value: np.ndarray) -> np.ndarray:
    if key in _WITHOUT_TIME:
      return value
    missing = window - len(value)
    return np.concatenate([value, np.zeros((missing, *value.shape[1:]), value.dtype)])

  return {key: pad(key, value) for key, value in example.items()}
