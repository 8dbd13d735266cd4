"""Cuts a person out of a video's frames, and converts the labels to the cut-out.

Window and scale are the same for all frames, so that the cut-outs are the images of one
camera. They take a fraction of the video's storage.
"""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from mhmr_jax.geometry import pinhole, windows

# Side of the largest training window, with its jitter, over that of the person's box.
_MARGIN = 1.7
# The most frames that one training window spans, in which the person moves.
_RUN = 32
# Quantile of the boxes' sizes that keeps the size asked for: in most frames the person
# is at least that large.
_SIZE_QUANTILE = 0.25
_JPEG_QUALITY = (cv2.IMWRITE_JPEG_QUALITY, 95)


@dataclasses.dataclass(frozen=True)
class Cutout:
  """A part of an image, whose pixels are means of blocks of the image's pixels.

  Attributes:
    x: its left border in image pixels.
    y: its upper border in image pixels.
    width: its width in its own pixels.
    height: its height in its own pixels.
    block: image pixels along the side of one of its pixels.
  """

  x: int
  y: int
  width: int
  height: int
  block: int

  @classmethod
  def around(
    cls,
    boxes: Float[np.ndarray, "time 4"],
    image_size: tuple[int, int],
    person: int,
  ) -> "Cutout":
    """Returns a cut-out that holds every window that training may ask for.

    Args:
      boxes: tight boxes in image pixels; zeros where they are not known.
      image_size: width and height in pixels.
      person: at least so many pixels of the person's longer side are kept, where the
        image has them.
    """
    width, height = image_size
    known = boxes[(boxes != 0).any(-1)]
    if not len(known):
      return cls(0, 0, width, height, 1)
    sizes = (known[:, 2:] - known[:, :2]).max(-1)
    block = max(1, int(np.quantile(sizes, _SIZE_QUANTILE) / person))
    squares = np.array(
      [
        windows.square_around(known[start : start + _RUN].reshape(-1, 2), _MARGIN)
        for start in range(0, len(known), _RUN // 2)
      ]
    )
    low = np.clip(np.floor(squares[:, :2].min(0)), 0, [width - 1, height - 1])
    high = np.clip(np.ceil(squares[:, 2:].max(0)), low + 1, [width, height])
    x, y = low.astype(int)
    columns, rows = np.maximum((high - low).astype(int) // block, 1)
    return cls(int(x), int(y), int(columns), int(rows), block)

  def jpeg(self, image: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """Cuts this part out of a BGR image; returns a JPEG file."""
    right, low = self.x + self.width * self.block, self.y + self.height * self.block
    region = image[self.y : low, self.x : right]
    if self.block > 1:
      size = (self.width, self.height)
      region = cv2.resize(region, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", region, _JPEG_QUALITY)[1].tobytes()

  def points(
    self, points: Float[np.ndarray, "*batch 2"]
  ) -> Float[np.ndarray, "*batch 2"]:
    """Converts image pixels to pixels of this part."""
    return (points - np.array([self.x, self.y])) / self.block

  def keypoints(
    self, keypoints: Float[np.ndarray, "time 17 3"]
  ) -> Float[np.ndarray, "time 17 3"]:
    """Converts keypoints; rows of zeros, which are not known, stay."""
    moved = np.append(self.points(keypoints[..., :2]), keypoints[..., 2:], axis=-1)
    return np.where(keypoints.any(-1, keepdims=True), moved, 0).astype(np.float32)

  def boxes(self, boxes: Float[np.ndarray, "time 4"]) -> Float[np.ndarray, "time 4"]:
    """Converts boxes; zeros, which are not known, stay."""
    moved = self.points(boxes.reshape(-1, 2, 2)).reshape(-1, 4)
    return np.where(boxes.any(-1, keepdims=True), moved, 0).astype(np.float32)

  def intrinsics(self, intrinsics: Float[np.ndarray, "3 3"]) -> np.ndarray:
    """Converts a camera's intrinsics to pixels of this part."""
    corner = np.array([self.x, self.y])
    return pinhole.crop_intrinsics(intrinsics, corner, 1 / self.block)

  def camera(self, camera: Float[np.ndarray, "time 3"]) -> Float[np.ndarray, "time 3"]:
    """Converts weak-perspective cameras [s, tx, ty]; zeros, not known, stay."""
    scale, t = camera[:, :1], camera[:, 1:]
    known = scale != 0
    moved = t - np.array([self.x, self.y]) / np.where(known, scale, 1)
    rows = np.concatenate([scale / self.block, moved], axis=-1)
    return np.where(known, rows, 0).astype(np.float32)
