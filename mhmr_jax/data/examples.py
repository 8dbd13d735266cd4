"""Turns stored clips into examples: a network's inputs, and the targets with them."""

import functools
from collections.abc import Iterator
from typing import Any, cast

import grain
import numpy as np
from jaxtyping import Bool, Float, Int

from mhmr_jax.data import chunks, transforms
from mhmr_jax.data.chunks import Chunk
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.errors import InputError
from mhmr_jax.files import flow_images, jpeg
from mhmr_jax.geometry import pinhole, windows
from mhmr_jax.keypoints.corruption import corrupt
from mhmr_jax.schema import Clip, HostBatch


def clip_example(
  clip: Clip, chunk: Chunk, spec: InputSpec, *, continues: bool
) -> HostBatch:
  """Inputs and targets of some neighbouring frames of a clip.

  Only these frames are decoded and, where the flow needs it, the frame before them.

  Args:
    clip: as stored.
    chunk: the frames, as indices of the clip.
    spec: which inputs to make.
    continues: whether the first flow comes from the frame before the chunk, if there
      is one; else it is zero, as at the start of a video.
  """
  span = _span(chunk)
  images = list(_images(clip, [chunk], spec))
  previous = None
  if continues and span.start and images and "flow" in spec.inputs:
    previous = jpeg.decode(clip["frames"][span.start - 1], spec.colour)
  inputs = {
    **transforms.model_inputs(
      images, chunk.keypoints, chunk.box, spec, previous, _intrinsics(clip, spec)
    ),
    **_stored_flow(clip, chunk, spec, continues),
  }
  return {
    **_at_training_rate(inputs, clip),
    **transforms.targets(clip, span, chunk.box),
  }


def clip_chunks(
  clip: Clip, spec: InputSpec, rng: np.random.Generator
) -> Iterator[tuple[Chunk, HostBatch]]:
  """Cuts a whole clip into chunks and makes their examples, padded to the window.

  Each is made when it is asked for, so that memory does not grow with the clip.

  Args:
    clip: as stored.
    spec: which inputs to make.
    rng: draws the keypoints' noise.
  """
  keypoints = noisy_keypoints(clip, spec, rng)
  fallback = functools.partial(_whole_image, clip)
  frames = np.arange(len(clip["frames"]))
  cut = list(chunks.cut(frames, keypoints, spec, fallback, boxes=clip.get("box")))
  images = _images(clip, cut, spec)
  made = chunks.make_inputs(cut, images, spec, _intrinsics(clip, spec))
  for chunk, batch in zip(cut, made, strict=True):
    flow = _stored_flow(clip, chunk, spec, continues=True)
    complete = {**batch, **chunks.pad_time(flow, spec.window)}
    targets = transforms.targets(clip, _span(chunk), chunk.box)
    padded = chunks.pad_time(targets, spec.window)
    yield chunk, {**_at_training_rate(complete, clip), **padded}


def _at_training_rate(inputs: HostBatch, clip: Clip) -> HostBatch:
  """Scales flow from a frame of the clip to the displacement in `TRAINING_STEP`.

  Networks take flow of any frame rate in this unit. If the device estimates the flow,
  the batch gets the factor instead.
  """
  scale = clip["fps"] * chunks.TRAINING_STEP
  if "rgb_before" in inputs:
    return {**inputs, "flow_scale": np.array(scale, np.float32)}
  if "flow" not in inputs or scale == 1:
    return inputs
  return {**inputs, "flow": inputs["flow"] * np.float16(scale)}


def noisy_keypoints(
  clip: Clip, spec: InputSpec, rng: np.random.Generator, frame: int = 0
) -> Float[np.ndarray, "time 17 3"]:
  """The clip's keypoints as a detector would report them, image pixels.

  Args:
    clip: as stored.
    spec: gives the noise; keypoints that a detector found get none.
    rng: the clip's own.
    frame: the frame that the size of the images is read from.
  """
  if spec.noise is None or clip.get("keypoints_detected", False):
    return clip["keypoints_image"]
  size = jpeg.size(clip["frames"][frame])
  return corrupt(clip["keypoints_image"], rng, spec.noise, size)


