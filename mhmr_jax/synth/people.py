"""A rendered person: layers to composite, and the labels that go with them."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from mhmr_jax.geometry import pinhole
from mhmr_jax.motion.pose_sequence import PoseSequence
from mhmr_jax.synth import (
  appearance,
  camera,
  domains,
  planes,
  regions,
  render,
  skinning,
  visibility,
)

Rng = np.random.Generator

# Enough points of the surface to frame a person by.
_FRAMING_POINTS = 150


class Layer(NamedTuple):
  """What is drawn over a background in one frame, within a window of it."""

  window: render.Window
  rgba: Float[np.ndarray, "height width 4"]  # RGB 0..255 times alpha, and alpha.
  buffer: visibility.DepthBuffer
  # To the next frame; read where the mask is true.
  flow: Float[np.ndarray, "height width 2"]

  @property
  def mask(self) -> Bool[np.ndarray, "height width"]:
    """Pixels whose centre sees the person."""
    return np.isfinite(self.buffer.depth)


@dataclasses.dataclass(frozen=True)
class Person:
  """A person over time, before a camera; a layer is None where out of the frame."""

  layers: list[Layer | None]
  camera: camera.CameraPath
  distance: float  # Metres to the camera, at the middle frame.
  pose: Float[np.ndarray, "time 24 3"]
  betas: Float[np.ndarray, "10"]
  transl: Float[np.ndarray, "time 3"]
  joints_camera: Float[np.ndarray, "time 24 3"]
  keypoints_image: Float[np.ndarray, "time 17 3"]  # The score is the visibility.
  visibility: Float[np.ndarray, "time 24"]
  light: appearance.Light | None = None  # That falls on all around; None: not known.

  @property
  def joints_image(self) -> Float[np.ndarray, "time 24 2"]:
    """The joints in pixels."""
    return pinhole.project(self.joints_camera, self.camera.intrinsics)

  def behind(self, tracks: Sequence[Sequence[planes.Drawn | None]]) -> "Person":
    """The same person, without the visibility of what things in front cover."""
    visibility, keypoints = self.visibility.copy(), self.keypoints_image.copy()
    joints = self.joints_image
    for t in range(len(self.layers)):
      for drawn in (track[t] for track in tracks):
        if drawn is not None:
          visibility[t, _covered(joints[t], drawn)] = 0
          keypoints[t, _covered(keypoints[t, :, :2], drawn), 2] = 0
    return dataclasses.replace(self, visibility=visibility, keypoints_image=keypoints)


def _covered(
  pixels: Float[np.ndarray, "n 2"], drawn: planes.Drawn
) -> Bool[np.ndarray, "n"]:
  x0, y0, x1, y1 = drawn.window
  inside = np.all((pixels >= [x0, y0]) & (pixels < [x1, y1]), axis=-1)
  column, row = np.where(inside[:, None], pixels - [x0, y0], 0).astype(int).T
  return inside & drawn.mask[row, column]


class Actor:
  """A body that can be filmed: what depends on the body alone is prepared once.

  Args:
    body: the body.
    domain: what shapes, and what cameras.
  """

  def __init__(self, body: skinning.Body, domain: domains.Domain = domains.USUAL):
    self._body = body
    self._domain = domain
    self._mesh = render.Mesh(body.faces)
    self._part = body.part.astype(np.uint8)
    self._map = regions.map_body(body)
    self._joints = visibility.of_joints(body)
    self._keypoints = visibility.of_keypoints(self._joints)

  def film(
    self,
    motion: PoseSequence,
    size: int,
    *,
    shape: Rng,
    looks: Rng,
    filming: Rng,
    style: appearance.Style | None = None,
    moving_camera: bool = True,
  ) -> Person:
    """Renders a motion.

    Args:
      motion: T frames.
      size: of the square frame in pixels.
      shape: the stream of the body's shape.
      looks: the stream of its clothes, skin and light.
      filming: the stream of the camera.
      style: of the looks; None: the domain's.
      moving_camera: False: it stands where the moving one is at the middle frame, or
        farther back.
    """
    body = self._body
    betas = self._domain.shape(shape)
    pelvis = body.rest_joints(betas)[0]
    posed = body.pose(motion.pose, betas, motion.transl - pelvis)
    stride = max(1, posed.vertices.shape[1] // _FRAMING_POINTS)
    framed = posed.vertices[:, ::stride]
    path = camera.sample(filming, framed, size, motion.fps, self._domain.shot)
    if not moving_camera:
      path = camera.hold_still(path, framed, size)
    joints_camera = path.to_camera(posed.joints)
    look = appearance.sample(looks, self._map, style or self._domain.style)
    layers = self._layers(posed, look, path, size)
    keypoints = body.keypoints(posed.vertices)
    person = Person(
      layers=layers,
      camera=path,
      distance=float(joints_camera[len(layers) // 2, 0, 2]),
      pose=_to_camera(motion.pose, path),
      betas=betas,
      transl=joints_camera[:, 0] - pelvis,
      joints_camera=joints_camera,
      keypoints_image=np.zeros((len(layers), 17, 3), np.float32),
      visibility=np.zeros((len(layers), 24), np.float32),
      light=look.light,
    )
    self._see(person, path.to_camera(keypoints), size)
    return person

  def extra(
    self,
    rng: Rng,
    motion: PoseSequence,
    person: Person,
    size: int,
    style: appearance.Style,
  ) -> list[Layer | None]:
    """Another person, of whom nothing needs to be known, before the same camera."""
    betas = self._domain.shape(rng)
    pelvis = self._body.rest_joints(betas)[0]
    posed = self._body.pose(motion.pose, betas, motion.transl - pelvis)
    look = appearance.sample(rng, self._map, style)
    if person.light is not None:
      look = look._replace(light=person.light)
    return self._layers(posed, look, person.camera, size)

  def _layers(
    self,
    posed: skinning.PosedBody,
    look: appearance.Appearance,
    path: camera.CameraPath,
    size: int,
  ) -> list[Layer | None]:
    surface = path.to_camera(posed.vertices + look.swell[:, None] * posed.normals)
    depth = float(np.median(surface[len(surface) // 2, ..., 2]))
    coat = look.seen_at(float(path.intrinsics[0, 0]) / max(depth, render.NEAR))
    return [
      self._layer(surface[t], following, posed.normals[t], coat, path.intrinsics, size)
      for t, following in enumerate([*surface[1:], surface[-1]])
    ]

  def _layer(
    self,
    vertices: Float[np.ndarray, "V 3"],
    following: Float[np.ndarray, "V 3"],
    normals: Float[np.ndarray, "V 3"],
    coat: appearance.Coat,
    intrinsics: Float[np.ndarray, "3 3"],
    size: int,
  ) -> Layer | None:
    """Draws one frame; `following` are the vertices of the next."""
    fragments = self._mesh.rasterise(vertices, intrinsics, (size, size))
    if fragments is None:
      return None
    z, x_after, y_after, z_after, *paint = fragments.interpolate(
      [vertices[:, 2], *following.T, *coat.of_vertices(normals)]
    )
    nearest = fragments.nearest()
    rgba = render.resolve(fragments, coat.colour(paint, nearest))
    x, y = fragments.middle()
    u = x_after / z_after * intrinsics[0, 0] + intrinsics[0, 2] - x
    v = y_after / z_after * intrinsics[1, 1] + intrinsics[1, 2] - y
    flow = fragments.spread([u, v])
    depth = np.full(rgba.shape[:2], np.inf, np.float32)
    depth.reshape(-1)[fragments.pixel] = np.where(fragments.at_centre, z, np.inf)
    part = np.zeros(rgba.shape[:2], np.uint8)
    part.reshape(-1)[fragments.pixel] = self._part.take(nearest)
    buffer = visibility.DepthBuffer(depth, part)
    return Layer(fragments.window, rgba, buffer, flow)

  def _see(
    self, person: Person, keypoints: Float[np.ndarray, "time 17 3"], size: int
  ) -> None:
    """Fills in keypoints and visibility from the depth buffers."""
    K = person.camera.intrinsics
    joint_pixels = person.joints_image
    person.keypoints_image[..., :2] = pinhole.project(keypoints, K)
    for t, layer in enumerate(person.layers):
      depth = np.full((size, size), np.inf, np.float32)
      part = np.zeros((size, size), np.uint8)
      if layer is not None:
        depth[layer.window.slices], part[layer.window.slices] = layer.buffer
      buffer = visibility.DepthBuffer(depth, part)
      person.visibility[t] = self._joints.seen(
        person.joints_camera[t], joint_pixels[t], buffer
      )
      person.keypoints_image[t, :, 2] = self._keypoints.seen(
        keypoints[t], person.keypoints_image[t, :, :2], buffer
      )


def _to_camera(
  pose: Float[np.ndarray, "time 24 3"], path: camera.CameraPath
) -> Float[np.ndarray, "time 24 3"]:
  """The pose with its global orientation in the camera's frame."""
  turned = Rotation.from_matrix(path.R_wc) * Rotation.from_rotvec(pose[:, 0])
  out = np.array(pose, np.float32)
  out[:, 0] = turned.as_rotvec()
  return out
