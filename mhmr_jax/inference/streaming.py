"""Runs a model along one person in a video of any length, in constant memory."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, cast

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Float, Int, UInt8
from ml_collections import ConfigDict

from mhmr_jax.data import device_flow, transforms
from mhmr_jax.data.chunks import TRAINING_STEP, Chunk, Timing, cut, make_inputs
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.errors import InputError
from mhmr_jax.geometry import pinhole, windows
from mhmr_jax.inference import eval_step, mirroring, sampling
from mhmr_jax.keypoints.tracking import Track
from mhmr_jax.models import motion_hmr
from mhmr_jax.models.motion_hmr import Carry, MotionHMR, Variables
from mhmr_jax.schema import Batch, HostBatch, Prediction

Step = Callable[[Batch, Carry | None], tuple[Prediction, Carry | None]]

_IMAGE_DOWN = (0.0, 1.0, 0.0)


class CropOutputs(NamedTuple):
  """The network's outputs for the moments at which it read a person.

  They refer to the crop windows: `placement` converts them to motion in space.
  """

  times: Float[np.ndarray, "frames"]  # Seconds from the video's first frame.
  segment: Int[np.ndarray, "frames"]
  rotations: Float[np.ndarray, "frames 24 3 3"]
  betas: Float[np.ndarray, "frames 10"]
  camera: Float[np.ndarray, "frames 3"]  # Weak perspective [s, tx, ty] of the crop.
  box: Float[np.ndarray, "frames 4"]  # The crop window, image pixels.
  gravity: Float[np.ndarray, "frames 3"]  # The unit vector down, camera frame.
  # How probably the left and the right foot stand still, from 0 to 1.
  standing: Float[np.ndarray, "frames 2"]


def plan(
  track: Track,
  times: Float[np.ndarray, "num_frames"],
  spec: InputSpec,
  image_size: tuple[int, int],
) -> list[Chunk]:
  """Cuts a person's track into chunks for the network, at the rate of training.

  A chunk without any keypoint keeps the window of the chunk before; the first one has
  the whole image.

  Args:
    track: the track of the person.
    times: the times of all frames of the video, s.
    spec: gives the chunks' length and the windows' scale.
    image_size: width and height, px.
  """
  chunks: list[Chunk] = []
  whole = windows.whole_image(*map(float, image_size))
  window_before = lambda: chunks[-1].box if chunks else whole
  spans = sampling.segments(track.frame_index, times)
  for number, (first, last) in enumerate(spans):
    moments, frames, keypoints = sampling.samples(track, times, first, last)
    starts = np.arange(0, len(frames), spec.window)
    seconds = sampling.flow_seconds(frames, times, starts)
    own = cut(frames, keypoints, spec, window_before, segment=number)
    for start, chunk in zip(starts, own, strict=True):
      span = slice(start, start + len(chunk.frames))
      # Appended before the next one asks for its window.
      chunks.append(chunk._replace(timing=Timing(moments[span], seconds[span])))
  return chunks


def make_batches(
  chunks: Sequence[Chunk],
  video: Iterable[UInt8[np.ndarray, "height width 3"]] | None,
  spec: InputSpec,
  intrinsics: Float[np.ndarray, "*num_frames 3 3"],
) -> Iterator[Batch]:
  """Makes each chunk's network input, padded to the window with `valid` False.

  Args:
    chunks: in order.
    video: RGB frames from the first on; None unless `spec.needs_images`.
    spec: which inputs to make; see `InputSpec.for_video`.
    intrinsics: those of the video, or of each of its frames.

  Raises:
    InputError: the video ends before the last chunk.
  """
  images = _chosen_images(chunks, () if video is None else video, spec.colour)
  for chunk, inputs in zip(
    chunks, make_inputs(chunks, images, spec, intrinsics), strict=True
  ):
    yield as_batch(inputs, chunk, spec)


def as_batch(inputs: HostBatch, chunk: Chunk, spec: InputSpec) -> Batch:
  """A chunk's inputs as the batch that the step takes.

  Args:
    inputs: those of the chunk, as `chunks.InputMaker` makes them.
    chunk: a chunk of a video.
    spec: the spec by which they were made.
  """
  if "flow" in spec.inputs:
    inputs = {**inputs, "flow_seconds": _flow_seconds(chunk, spec.window)}
  return cast(Batch, {key: leaf[None] for key, leaf in inputs.items()})


def _flow_seconds(chunk: Chunk, window: int) -> Float[np.ndarray, "time"]:
  """The chunk's `flow_seconds`, padded to the window."""
  padded = np.full(window, TRAINING_STEP)
  if chunk.timing is not None:
    padded[: len(chunk.frames)] = chunk.timing.flow_seconds
  return padded


