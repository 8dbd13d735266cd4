"""Boxes around people, and the square windows by which frames are cropped."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float

# Detectors report guesses far off the body with scores below this.
MIN_SCORE = 0.1
_MIN_POINTS = 5  # Of fewer points, none can be told to be wrong.


def clip_window(
  keypoints: Float[np.ndarray, "time 17 3"],
  scale: float,
  boxes: Float[np.ndarray, "time 4"] | None = None,
) -> Float[np.ndarray, "4"] | None:
  """The square window around a clip's person, one for all its frames.

  No single point more than doubles it: one that would is left out.

  Args:
    keypoints: x, y in image pixels, score.
    scale: the window's side divided by the longer side of the points' box.
    boxes: the person's boxes, used in frames without any keypoint; a box of zeros is
      not known.

  Returns:
    The window [x0, y0, x1, y1] in image pixels, or None where no point was found.
  """
  found = keypoints[..., 2] > MIN_SCORE
  points = _without_lone(keypoints[found][:, :2])
  if boxes is not None:
    used = ~found.any(-1) & boxes.any(-1)
    points = np.concatenate([points, boxes[used].reshape(-1, 2)])
  return square_around(points, scale) if len(points) else None


def _without_lone(points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "_ 2"]:
  """The points without one that alone makes their box more than twice as large."""
  if len(points) <= _MIN_POINTS:
    return points
  ordered = np.sort(points, axis=0)
  lowest, low, high, highest = ordered[[0, 1, -2, -1]]
  side = (highest - lowest).max()
  for index in {*points.argmin(axis=0), *points.argmax(axis=0)}:
    point = points[index]
    first = np.where(point == lowest, low, lowest)
    last = np.where(point == highest, high, highest)
    if side > 2 * max((last - first).max(), 1.0):
      return np.delete(points, index, axis=0)
  return points


def tight_boxes(
  keypoints: Float[np.ndarray, "time n 3"],
) -> Float[np.ndarray, "time 4"]:
  """The tight box [x0, y0, x1, y1] of each frame's points; zeros if it has none."""
  found = keypoints[..., 2:] > MIN_SCORE
  low = keypoints[..., :2].min(1, where=found, initial=np.inf)
  high = keypoints[..., :2].max(1, where=found, initial=-np.inf)
  return np.where(found.any(1), np.concatenate([low, high], -1), 0)


def square_around(
  points: Float[np.ndarray, "n 2"], scale: float
) -> Float[np.ndarray, "4"]:
  """The square around the points' box, of `scale` times the box's longer side."""
  low, high = points.min(0), points.max(0)
  side = max(float((high - low).max()), 2.0) * scale
  centre = (low + high) / 2
  return np.concatenate([centre - side / 2, centre + side / 2]).astype(np.float32)


def jitter_window(
  box: Float[np.ndarray, "4"], rng: np.random.Generator, scale: float, shift: float
) -> Float[np.ndarray, "4"]:
  """Scales a window by up to 1 +- `scale` and moves it by up to `shift` sides."""
  side = box[2] - box[0]
  centre = (box[:2] + box[2:]) / 2 + side * rng.uniform(-shift, shift, 2)
  half = side / 2 * rng.uniform(1 - scale, 1 + scale)
  return np.concatenate([centre - half, centre + half]).astype(np.float32)


def whole_image(width: float, height: float) -> np.ndarray:
  """The square window around a whole image, for clips without any keypoint."""
  side = max(width, height)
  centre = np.array([width, height]) / 2
  return np.concatenate([centre - side / 2, centre + side / 2]).astype(np.float32)


def crop_image(image: np.ndarray, box: Float[np.ndarray, "4"], size: int) -> np.ndarray:
  """Resamples a square window to size x size pixels; zero outside the image.

  A large window is first reduced by averaging whole blocks of pixels: plain bilinear
  sampling would alias, which an optical flow takes for motion. A window in which the
  whole image would be less than a pixel shows nothing.
  """
  return crop_images([image], box, size)[0]


def crop_images(
  images: Sequence[np.ndarray], box: Float[np.ndarray, "4"], size: int
) -> np.ndarray:
  """Resamples one window of several images of one type; see `crop_image`."""
  first = images[0]
  crops = np.zeros((len(images), size, size, *first.shape[2:]), first.dtype)
  side = float(box[2] - box[0])
  shown = [
    (image, crop)
    for image, crop in zip(images, crops, strict=True)
    if side < size * max(image.shape[:2])
  ]
  if not shown:
    return crops
  origin = np.asarray(box[:2], np.float64)
  block = int(side / size)
  if block >= 2:
    low = np.floor(origin).astype(int)
    count = int(np.ceil(side / block)) + 2
    shown = [(_blocks(image, low, count, block), crop) for image, crop in shown]
    origin = (origin - low) / block
    side /= block
  step = side / size
  # In cv2's coordinates pixel i is centred at i, in ours at i + 0.5.
  offset = origin + step / 2 - 0.5
  matrix = np.array([[step, 0, offset[0]], [0, step, offset[1]]])
  flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
  for image, crop in shown:
    cv2.warpAffine(image, matrix, (size, size), crop, flags)
  return crops


def _blocks(image: np.ndarray, low: np.ndarray, count: int, block: int) -> np.ndarray:
  """Means of count x count blocks of pixels from `low` on; zero outside the image."""
  blocks = np.zeros((count, count, *image.shape[2:]), image.dtype)
  # The blocks that the image reaches into; the others would take memory.
  ends = np.array(image.shape[1::-1])
  first = np.clip(-low // block, 0, count)
  last = np.clip(-((low - ends) // block), first, count)
  if np.any(first == last):
    return blocks
  low, high = low + first * block, low + last * block
  x0, y0 = np.clip(low, 0, ends)
  x1, y1 = np.clip(high, 0, ends)
  padding = (y0 - low[1], high[1] - y1, x0 - low[0], high[0] - x1)
  region = cv2.copyMakeBorder(image[y0:y1, x0:x1], *padding, cv2.BORDER_CONSTANT)
  columns, rows = (last - first).tolist()
  means = cv2.resize(region, (columns, rows), interpolation=cv2.INTER_AREA)
  inside = np.s_[first[1] : last[1], first[0] : last[0]]
  blocks[inside] = means.reshape(blocks[inside].shape)
  return blocks


def crop_scale(box: Float[np.ndarray, "4"], size: int) -> np.float32:
  """Pixels of a crop per image pixel."""
  return np.float32(size / (box[2] - box[0]))


def to_crop_pixels(
  points: Float[np.ndarray, "*batch 2"], box: Float[np.ndarray, "4"], size: int
) -> Float[np.ndarray, "*batch 2"]:
  """Converts image pixels to pixels of a crop."""
  return (points - box[:2]) * crop_scale(box, size)


def crop_keypoints(
  keypoints: Float[np.ndarray, "time 17 3"], box: Float[np.ndarray, "4"], size: int
) -> Float[np.ndarray, "time 17 3"]:
  """Converts keypoints in image pixels to crop pixels; missing points stay zero."""
  points = to_crop_pixels(keypoints[..., :2], box, size)
  score = keypoints[..., 2:]
  return np.concatenate([points * (score > 0), score], -1).astype(np.float32)


def crop_flow(
  flow: Float[np.ndarray, "height width 2"], box: Float[np.ndarray, "4"], size: int
) -> Float[np.ndarray, "size size 2"]:
  """Converts the flow of a whole frame to that of a crop, in crop pixels."""
  return crop_image(flow, box, size) * crop_scale(box, size)
