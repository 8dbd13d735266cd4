"""Runs a model along one person in a video of any length, in constant memory."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, cast

import cv2
import jax
import numpy as np
from jaxtyping import Float, Int, UInt8
from ml_collections import ConfigDict

from mhmr_jax.data import device_flow, pipeline, transforms
from mhmr_jax.errors import InputError
from mhmr_jax.geometry import windows
from mhmr_jax.inference import eval_step
from mhmr_jax.keypoints.tracking import Track
from mhmr_jax.models import motion_hmr
from mhmr_jax.models.motion_hmr import Variables
from mhmr_jax.models.temporal import Carry
from mhmr_jax.schema import Batch, HostBatch, Prediction

Step = Callable[[Batch, Carry | None], tuple[Prediction, Carry | None]]

_TRAINING_FPS = 30.0
# After so long the memory is of another movement: it starts anew.
_RESET_SECONDS = 1.0


class Chunk(NamedTuple):
  """Up to a window's length of frames that the network sees, in one crop."""

  frames: Int[np.ndarray, "time"]  # Their numbers in the video, evenly spaced.
  keypoints: Float[np.ndarray, "time 17 3"]  # Image pixels.
  box: Float[np.ndarray, "4"]  # Image pixels.
  segment: int  # Chunks of one segment follow each other without a break.


class CropOutputs(NamedTuple):
  """What the network said, of the frames that it saw."""

  frames: Int[np.ndarray, "frames"]
  segment: Int[np.ndarray, "frames"]
  rotations: Float[np.ndarray, "frames 24 3 3"]
  betas: Float[np.ndarray, "frames 10"]
  camera: Float[np.ndarray, "frames 3"]
  box: Float[np.ndarray, "frames 4"]


def stride(fps: float) -> int:
  """Every how many frames the network sees one: it was trained at 30 fps."""
  return max(1, round(fps / _TRAINING_FPS))


def flow_scale(fps: float) -> float:
  """What turns flow between seen frames into flow at the rate of training.

  The network knows speeds a frame, and videos of 24 fps have fewer of them.
  """
  return fps / stride(fps) / _TRAINING_FPS


def segments(
  frame_index: Int[np.ndarray, "frames"], fps: float
) -> list[tuple[int, int]]:
  """First and last frames of the stretches without a gap of over a second."""
  breaks = np.flatnonzero(np.diff(frame_index) > max(1, round(_RESET_SECONDS * fps)))
  firsts = frame_index[np.append(0, breaks + 1)]
  lasts = frame_index[np.append(breaks, len(frame_index) - 1)]
  return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def plan(
  track: Track,
  fps: float,
  spec: pipeline.InputSpec,
  image_size: tuple[int, int],
) -> list[Chunk]:
  """Which frames the network sees of a person, in chunks with their windows.

  Each chunk has one window, from its own keypoints as in training. Where it has no
  keypoint the window before it stays; at first, the whole image.
  """
  box = windows.whole_image(*map(float, image_size))
  chunks = []
  for number, (first, last) in enumerate(segments(track.frame_index, fps)):
    seen = np.arange(first, last + 1, stride(fps))
    for start in range(0, len(seen), spec.window):
      frames = seen[start : start + spec.window]
      keypoints = _keypoints(track, frames)
      found = windows.clip_window(keypoints, spec.window_scale)
      box = box if found is None else found
      chunks.append(Chunk(frames, keypoints, box, number))
  return chunks


def _keypoints(
  track: Track, frames: Int[np.ndarray, "time"]
) -> Float[np.ndarray, "time 17 3"]:
  """The track's keypoints in the frames; zeros where it has none."""
  keypoints = np.zeros((len(frames), 17, 3), np.float32)
  position = np.searchsorted(track.frame_index, frames)
  position = np.minimum(position, len(track.frame_index) - 1)
  known = track.frame_index[position] == frames
  keypoints[known] = track.keypoints[position[known]]
  return keypoints