def picture(
  image: UInt8[np.ndarray, "height width 3"], colour: bool
) -> UInt8[np.ndarray, "height width *colours"]:
  """Converts a frame to what a network reads: grey, unless it reads colour."""
  return image if colour else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def _chosen_images(
  chunks: Sequence[Chunk], video: Iterable[np.ndarray], colour: bool
) -> Iterator[np.ndarray]:
  """The video's frames that are in chunks; grey where the network reads no colour."""
  wanted = (int(frame) for chunk in chunks for frame in chunk.frames)
  following = next(wanted, None)
  for number, image in enumerate(video):
    if number == following:
      chosen = picture(image, colour)
      while number == following:  # Slow videos repeat some frames.
        yield chosen
        following = next(wanted, None)
      if following is None:
        return
  raise InputError("The video ended early: is it still being written?")


def make_step(
  config: ConfigDict,
  variables: Variables,
  *,
  mirrored: bool = False,
) -> tuple[Step, Carry | None]:
  """The model as a jitted function of a chunk's input and the state before it.

  It is compiled once in a process for all runs of one model.

  Args:
    config: the config of the training run.
    variables: the variables of the model.
    mirrored: also shows the chunk mirrored, and averages the two predictions: errors
      that depend on the side cancel out, for twice the time.

  Returns:
    The function, and the state to begin with.
  """
  model = motion_hmr.from_config(config)
  # The step's results are committed to a device. Its arguments must be so from the
  # first call on: the second call, with the first one's carry, would compile anew.
  # The carry is made by one program: without it, there is one for each array.
  carry = jax.jit(lambda: model.initial_carry(2 if mirrored else 1))()
  variables, carry = jax.device_put((variables, carry), jax.local_devices()[0])
  run_step = run_mirrored if mirrored else run_alone
  with_flow = device_flow.make(config)

  def step(batch: Batch, carry: Carry | None) -> tuple[Prediction, Carry | None]:
    batch = _at_training_rate(with_flow(batch))
    output: tuple[Prediction, Carry | None] = run_step(
      variables, batch, carry, model=model
    )
    return output

  return step, carry


def _at_training_rate(batch: Batch) -> Batch:
  """Scales the flow to the displacement in 1/30 s, as the network was trained.

  A sample that repeats the picture before has the flow of that one.
  """
  if "flow_seconds" not in batch:
    return batch
  rest = {key: leaf for key, leaf in batch.items() if key != "flow_seconds"}
  (seconds,) = np.asarray(batch["flow_seconds"])
  held = np.maximum.accumulate(np.where(seconds > 0, np.arange(len(seconds)), 0))
  scale = (TRAINING_STEP / seconds[held])[:, None, None, None]
  flow = batch["flow"]
  return cast(Batch, {**rest, "flow": flow[:, held] * scale.astype(flow.dtype)})


# Compiled once for all runs of equal models, however many videos there are.
run_alone = jax.jit(eval_step.run_chunk, static_argnames="model")


@functools.partial(jax.jit, static_argnames="model")
def run_mirrored(
  variables: Variables, batch: Batch, carry: Carry | None, *, model: MotionHMR
) -> tuple[Prediction, Carry | None]:
  """`run_chunk` on one clip and its mirror image; their carries stay apart."""
  both = jax.tree.map(
    lambda own, other: jnp.concatenate([own, other]),
    batch,
    transforms.mirror_inputs(batch, model.size),
  )
  predicted, carry = eval_step.run_chunk(variables, both, carry, model=model)
  own = jax.tree.map(lambda leaf: leaf[:1], predicted)
  other = jax.tree.map(lambda leaf: leaf[1:], predicted)
  return mirroring.average(own, mirroring.mirror_prediction(other)), carry


