"""Puts people and things before a background: frames, masks and exact flow."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from mhmr_jax.synth.backgrounds import Background
from mhmr_jax.synth.planes import Drawn
from mhmr_jax.synth.recording import Recording
from mhmr_jax.synth.sensor import Sensor

# What one person or thing covers, frame by frame; None where it is outside.
DrawnFrames = Sequence[Drawn | None]


class RecordedFrame(NamedTuple):
  """One frame of a clip, as its camera recorded it."""

  image: UInt8[np.ndarray, "size size 3"]
  mask: Bool[np.ndarray, "size size"]  # Pixels whose centre sees the person.
  # From the frame before, on its grid; zero at the first.
  flow: Float[np.ndarray, "size size 2"]
  # Where that is known: not where a background's own video moves.
  flow_valid: Bool[np.ndarray, "size size"]


class Scene(NamedTuple):
  """All that a clip shows, from the farthest to the nearest."""

  background: Background
  behind: Sequence[DrawnFrames]
  person: DrawnFrames
  front: Sequence[DrawnFrames]

  def draw(
    self, time: int
  ) -> tuple[UInt8[np.ndarray, "size size 3"], Bool[np.ndarray, "size size"]]:
    """What the lens sees at that frame, and which pixels see the person."""
    image = self.background.frames[time].astype(np.float32)
    mask = np.zeros(image.shape[:2], bool)
    for track in (*self.behind, self.person, *self.front):
      drawn = track[time]
      if drawn is not None:
        _lay(drawn.rgba, image[drawn.window.slices])
        if track is self.person:
          mask[drawn.window.slices] = drawn.mask
        elif mask.any():
          mask[drawn.window.slices] &= ~drawn.mask
    return cv2.convertScaleAbs(image), mask

  def flow(
    self, time: int
  ) -> tuple[Float[np.ndarray, "size size 2"], Bool[np.ndarray, "size size"]]:
    """From frame time to the next, on the grid of frame time; and where it is known."""
    flow = self.background.flow(time + 1)
    known = np.full(flow.shape[:2], self.background.is_still)
    for track in (*self.behind, self.person, *self.front):
      drawn = track[time]
      if drawn is not None:
        cv2.copyTo(drawn.flow, drawn.mask.view(np.uint8), flow[drawn.window.slices])
        known[drawn.window.slices] |= drawn.mask
    return flow, known


def _lay(
  rgba: Float[np.ndarray, "height width 4"],
  part: Float[np.ndarray, "height width 3"],
) -> None:
  """Lays colours over a part of an image, with OpenCV: three times as fast."""
  keep = cv2.cvtColor(1 - cv2.extractChannel(rgba, 3), cv2.COLOR_GRAY2RGB)
  cv2.add(cv2.multiply(part, keep), cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), part)


def composite(
  scene: Scene, sensor: Sensor, recording: Recording
) -> list[RecordedFrame]:
  """Draws all frames of a scene and records them."""
  frames = len(scene.person)
  shape = scene.background.frames.shape[1:3]
  flow, known = np.zeros((*shape, 2), np.float32), np.ones(shape, bool)
  images, labels = [], []
  for time in range(frames):
    image, mask = scene.draw(time)
    labels.append((mask, flow, known))
    if time + 1 < frames:
      flow, known = scene.flow(time)
    # Nothing comes after the last frame: it moves as the one before.
    images.append(sensor.record(time, recording.blur(image, flow)))
  if recording.codec is not None:
    images = recording.codec.run(images)
  return [
    RecordedFrame(image, *label) for image, label in zip(images, labels, strict=True)
  ]
