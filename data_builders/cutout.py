"""Cuts a person out of a video's frames by one window, and moves labels along.

What is stored of a video is then a fraction of it, and still one camera's image: the
window and its scale are the same for all frames.
"""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from mhmr_jax.geometry import pinhole, windows

# A training window is this much larger than the person's box, with its jitter.
_MARGIN = 1.7
# Frames that one training window may span: the person moves in it.
_RUN = 32
# Of the box sizes: most frames have the person at least as large as asked for.
_SIZE_QUANTILE = 0.25
_JPEG_QUALITY = (cv2.IMWRITE_JPEG_QUALITY, 95)


@dataclasses.dataclass(frozen=True)
class Cutout:
  """A part of the image, each of whose pixels is the mean of a block of the image's.

  Attributes:
    x: of its left border, image pixels.
    y: of its upper border, image pixels.
    width: in pixels of its own.
    height: in pixels of its own.
    block: image pixels along the side of one pixel.
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
    """Large enough for every window that training may ask for of these frames.

    Args:
      boxes: tight boxes in image pixels; zeros where not known.
      image_size: width and height px.
      person: at least so many pixels the person's longer side keeps, where it has
        them in the image.
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
    """This part of a BGR image, as a JPEG image."""
    right, low = self.x + self.width * self.block, self.y + self.height * self.block
    region = image[self.y : low, self.x : right]
    if self.block > 1:
      size = (self.width, self.height)
      region = cv2.resize(region, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", region, _JPEG_QUALITY)[1].tobytes()

  def points(
    self, points: Float[np.ndarray, "*batch 2"]
  ) -> Float[np.ndarray, "*batch 2"]:
    """Image pixels to pixels of this part."""
    return (points - np.array([self.x, self.y])) / self.block

  def keypoints(
    self, keypoints: Float[np.ndarray, "time 17 3"]
  ) -> Float[np.ndarray, "time 17 3"]:
    """As `points`; rows of zeros, which nobody knows, stay."""
    moved = np.append(self.points(keypoints[..., :2]), keypoints[..., 2:], axis=-1)
    return np.where(keypoints.any(-1, keepdims=True), moved, 0).astype(np.float32)

  def boxes(self, boxes: Float[np.ndarray, "time 4"]) -> Float[np.ndarray, "time 4"]:
    """As `points`; zeros stay."""
    moved = self.points(boxes.reshape(-1, 2, 2)).reshape(-1, 4)
    return np.where(boxes.any(-1, keepdims=True), moved, 0).astype(np.float32)

  def intrinsics(self, intrinsics: Float[np.ndarray, "3 3"]) -> np.ndarray:
    """Of the same camera, to pixels of this part."""
    corner = np.array([self.x, self.y])
    return pinhole.crop_intrinsics(intrinsics, corner, 1 / self.block)

  def camera(self, camera: Float[np.ndarray, "time 3"]) -> Float[np.ndarray, "time 3"]:
    """A weak-perspective camera [s, tx, ty] of the image to this part's."""
    scale, t = camera[:, :1], camera[:, 1:]
    seen = scale != 0
    moved = t - np.array([self.x, self.y]) / np.where(seen, scale, 1)
    rows = np.concatenate([scale / self.block, moved], axis=-1)
    return np.where(seen, rows, 0).astype(np.float32)
