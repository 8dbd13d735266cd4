"""Draws meshes and skeletons over frames."""

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from mhmr_jax.body.joints import COCO_BONES, COCO_KEYPOINTS
from mhmr_jax.geometry import pinhole

Colour = tuple[int, int, int]

_OPACITY = 0.85
_AMBIENT = 0.35
_LIGHT = np.array([-0.3, -0.5, -0.8], np.float32)  # Towards the light, camera frame.
_NEAR = 0.05  # Metres. The rasteriser does not clip: nearer triangles are dropped.
_SUPERSAMPLING = 2  # Rendered pixels per pixel, each way: smooth outlines.
_SIDES = {"left": (255, 150, 50), "right": (60, 160, 255)}
_MIDDLE = (120, 230, 120)


def draw_mesh(
  image: UInt8[np.ndarray, "height width 3"],
  vertices_camera: Float[np.ndarray, "V 3"],
  faces: Int[np.ndarray, "F 3"],
  intrinsics: Float[np.ndarray, "3 3"],
  colour: Colour,
) -> UInt8[np.ndarray, "height width 3"]:
  """Draws a shaded, slightly transparent mesh over a copy of an image.

  Args:
    image: RGB.
    vertices_camera: metres; x right, y down, z forward.
    faces: counter-clockwise seen from outside.
    intrinsics: of the image, in pixels, without skew.
    colour: the RGB of the mesh in full light.
  """
  faces = faces[(vertices_camera[faces][..., 2] > _NEAR).all(axis=-1)]
  window = _window(vertices_camera[faces], intrinsics, image.shape)
  if window is None:
    return image.copy()
  x0, y0, x1, y1 = window
  shade = _shading(vertices_camera, faces)[:, None] * np.array(colour, np.float32)
  shifted = np.array(intrinsics, np.float64)
  shifted[:2, 2] -= [x0, y0]
  size = (x1 - x0, y1 - y0)
  drawn, coverage = _render(vertices_camera, faces, shade, shifted, size)
  out = image.copy()
  patch = out[y0:y1, x0:x1]
  # `drawn` is already weighted by coverage: black where there is no mesh.
  patch[:] = np.rint(patch * (1 - _OPACITY * coverage) + _OPACITY * drawn)
  return out


def _window(
  corners: Float[np.ndarray, "F 3 3"],
  intrinsics: Float[np.ndarray, "3 3"],
  shape: tuple[int, ...],
) -> tuple[int, int, int, int] | None:
  """The part [x0, y0, x1, y1] of the image that the triangles can touch, if any."""
  if not len(corners):
    return None
  points = corners.reshape(-1, 3)
  projected = pinhole.project(points, intrinsics)
  limit = np.array([shape[1], shape[0]])
  low = np.clip(np.floor(projected.min(axis=0)), 0, limit).astype(int)
  high = np.clip(np.ceil(projected.max(axis=0)), 0, limit).astype(int)
  if np.any(low >= high):
    return None
  return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _shading(
  vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]
) -> Float[np.ndarray, "V"]:
  """The light at each vertex in [0, 1], by Lambert's law on smooth normals."""
  corners = vertices[faces]
  # The length of a normal is twice the triangle's area: larger triangles weigh more.
  normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
  indices = faces.ravel()
  weights = np.repeat(normals, 3, axis=0)
  summed = np.stack(
    [np.bincount(indices, weights[:, axis], len(vertices)) for axis in range(3)], -1
  )
  length = np.linalg.norm(summed, axis=-1, keepdims=True)
  normals = (summed / np.maximum(length, 1e-12)).astype(np.float32)
  lit = np.maximum(normals @ (_LIGHT / np.linalg.norm(_LIGHT)), 0)
  return _AMBIENT + (1 - _AMBIENT) * lit


def _render(
  vertices: Float[np.ndarray, "V 3"],
  faces: Int[np.ndarray, "F 3"],
  colours: Float[np.ndarray, "V 3"],
  intrinsics: Float[np.ndarray, "3 3"],
  size: tuple[int, int],
) -> tuple[Float[np.ndarray, "height width 3"], Float[np.ndarray, "height width 1"]]:
  """The colours (0 to 255, black outside) and the covered share of each pixel."""
  width, height = size[0] * _SUPERSAMPLING, size[1] * _SUPERSAMPLING
  focal_x, focal_y = intrinsics[[0, 1], [0, 1]] * _SUPERSAMPLING
  centre = intrinsics[:2, 2] * _SUPERSAMPLING
  # The rasteriser's camera has one focal length and its centre in the middle: a
  # shear along z moves the centre, and keeps straight lines straight.
  x, y, z = vertices.T.astype(np.float64)
  x = (focal_x * x + (centre[0] - width / 2) * z) / focal_y
  y = y + (centre[1] - height / 2) / focal_y * z
  # OpenGL's camera looks along -z, with y up.
  sheared = np.stack([x, -y, -z], axis=-1).astype(np.float32)
  used = z[faces]
  near, far = 0.9 * float(used.min()), 1.1 * float(used.max())
  image = np.zeros((height, width, 3), np.float32)
  depth = np.full((height, width), far, np.float32)
  settings = cv2.TriangleRasterizeSettings()
  settings = settings.setCullingMode(cv2.RASTERIZE_CULLING_NONE)
  settings = settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
  cv2.triangleRasterize(
    sheared,
    np.ascontiguousarray(faces, np.int32),
    np.ascontiguousarray(colours / 255, np.float32),
    image,
    depth,
    np.eye(4, dtype=np.float32),
    2 * float(np.arctan(height / 2 / focal_y)),
    near,
    far,
    settings,
  )
  covered = (depth < 0.999 * far).astype(np.float32)
  image *= covered[..., None] * 255
  drawn = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
  coverage = cv2.resize(covered, size, interpolation=cv2.INTER_AREA)
  return np.asarray(drawn), np.asarray(coverage)[..., None]


def draw_skeleton(
  image: UInt8[np.ndarray, "height width 3"],
  keypoints: Float[np.ndarray, "K 3"],
  bones: tuple[tuple[int, int], ...] = COCO_BONES,
  names: tuple[str, ...] = COCO_KEYPOINTS,
) -> UInt8[np.ndarray, "height width 3"]:
  """Draws points and bones over a copy of an image: left orange, right blue.

  Args:
    image: RGB.
    keypoints: x, y in pixels and score; points of score 0 and their bones are not
      drawn.
    bones: pairs of points.
    names: of the points; they begin with left_ or right_ on a side.
  """
  out = image.copy()
  thickness = max(1, round(max(image.shape[:2]) / 300))
  shift = 4
  # OpenCV's pixel centres lie at whole numbers, ours half a pixel further.
  fixed = np.rint((np.nan_to_num(keypoints[:, :2]) - 0.5) * 2**shift)
  fixed = np.clip(fixed, -(2**20), 2**20).astype(int)
  visible = keypoints[:, 2] > 0

  def colour(*points: int) -> Colour:
    sides = {names[point].split("_")[0] for point in points}
    return _SIDES.get(sides.pop(), _MIDDLE) if len(sides) == 1 else _MIDDLE

  for start, end in bones:
    if visible[start] and visible[end]:
      ends = (tuple(fixed[start]), tuple(fixed[end]))
      cv2.line(out, *ends, colour(start, end), thickness, cv2.LINE_AA, shift)
  for point in np.flatnonzero(visible).tolist():
    radius = round(1.5 * thickness * 2**shift)
    centre = tuple(fixed[point])
    cv2.circle(out, centre, radius, colour(point), cv2.FILLED, cv2.LINE_AA, shift)
  return out
