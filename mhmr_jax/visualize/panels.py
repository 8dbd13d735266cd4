"""Parts of pictures: views of a mesh in a crop, heatmaps, grids and text."""

from collections.abc import Sequence

import cv2
import jax
import numpy as np
from jaxtyping import Float, UInt8

from mhmr_jax.keypoints import heatmaps

Image = UInt8[np.ndarray, "_ _ 3"]  # RGB.
# Camera-frame points, and the intrinsics that they are drawn by.
View = tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "3 3"]]

# The focal length in crop widths: a metre of depth changes the size by about 1%.
_LONG_FOCAL = 100.0
_HUES = cv2.cvtColor(
  np.stack([np.arange(17) * 180 // 17, np.full(17, 200), np.full(17, 255)], -1)[
    None
  ].astype(np.uint8),
  cv2.COLOR_HSV2RGB,
)[0]


def weak_perspective_view(
  points: Float[np.ndarray, "n 3"], camera: Float[np.ndarray, "3"], size: int
) -> View:
  """A pinhole camera so far away that it draws like a weak-perspective one.

  Args:
    points: relative to the pelvis, axes of the camera frame, metres.
    camera: [s, tx, ty] of the crop.
    size: the crop's side in pixels.

  Returns:
    The points, moved far in front of a camera with a long focal length, and its
    intrinsics: u = (s * (x + tx) + 1) * size / 2.
  """
  # A predicted scale may be zero or negative, which must not stop the drawing.
  scale = max(float(camera[0]), 1e-3)
  focal = _LONG_FOCAL * size
  depth = 2 * focal / (scale * size)
  placed = points + np.array([camera[1], camera[2], depth], np.float32)
  return placed.astype(np.float32), _intrinsics(focal, size / 2, size / 2)


def crop_camera(
  camera: Float[np.ndarray, "3"], box: Float[np.ndarray, "4"]
) -> Float[np.ndarray, "3"]:
  """Converts a weak-perspective camera [s, tx, ty] of the image to that of a crop."""
  scale = max(float(camera[0]), 1e-3)  # Zero where a frame has no label.
  centre = (box[:2] + box[2:]) / 2
  t = camera[1:] - centre / scale
  return np.array([2 * scale / (box[2] - box[0]), *t], np.float32)


def from_the_side(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
  """Turns the axes to a view from the right: the camera's side comes to the left.

  x' = z, y' = y, z' = -x.
  """
  return np.stack([points[:, 2], points[:, 1], -points[:, 0]], axis=-1)


_draw = jax.jit(heatmaps.draw, static_argnums=(1, 2))


def draw_heatmaps(
  keypoints: Float[np.ndarray, "*batch 17 3"], size: int, sigma: float
) -> UInt8[np.ndarray, "*batch {size} {size} 3"]:
  """Draws heatmaps on black, a hue for each point; a pixel shows the strongest point.

  Args:
    keypoints: x, y in pixels of the square picture, and score.
    size: the picture's side in pixels.
    sigma: the standard deviation of a point's Gaussian, in pixels.
  """
  heat = np.asarray(_draw(keypoints, size, sigma))
  coloured = heat[..., None] * _HUES.astype(np.float32)
  return np.clip(coloured.max(-2), 0, 255).astype(np.uint8)


def enlarge(image: Image, size: int) -> Image:
  """Scales to size x size by repeating pixels, which stay visible."""
  return cv2.resize(image, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)


def grid(rows: Sequence[Sequence[Image]], gap: int = 4) -> Image:
  """Puts rows of images of one size under each other, with white gaps."""

  def joined(images: Sequence[Image], axis: int) -> Image:
    shape = list(images[0].shape)
    shape[axis] = gap
    spaced = [
      part for image in images for part in (np.full(shape, 255, np.uint8), image)
    ]
    return np.concatenate(spaced[1:], axis=axis)

  return joined([joined(row, 1) for row in rows], 0)


def encode_jpeg(image: Image, quality: int) -> bytes:
  """The picture as a JPEG file."""
  options = [cv2.IMWRITE_JPEG_QUALITY, quality]
  _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
  return data.tobytes()


def text_bar(text: str, width: int, height: int = 28) -> Image:
  """A white bar with a line of dark text."""
  bar = np.full((height, width, 3), 255, np.uint8)
  # OpenCV's fonts have ASCII characters only.
  plain = text.encode("ascii", "replace").decode()
  font = cv2.FONT_HERSHEY_SIMPLEX
  cv2.putText(bar, plain, (8, height - 9), font, 0.5, (40, 40, 40), 1, cv2.LINE_AA)
  return bar


def _intrinsics(focal: float, cx: float, cy: float) -> Float[np.ndarray, "3 3"]:
  return np.array([[focal, 0, cx], [0, focal, cy], [0, 0, 1]], np.float32)