def run(
  chunks: Sequence[Chunk],
  batches: Iterable[Batch],
  step: Step,
  first_carry: Carry | None,
) -> Iterator[CropOutputs]:
  """Yields the outputs for each chunk; the state is carried through a segment.

  Args:
    chunks: in order.
    batches: their inputs.
    step: as `make_step` returns it.
    first_carry: the state at the start of a segment.
  """
  carry = first_carry
  pending = None
  for number, (chunk, batch) in enumerate(zip(chunks, batches, strict=True)):
    if number and chunks[number - 1].segment != chunk.segment:
      carry = first_carry
    prediction, carry = step(batch, carry)
    # The host makes the next chunk's inputs while the device works on this one.
    if pending is not None:
      yield crop_outputs(*pending)
    pending = chunk, prediction
  if pending is not None:
    yield crop_outputs(*pending)


def crop_outputs(chunk: Chunk, prediction: Prediction) -> CropOutputs:
  """Fetches a chunk's prediction from the device, without padded frames.

  If the network predicts no `gravity`, it is the image's down direction; if the network
  predicts no `standing_logits`, no foot stands.
  """
  length = len(chunk.frames)
  timing = cast(Timing, chunk.timing)
  fetched = jax.device_get(prediction)
  gravity, standing = np.tile(_IMAGE_DOWN, (length, 1)), np.zeros((length, 2))
  if "gravity" in fetched:
    gravity = fetched["gravity"][0, :length]
  if "standing_logits" in fetched:
    standing = scipy.special.expit(fetched["standing_logits"][0, :length])
  return CropOutputs(
    times=timing.times,
    segment=np.full(length, chunk.segment),
    rotations=fetched["rotations"][0, :length],
    betas=fetched["betas"][0, :length],
    camera=fetched["camera"][0, :length],
    box=np.broadcast_to(chunk.box, (length, 4)),
    gravity=gravity.astype(np.float32),
    standing=standing.astype(np.float32),
  )


def frame_boxes(
  chunks: Sequence[Chunk],
  spec: InputSpec,
  intrinsics: Float[np.ndarray, "*num_frames 3 3"],
) -> Float[np.ndarray, "frames 4"]:
  """The crop window of every moment, in the image of its own frame.

  A chunk's window is given in its middle frame, to whose intrinsics `chunks.InputMaker`
  converts the keypoints of the other frames.

  Args:
    chunks: in order.
    spec: the spec by which the inputs were made.
    intrinsics: those of the video, or of each of its frames.
  """
  lengths = [len(chunk.frames) for chunk in chunks]
  boxes = np.repeat([chunk.box for chunk in chunks], lengths, axis=0)
  if intrinsics.ndim == 2 or spec.needs_images:
    return boxes
  frames = np.concatenate([chunk.frames for chunk in chunks])
  middle = np.repeat([chunk.middle for chunk in chunks], lengths)
  corners = boxes.reshape(-1, 2, 2)
  moved = pinhole.to_camera(corners, intrinsics[middle], intrinsics[frames])
  return moved.reshape(-1, 4).astype(np.float32)


def join(parts: Iterable[CropOutputs], chunks: Sequence[Chunk]) -> CropOutputs:
  """Puts the chunks' outputs one after the other, as they come.

  To collect them first would take twice the memory.
  """
  count, start = sum(len(chunk.frames) for chunk in chunks), 0
  whole: CropOutputs | None = None
  for part in parts:
    if whole is None:
      whole = CropOutputs(
        *(np.empty((count, *field.shape[1:]), field.dtype) for field in part)
      )
    rows = slice(start, start + len(part.times))
    for field, own in zip(whole, part, strict=True):
      field[rows] = own
    start = rows.stop
  if whole is None or start != count:
    raise ValueError(f"there are outputs for {start} frames of {count}")
  return whole