def _whole_image(clip: Clip, frame: int = 0) -> Float[np.ndarray, "4"]:
  """The window around a whole image, for frames in which nobody is found."""
  return windows.whole_image(*map(float, jpeg.size(clip["frames"][frame])))


def _intrinsics(clip: Clip, spec: InputSpec) -> Float[np.ndarray, "3 3"] | None:
  """The clip's intrinsics, or an assumption if unknown; None if they are not needed."""
  if not spec.window_in_camera:
    return None
  if "intrinsics" in clip:
    return clip["intrinsics"]
  return pinhole.centred_intrinsics(*jpeg.size(clip["frames"][0]))


def _images(clip: Clip, cut: list[Chunk], spec: InputSpec) -> Iterator[np.ndarray]:
  """Decodes the frames of the chunks, if the inputs are made of any."""
  if not spec.needs_images:
    return
  for chunk in cut:
    for frame in clip["frames"][_span(chunk)]:
      yield jpeg.decode(frame, spec.colour)


def _span(chunk: Chunk) -> slice:
  """The chunk's frames as a slice: those of a stored clip are neighbours."""
  return slice(int(chunk.frames[0]), int(chunk.frames[-1]) + 1)


def _stored_flow(
  clip: Clip, chunk: Chunk, spec: InputSpec, continues: bool
) -> HostBatch:
  """The flow that is stored with the clip, in crop pixels a frame, if it is an input.

  Raises:
    InputError: the clip stores no flow.
  """
  field = spec.stored_flow
  if field is None or "flow" not in spec.inputs:
    return {}
  if field == "flow" and field not in clip:
    raise InputError("config.flow.source is 'exact', but the clips store no flow.")
  span = _span(chunk)
  skipped = 0 if continues else 1
  stored = clip[field][span.start + skipped : span.stop]
  flow = np.zeros((span.stop - span.start, spec.size, spec.size, 2), np.float16)
  if stored:
    region = flow_images.Region(*windows.reach(chunk.box, spec.size))
    wholes = [flow_images.decode_png(data, region) for data in stored]
    flow[skipped:] = transforms.half_precision(
      windows.crop_images(wholes, chunk.box, spec.size),
      float(windows.crop_scale(chunk.box, spec.size)),
    )
  return {"flow": flow}


class TrainingExample(grain.transforms.RandomMap):
  """Turns a stored clip into one random training example."""

  def __init__(self, spec: InputSpec, scale: float, shift: float):
    """`scale` and `shift` are those of `windows.jitter_window`."""
    self._spec = spec
    self._scale = scale
    self._shift = shift

  def random_map(self, element: Any, rng: np.random.Generator) -> HostBatch:
    """Cuts, distorts, crops and flips a clip.

    Args:
      element: the clip.
      rng: depends on the seed and the position in the stream alone.

    Raises:
      InputError: the clip is shorter than the window.
    """
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
    keypoints = noisy_keypoints(clip, spec, rng, start)
    chunk = self._chunk(clip, keypoints, start, rng)
    example = clip_example(clip, chunk, spec, continues=False)
    if rng.random() < 0.5:
      example = transforms.flip(example, spec.size)
    return {key: np.asarray(value, order="C") for key, value in example.items()}

  def _chunk(
    self,
    clip: Clip,
    keypoints: Float[np.ndarray, "time 17 3"],
    start: int,
    rng: np.random.Generator,
  ) -> Chunk:
    """The window's frames from `start` on, in a jittered crop window."""
    span = slice(start, start + self._spec.window)
    boxes = clip["box"][span] if "box" in clip else None
    fallback = functools.partial(_whole_image, clip, start)
    box = chunks.crop_window(keypoints[span], boxes, self._spec, fallback)
    box = windows.jitter_window(box, rng, self._scale, self._shift)
    return Chunk(np.arange(span.start, span.stop), keypoints[span], box)


def _useful_starts(
  valid: Bool[np.ndarray, "time"], window: int
) -> Int[np.ndarray, "starts"]:
  """Where windows with a valid frame start; everywhere if there is none."""
  valid = np.asarray(valid, bool)
  if valid.all() or not valid.any():
    return np.arange(len(valid) - window + 1)
  views = np.lib.stride_tricks.sliding_window_view(valid, window)
  return np.flatnonzero(np.asarray(views.any(-1)))
