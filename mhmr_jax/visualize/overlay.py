"""Draws meshes and skeletons over frames."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from mhmr_jax.body.joints import COCO_BONES, COCO_KEYPOINTS
from mhmr_jax.files import yuv
from mhmr_jax.files.yuv import Yuv
from mhmr_jax.geometry import pinhole, vectors

Colour = tuple[int, int, int]

_OPACITY = 0.85
# By the share of a pixel and those around it that is covered, of 255: how opaque a
# drawing is there. At a straight edge this gives 1/4 beside it and 3/4 within it, and a
# coarse drawing's edge is as sharp once that is as large as the picture.
_SHARES = np.arange(256) / 255
_SMOOTH = (_OPACITY * np.clip(1.5 * _SHARES - 0.25, 0, 1)).astype(np.float32)
_SHARP = (_OPACITY * np.clip(3 * _SHARES - 1, 0, 1)).astype(np.float32)
# The mean of the sharp one over the four pixels of a coarse one.
_SHARP_MEAN = (_OPACITY * np.clip(2.25 * _SHARES - 0.625, 0, 1)).astype(np.float32)
_AMBIENT = 0.35
_LIGHT = np.array([-0.3, -0.5, -0.8], np.float32)  # Towards the light, camera frame.
_FINE_SIDE = 256
_NEAR = 0.05  # Metres. The rasteriser does not clip: nearer triangles are dropped.
_SIDES = {"left": (255, 150, 50), "right": (60, 160, 255)}
_MIDDLE = (120, 230, 120)


def draw_mesh(
  image: UInt8[np.ndarray, "height width 3"],
  vertices_camera: Float[np.ndarray, "V 3"],
  faces: Int[np.ndarray, "F 3"],
  intrinsics: Float[np.ndarray, "3 3"],
  colour: Colour,
) -> UInt8[np.ndarray, "height width 3"]:
  """`draw_meshes` for one mesh."""
  return draw_meshes(image, vertices_camera[None], faces, intrinsics, [colour])


def draw_meshes(
  image: UInt8[np.ndarray, "height width 3"],
  vertices_camera: Float[np.ndarray, "people V 3"],
  faces: Int[np.ndarray, "F 3"],
  intrinsics: Float[np.ndarray, "3 3"],
  colours: Sequence[Colour],
) -> UInt8[np.ndarray, "height width 3"]:
  """Draws shaded, slightly transparent meshes over a copy of an image.

  Nearer meshes hide those behind them.

  Args:
    image: RGB.
    vertices_camera: the vertices of each mesh, metres; x right, y down, z forward.
    faces: the faces of every mesh; counter-clockwise seen from outside.
    intrinsics: those of the image, in pixels, without skew.
    colours: the RGB of each mesh in full light.
  """
  out = image.copy()
  if not len(vertices_camera):
    return out
  normals = np.stack([_normals(vertices, faces) for vertices in vertices_camera])
  lit = _lit(normals, np.array(colours, float), np.zeros(3))
  layer = _draw(vertices_camera, lit, faces, intrinsics, image.shape[:2])
  if layer is not None:
    _blend([out[layer.rows, layer.columns]], [layer.pixels], layer.share, _SMOOTH)
  return out


def draw_over_stored(
  picture: Yuv,
  vertices_camera: Float[np.ndarray, "people V 3"],
  normals_camera: Float[np.ndarray, "people V 3"],
  faces: Int[np.ndarray, "F 3"],
  intrinsics: Float[np.ndarray, "3 3"],
  colours: Sequence[Colour],
) -> Yuv:
  """Does as `draw_meshes` over a YUV picture, without a conversion to RGB.

  Args:
    picture: the picture to draw over; a copy of it is returned.
    vertices_camera: as in `draw_meshes`.
    normals_camera: the normals of the vertices, of about unit length.
    faces: as in `draw_meshes`.
    intrinsics: those of the picture.
    colours: as in `draw_meshes`.
  """
  out = picture.copy()
  lit = _lit(
    normals_camera, yuv.colour(np.array(colours, float)), yuv.colour(np.zeros(3))
  )
  shape = picture.y.shape
  layer = _draw(vertices_camera, lit, faces, intrinsics, shape, _FINE_SIDE)
  if layer is None:
    return out
  rows, columns = layer.rows, layer.columns
  own = out.y[rows, columns]
  # Four pixels share one stored colour.
  halves = [plane[_half(rows), _half(columns)] for plane in (out.u, out.v)]
  y, *colour = cv2.split(layer.pixels)
  if layer.share.shape == own.shape:
    _blend([own], [y], layer.share, _SMOOTH)
    _blend_means(halves, colour, layer.share)
  else:  # The coarse drawing has the size of the stored colours.
    _blend([own], [_enlarged(y, own)], _enlarged(layer.share, own), _SHARP)
    _blend(halves, colour, layer.share, _SHARP_MEAN)
  return out


class _Layer(NamedTuple):
  """A drawing, to be laid over a part of an image; a coarse one has half of its size.

  `share` says how much of each pixel and of those around it is covered, of 255.
  """

  rows: slice  # Both begin and end at even numbers, or the image ends.
  columns: slice
  pixels: UInt8[np.ndarray, "height width 3"]
  share: UInt8[np.ndarray, "height width"]


def _half(side: slice) -> slice:
  return slice(side.start // 2, side.stop // 2)


def _enlarged(
  pixels: UInt8[np.ndarray, "height width"], like: UInt8[np.ndarray, "rows columns"]
) -> UInt8[np.ndarray, "rows columns"]:
  size = (like.shape[1], like.shape[0])
  return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR))


def _blend(
  patches: Sequence[UInt8[np.ndarray, "height width *channels"]],
  drawn: Sequence[UInt8[np.ndarray, "height width *channels"]],
  share: UInt8[np.ndarray, "height width"],
  opacity: Float[np.ndarray, "256"],
) -> None:
  """Lays planes over those of a part of an image, which change.

  `opacity` is by the share.
  """
  over = cv2.LUT(share, opacity)
  under = 1 - over
  for patch, pixels in zip(patches, drawn, strict=True):
    cv2.blendLinear(pixels, patch, over, under, dst=patch)


def _blend_means(
  patches: Sequence[UInt8[np.ndarray, "half_height half_width"]],
  drawn: Sequence[UInt8[np.ndarray, "height width"]],
  share: UInt8[np.ndarray, "height width"],
) -> None:
  """Lays the means of four pixels each over planes of colours, which change."""
  size = patches[0].shape[::-1]
  mean = lambda values: cv2.resize(values, size, interpolation=cv2.INTER_AREA)
  over = cv2.LUT(share, _SMOOTH)
  under = 1 - mean(over)
  for patch, pixels in zip(patches, drawn, strict=True):
    patch[:] = np.rint(mean(pixels * over) + under * patch)


def _draw(
  vertices_camera: Float[np.ndarray, "people V 3"],
  colours: Float[np.ndarray, "people V 3"],
  faces: Int[np.ndarray, "F 3"],
  intrinsics: Float[np.ndarray, "3 3"],
  shape: tuple[int, int],
  fine_side: int | None = None,
) -> _Layer | None:
  """Draws meshes with a colour at each vertex; None if no pixel shows them.

  What is larger than `fine_side`, px, is rasterised at half of the size, which takes a
  third of the time.

  The outlines are smooth: a pixel's share of the drawing is that of the pixels around
  it which are covered, and one just beside the drawing takes the brightest colour of
  those.
  """
  vertices = vertices_camera.reshape(-1, 3)
  first = np.arange(len(colours))[:, None, None] * vertices_camera.shape[1]
  triangles = (faces + first).reshape(-1, 3)
  in_front = vertices[:, 2] > _NEAR
  if not in_front.all():
    triangles = triangles[in_front[triangles].all(axis=-1)]
  window = _window(vertices[in_front], intrinsics, shape)
  if window is None or not len(triangles):
    return None
  x0, y0, x1, y1 = window
  shifted = np.array(intrinsics, np.float64)
  shifted[:2, 2] -= [x0, y0]
  size = (x1 - x0, y1 - y0)
  if fine_side is not None and max(size) > fine_side:
    shifted[:2] /= 2
    size = (size[0] // 2, size[1] // 2)
  drawn, covered = _render(vertices, triangles, colours.reshape(-1, 3), shifted, size)
  share = cv2.blur(covered, (3, 3), borderType=cv2.BORDER_REPLICATE)
  spread = cv2.dilate(drawn, np.ones((3, 3), np.uint8))
  pixels = cv2.copyTo(drawn, covered, spread)
  return _Layer(slice(y0, y1), slice(x0, x1), pixels, share)


def _window(
  points: Float[np.ndarray, "n 3"],
  intrinsics: Float[np.ndarray, "3 3"],
  shape: tuple[int, int],
) -> tuple[int, int, int, int] | None:
  """The part [x0, y0, x1, y1] of the image around points in space, if any.

  Its sides are even, or those of the image.
  """
  if not len(points):
    return None
  # In NumPy, reductions over a whole array are ten times as fast as those over rows.
  projected = np.ascontiguousarray(pinhole.project(points, intrinsics).T)
  limit = np.array([shape[1], shape[0]])
  # The outlines are a pixel wide, and two where a drawing is coarse.
  low = np.floor([axis.min() for axis in projected]) - 2
  high = np.ceil([axis.max() for axis in projected]) + 2
  low = np.clip(low, 0, limit).astype(int) // 2 * 2
  high = np.clip(high, 0, limit).astype(int)
  high = np.minimum(high + high % 2, limit)
  if np.any(low >= high):
    return None
  return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _normals(
  vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]
) -> Float[np.ndarray, "V 3"]:
  """The unit normal of each vertex."""
  corners = vertices[faces]
  # The length of a normal is twice the triangle's area: larger triangles weigh more.
  normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
  indices = faces.ravel()
  weights = np.repeat(normals, 3, axis=0)
  summed = np.stack(
    [np.bincount(indices, weights[:, axis], len(vertices)) for axis in range(3)], -1
  )
  return vectors.unit(summed).astype(np.float32)


def _lit(
  normals: Float[np.ndarray, "people V 3"],
  full: Float[np.ndarray, "people 3"],
  dark: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "people V 3"]:
  """The colour of each vertex under the light, by Lambert's law.

  Args:
    normals: the normals of the vertices.
    full: the colour of each person in full light, in any space that is linear in RGB.
    dark: black in that space.
  """
  shade = np.maximum(normals @ (_LIGHT / np.linalg.norm(_LIGHT)), 0)
  shade = _AMBIENT + (1 - _AMBIENT) * shade[..., None]
  colours = (full - dark).astype(np.float32)[:, None]
  return shade * colours + dark.astype(np.float32)


def _render(
  vertices: Float[np.ndarray, "V 3"],
  faces: Int[np.ndarray, "F 3"],
  colours: Float[np.ndarray, "V 3"],
  intrinsics: Float[np.ndarray, "3 3"],
  size: tuple[int, int],
) -> tuple[UInt8[np.ndarray, "height width 3"], UInt8[np.ndarray, "height width"]]:
  """The colours (0 outside) and 255 at each pixel whose centre is covered."""
  width, height = size
  focal_x, focal_y = intrinsics[[0, 1], [0, 1]]
  centre = intrinsics[:2, 2]
  # The rasteriser's camera has one focal length and its centre in the middle: a
  # shear along z moves the centre, and keeps straight lines straight.
  x, y, z = vertices.T
  x = (focal_x * x + (centre[0] - width / 2) * z) / focal_y
  y = y + (centre[1] - height / 2) / focal_y * z
  # OpenGL's camera looks along -z, with y up.
  sheared = np.stack([x, -y, -z], axis=-1, dtype=np.float32)
  used = z[faces]
  near, far = 0.9 * float(used.min()), 1.1 * float(used.max())
  image = np.zeros((height, width, 3), np.float32)
  depth = np.full((height, width), far, np.float32)
  settings = cv2.TriangleRasterizeSettings()
  # Bodies are closed: what faces away is hidden, unless the near plane cuts them open.
  cut = bool((z <= _NEAR).any())
  culling = cv2.RASTERIZE_CULLING_NONE if cut else cv2.RASTERIZE_CULLING_CW
  settings = settings.setCullingMode(culling)
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
  covered = np.uint8(255) * (depth < 0.999 * far)
  return cv2.convertScaleAbs(image, alpha=255), covered


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
    names: the names of the points; they begin with left_ or right_ on a side.
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
