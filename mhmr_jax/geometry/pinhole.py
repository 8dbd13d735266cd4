"""The pinhole camera without skew, and the translation that fits an image of points."""

import numpy as np
from jaxtyping import Bool, Float, Real


def centred_intrinsics(
  width: int, height: int, focal: float | None = None
) -> Float[np.ndarray, "3 3"]:
  """Intrinsics whose principal point is the centre of the image.

  An unknown focal length is taken to be the image's diagonal, which is an angle of
  view of 53 degrees across it. Recovered depths are proportional to the focal length.
  """
  focal = float(np.hypot(width, height)) if focal is None else focal
  return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


def project(
  points: Float[np.ndarray, "*#batch 3"], intrinsics: Float[np.ndarray, "*#batch 3 3"]
) -> Float[np.ndarray, "*#batch 2"]:
  """Projects camera-frame points in metres to pixels."""
  focal = intrinsics[..., [0, 1], [0, 1]]
  return points[..., :2] / points[..., 2:] * focal + intrinsics[..., :2, 2]


def project_in_front(
  points: Float[np.ndarray, "*batch 3"],
  intrinsics: Float[np.ndarray, "3 3"],
  min_depth: float,
) -> tuple[Float[np.ndarray, "*batch 2"], Bool[np.ndarray, "*batch"]]:
  """Projects points, and tells which are more than `min_depth` before the camera.

  The other points have no image: they are projected as if they were at that depth, so
  that all pixels are finite.
  """
  depth = points[..., 2:]
  clamped = np.concatenate([points[..., :2], np.maximum(depth, min_depth)], axis=-1)
  return project(clamped, intrinsics), depth[..., 0] > min_depth


def crop_intrinsics(
  intrinsics: Float[np.ndarray, "3 3"], corner: Real[np.ndarray, "2"], scale: float
) -> Float[np.ndarray, "3 3"]:
  """The intrinsics of a part of the camera's image.

  Args:
    intrinsics: those of the whole image.
    corner: x, y of the part's upper left corner, image pixels.
    scale: pixels of the part per image pixel.
  """
  x, y = -corner * scale
  crop_from_image = np.array([[scale, 0, x], [0, scale, y], [0, 0, 1]])
  return (crop_from_image @ intrinsics).astype(np.float32)


def to_camera(
  points: Float[np.ndarray, "*batch n 2"],
  intrinsics: Float[np.ndarray, "*#batch 3 3"],
  other: Float[np.ndarray, "*#batch 3 3"],
) -> Float[np.ndarray, "*batch n 2"]:
  """Converts pixels to those of another camera at the same place.

  Args:
    points: pixels of the first camera's image.
    intrinsics: those of the first camera.
    other: those of the other camera.
  """
  scale = other[..., [0, 1], [0, 1]] / intrinsics[..., [0, 1], [0, 1]]
  shift = other[..., :2, 2] - scale * intrinsics[..., :2, 2]
  return scale[..., None, :] * points + shift[..., None, :]


def window_in_camera(
  box: Float[np.ndarray, "4"], intrinsics: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "3"]:
  """A square window's centre off the principal point and half its side.

  All are in units of the focal length. They tell the network where in the camera's view
  the window lies, on which the perspective of a person in it depends.
  """
  focal = intrinsics[[0, 1], [0, 1]]
  centre = ((box[:2] + box[2:]) / 2 - intrinsics[:2, 2]) / focal
  half = (box[2] - box[0]) / 2 / focal.mean()
  return np.append(centre, half).astype(np.float32)


def translation(
  points: Float[np.ndarray, "*batch n 3"],
  points_image: Float[np.ndarray, "*batch n 2"],
  intrinsics: Float[np.ndarray, "*#batch 3 3"],
) -> Float[np.ndarray, "*batch 3"]:
  """The translation by which the points' image becomes `points_image`.

  u (z + t_z) = f_x (x + t_x) + c_x (z + t_z), and the same for v, is linear in t: two
  equations for each point, solved by least squares.

  Args:
    points: metres, axes of the camera frame, any origin.
    points_image: pixels.
    intrinsics: without skew; one for all, or one for each image.

  Returns:
    The translation in metres.
  """
  points = np.asarray(points, np.float64)
  # In units of the focal length, as the ray (a, b, 1): x + t_x = a (z + t_z).
  principal, focal = intrinsics[..., None, :2, 2], intrinsics[..., None, [0, 1], [0, 1]]
  rays = (points_image - principal) / focal
  matrix = np.zeros((*rays.shape, 3))
  matrix[..., 0, 0] = matrix[..., 1, 1] = 1
  matrix[..., 2] = -rays
  right = rays * points[..., 2:] - points[..., :2]
  flat = matrix.reshape(*matrix.shape[:-3], -1, 3)
  right = right.reshape(*right.shape[:-2], -1, 1)
  transposed = np.swapaxes(flat, -1, -2)
  # A pseudo-inverse, because points that all lie on one ray leave the depth open.
  inverse = np.linalg.pinv(transposed @ flat, rcond=1e-10, hermitian=True)
  return (inverse @ transposed @ right)[..., 0]
