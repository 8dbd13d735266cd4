"""The pinhole camera: projection, and what is told from it."""

import numpy as np
from jaxtyping import Float


def centred_intrinsics(
  width: int, height: int, focal: float | None = None
) -> Float[np.ndarray, "3 3"]:
  """Intrinsics with the centre in the middle.

  An unknown focal length is taken to be the image's diagonal, an angle of view of
  53 degrees across it. Depth is proportional to it.
  """
  focal = float(np.hypot(width, height)) if focal is None else focal
  return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


def project(
  points: Float[np.ndarray, "*batch 3"], intrinsics: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "*batch 2"]:
  """Camera-frame points in metres to pixels."""
  focal = intrinsics[[0, 1], [0, 1]]
  return points[..., :2] / points[..., 2:] * focal + intrinsics[:2, 2]


def translation(
  points: Float[np.ndarray, "*batch n 3"],
  points_image: Float[np.ndarray, "*batch n 2"],
  intrinsics: Float[np.ndarray, "3 3"],
) -> Float[np.ndarray, "*batch 3"]:
  """Where points must be moved for their perspective image to be points_image.

  u (z + t_z) = f_x (x + t_x) + c_x (z + t_z), and so for v, is linear in t: two
  equations a point, solved by least squares.

  Args:
    points: metres, axes of the camera frame, any origin.
    points_image: px.
    intrinsics: without skew.
  """
  points = np.asarray(points, np.float64)
  # In units of the focal length, as the ray (a, b, 1): x + t_x = a (z + t_z).
  rays = (points_image - intrinsics[:2, 2]) / intrinsics[[0, 1], [0, 1]]
  matrix = np.zeros((*rays.shape, 3))
  matrix[..., 0, 0] = matrix[..., 1, 1] = 1
  matrix[..., 2] = -rays
  right = rays * points[..., 2:] - points[..., :2]
  flat = matrix.reshape(*matrix.shape[:-3], -1, 3)
  right = right.reshape(*right.shape[:-2], -1, 1)
  transposed = np.swapaxes(flat, -1, -2)
  # The pseudo-inverse: points that all lie on one ray leave the depth open.
  inverse = np.linalg.pinv(transposed @ flat, rcond=1e-10, hermitian=True)
  return (inverse @ transposed @ right)[..., 0]