def inputs(
  chunks: Sequence[Chunk],
  video: Iterable[UInt8[np.ndarray, "height width 3"]] | None,
  spec: pipeline.InputSpec,
) -> Iterator[Batch]:
  """Makes each chunk's network input, padded to the window with `valid` False.

  Args:
    chunks: in order.
    video: RGB frames from the first on; None where the network sees no pixels.
    spec: the network's inputs.
  """
  wanted = spec.host_inputs
  pictures = None if video is None else _pictures(chunks, video, "rgb" in wanted)
  previous = None
  for number, chunk in enumerate(chunks):
    frames: list[np.ndarray] = []
    if pictures is not None:
      frames = list(itertools.islice(pictures, len(chunk.frames)))
      if len(frames) < len(chunk.frames):
        raise InputError("The video ended early: is it still being written?")
    if number == 0 or chunks[number - 1].segment != chunk.segment:
      previous = None
    batch = transforms.model_inputs(
      frames,
      chunk.keypoints,
      chunk.box,
      inputs=wanted,
      size=spec.size,
      flow_preset=spec.flow_preset,
      previous=previous,
    )
    previous = frames[-1] if frames else None
    batch["valid"] = np.ones(len(chunk.frames), bool)
    yield _padded(batch, spec.window)


def _pictures(
  chunks: Sequence[Chunk], video: Iterable[np.ndarray], colour: bool
) -> Iterator[np.ndarray]:
  """Only the frames of the chunks; grey where the network sees no colour."""
  wanted = (int(frame) for chunk in chunks for frame in chunk.frames)
  following = next(wanted, None)
  for number, image in enumerate(video):
    if number == following:
      yield image if colour else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
      following = next(wanted, None)
      if following is None:
        return


def _padded(batch: HostBatch, window: int) -> Batch:
  """A leading batch axis, and zeros after the last frame."""
  padded = pipeline.pad_time(batch, window)
  return cast(Batch, {key: leaf[None] for key, leaf in padded.items()})


def make_step(
  config: ConfigDict, variables: Variables, flow_scale: float = 1.0
) -> tuple[Step, Carry | None]:
  """The model as a jitted function of a chunk and the memory, and the first memory.

  Args:
    config: of the training run.
    variables: of the model.
    flow_scale: that all flow is multiplied by.
  """
  model = motion_hmr.from_config(config.model, config.data.size)
  # All on a named device, as the step's own results are: else the second call, with
  # the first one's carry, would be compiled anew.
  variables, carry = jax.device_put(
    (variables, model.initial_carry(1)), jax.local_devices()[0]
  )
  jitted = jax.jit(functools.partial(eval_step.run_chunk, model=model))
  with_flow = device_flow.make(config)

  def step(batch: Batch, carry: Carry | None) -> tuple[Prediction, Carry | None]:
    batch = with_flow(batch)
    if "flow" in batch:
      batch = cast(Batch, {**batch, "flow": batch["flow"] * flow_scale})
    output: tuple[Prediction, Carry | None] = jitted(variables, batch, carry)
    return output

  return step, carry


def run(
  chunks: Sequence[Chunk],
  batches: Iterable[Batch],
  step: Step,
  first_carry: Carry | None,
) -> Iterator[CropOutputs]:
  """Yields what the network says of each chunk; memory lasts through a segment."""
  carry = first_carry
  pending = None
  for number, (chunk, batch) in enumerate(zip(chunks, batches, strict=True)):
    if number and chunks[number - 1].segment != chunk.segment:
      carry = first_carry
    prediction, carry = step(batch, carry)
    # The host makes the next chunk's inputs while the device works on this one.
    if pending is not None:
      yield _raw(*pending)
    pending = chunk, prediction
  if pending is not None:
    yield _raw(*pending)


def _raw(chunk: Chunk, prediction: Prediction) -> CropOutputs:
  length = len(chunk.frames)
  said = jax.device_get(prediction)
  return CropOutputs(
    frames=chunk.frames,
    segment=np.full(length, chunk.segment),
    rotations=said["rotations"][0, :length],
    betas=said["betas"][0, :length],
    camera=said["camera"][0, :length],
    box=np.broadcast_to(chunk.box, (length, 4)),
  )


def join(parts: Sequence[CropOutputs]) -> CropOutputs:
  """The chunks' results one after the other."""
  return CropOutputs(*(np.concatenate(field) for field in zip(*parts, strict=True)))
