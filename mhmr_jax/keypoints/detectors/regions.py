"""Square regions of an image, turned upright, in which BlazePose looks at one person.

A region is [x, y, side, angle]: its centre and side in image pixels, and the angle in
radians by which the person in it is turned clockwise from upright.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

_MARGIN = 1.25
_OBLONG = 1.25  # Sides of an image that is cut into parts.
_SHARES = (0.0, 1.0, 0.5)  # Places of the squares, from one end to the other.


def around(
  centre: Float[np.ndarray, "2"], top: Float[np.ndarray, "2"]
) -> Float[np.ndarray, "4"]:
  """The region around the circle about a person's hips that just encloses them.

  Args:
    centre: the middle of the hips in the image, px.
    top: the point of the circle that lies above the person's head, px.
  """
  x, y = top - centre
  side = 2 * _MARGIN * np.hypot(x, y)
  return np.array([*centre, side, np.arctan2(x, -y)])


def whole_image(shape: tuple[int, ...]) -> Float[np.ndarray, "4"]:
  """The upright region around an image of a shape [height, width, ...]."""
  height, width = shape[:2]
  return np.array([width / 2, height / 2, max(height, width), 0.0])


def parts(shape: tuple[int, ...]) -> list[Float[np.ndarray, "4"]]:
  """The squares at both ends and in the middle of an oblong image; none of a square.

  Args:
    shape: the shape of the image, [height, width, ...].
  """
  height, width = shape[:2]
  side = min(height, width)
  if max(height, width) < _OBLONG * side:
    return []
  shifts = [
    (0.5 - share) * np.array([width - side, height - side]) for share in _SHARES
  ]
  centre = np.array([width / 2, height / 2])
  return [np.array([*(centre - shift), side, 0.0]) for shift in shifts]


def to_image(
  points: Float[np.ndarray, "*batch 2"], region: Float[np.ndarray, "4"]
) -> Float[np.ndarray, "*batch 2"]:
  """Maps points from a region, whose corners are at 0 and 1, to image pixels."""
  return (points - 0.5) * region[2] @ rotation(region).T + region[:2]


def rotation(region: Float[np.ndarray, "4"]) -> Float[np.ndarray, "2 2"]:
  """The matrix that turns an upright person's directions to those in the image."""
  cos, sin = np.cos(region[3]), np.sin(region[3])
  return np.array([[cos, -sin], [sin, cos]])


def crop(
  image: UInt8[np.ndarray, "height width 3"],
  region: Float[np.ndarray, "4"],
  size: int,
  border: int,
) -> UInt8[np.ndarray, "size size 3"]:
  """Resamples a region to size x size pixels, turned upright.

  Pixels of the image and of the crop have their centres at one half. MediaPipe itself
  takes the corners of pixels for their centres, which moves the points that it finds
  to the right and down by half a pixel of the crop.

  Args:
    image: RGB.
    region: the region to take out.
    size: the crop's side, px.
    border: OpenCV's way to fill what is outside the image.
  """
  matrix = np.empty((2, 3))
  matrix[:, :2] = rotation(region) * (region[2] / size)
  # In cv2's coordinates pixel i is centred at i, in ours at i + 0.5.
  first = np.array([0.5, 0.5]) / size
  matrix[:, 2] = to_image(first, region) - 0.5
  flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
  return cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=border)
