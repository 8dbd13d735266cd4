"""Films people: layers to composite, and the exact labels that go with them."""

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

# Points of the surface, which are enough to frame a person by.
_FRAMING_POINTS = 150


class Layer(NamedTuple):
  """A person in one frame, drawn in a window of it; a `planes.Drawn`."""

  window: render.Window
  rgba: Float[np.ndarray, "height width 4"]  # RGB 0..255 times alpha, and alpha.
  buffer: visibility.DepthBuffer
  # Pixels to the next frame; valid where the mask is true.
  flow: Float[np.ndarray, "height width 2"]

  @property
  def mask(self) -> Bool[np.ndarray, "height width"]:
    """Pixels whose centre shows the person."""
    return np.isfinite(self.buffer.depth)


@dataclasses.dataclass(frozen=True)
class Person:
  """A person filmed by a camera; a layer is None where they are out of the frame."""

  layers: list[Layer | None]
  camera: camera.CameraPath
  distance: float  # Metres to the camera, at the middle frame.
  pose: Float[np.ndarray, "time 24 3"]
  betas: Float[np.ndarray, "10"]
  transl: Float[np.ndarray, "time 3"]
  joints_camera: Float[np.ndarray, "time 24 3"]
  keypoints_image: Float[np.ndarray, "time 17 3"]  # The score is the visibility.
  visibility: Float[np.ndarray, "time 24"]
  light: appearance.Light | None = None  # The scene's; None where it is not known.

  @property
  def joints_image(self) -> Float[np.ndarray, "time 24 2"]:
    """The joints' projections in pixels."""
    return pinhole.project(self.joints_camera, self.camera.intrinsics)

  def behind(self, occluders: Sequence[Sequence[planes.Drawn | None]]) -> "Person":
    """Returns the person with all that the occluders cover marked as not visible.

    Args:
      occluders: each in every frame; None where it is outside the frame.
    """
    visibility, keypoints = self.visibility.copy(), self.keypoints_image.copy()
    joints = self.joints_image
    for t in range(len(self.layers)):
      for drawn in (frames[t] for frames in occluders):
        if drawn is not None:
          visibility[t, _covered(joints[t], drawn)] = 0
          keypoints[t, _covered(keypoints[t, :, :2], drawn), 2] = 0
    return dataclasses.replace(self, visibility=visibility, keypoints_image=keypoints)


def _covered(
  pixels: Float[np.ndarray, "n 2"], drawn: planes.Drawn
) -> Bool[np.ndarray, "n"]:
  """Which of the points are covered by what is drawn."""
  x0, y0, x1, y1 = drawn.window
  inside = np.all((pixels >= [x0, y0]) & (pixels < [x1, y1]), axis=-1)
  column, row = np.where(inside[:, None], pixels - [x0, y0], 0).astype(int).T
  return inside & drawn.mask[row, column]


class Actor:
  """Films one body model; what depends on the model alone is prepared once.

  Args:
    body: the body model.
    domain: what shapes, looks and shots are drawn from.
  """

  def __init__(self, body: skinning.Body, domain: domains.Domain = domains.USUAL):
    self._body = body
    self._domain = domain
    self._mesh = render.Mesh(body.faces)
    self._part = body.part.astype(np.uint8)
    self._map = regions.map_body(body)
    self._joints = visibility.joint_rule(body)
    self._keypoints = visibility.keypoint_rule(self._joints)

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
    """Renders a person who performs a motion.

    Args:
      motion: in a world whose y is up.
      size: pixels of the square frame's side.
      shape: the random stream of the body's shape.
      looks: the random stream of clothes, skin and light.
      filming: the random stream of the camera.
      style: what looks are drawn from; None means the domain's style.
      moving_camera: False keeps the camera where the moving one is at the middle frame,
        or farther back.
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
    self._label(person, path.to_camera(keypoints), size)
    return person

  def film_distractor(
    self,
    rng: Rng,
    motion: PoseSequence,
    person: Person,
    size: int,
    style: appearance.Style,
  ) -> list[Layer | None]:
    """Renders another person, without labels, with the person's camera and light."""
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
    """Draws all frames, with hair and clothes off the skin."""
    surface = path.to_camera(posed.vertices + look.swell[:, None] * posed.normals)
    depth = float(np.median(surface[len(surface) // 2, ..., 2]))
    coat = look.at_resolution(float(path.intrinsics[0, 0]) / max(depth, render.NEAR))
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
    """Draws one frame; `following` are the vertices in the next frame."""
    fragments = self._mesh.rasterise(vertices, intrinsics, (size, size))
    if fragments is None:
      return None
    z, x_after, y_after, z_after, *paint = fragments.interpolate(
      [vertices[:, 2], *following.T, *coat.vertex_values(normals)]
    )
    nearest = fragments.nearest()
    rgba = render.resolve(fragments, coat.colour(paint, nearest))
    x, y = fragments.middle()
    u, v = pinhole.project(np.stack([x_after, y_after, z_after]).T, intrinsics).T
    flow = fragments.spread([u - x, v - y])
    depth = np.full(rgba.shape[:2], np.inf, np.float32)
    depth.reshape(-1)[fragments.pixel] = np.where(fragments.at_centre, z, np.inf)
    part = np.zeros(rgba.shape[:2], np.uint8)
    part.reshape(-1)[fragments.pixel] = self._part.take(nearest)
    buffer = visibility.DepthBuffer(depth, part)
    return Layer(fragments.window, rgba, buffer, flow)

  def _label(
    self, person: Person, keypoints: Float[np.ndarray, "time 17 3"], size: int
  ) -> None:
    """Fills in keypoints and visibility from the depth buffers.

    Args:
      person: all other fields are filled in.
      keypoints: metres, in the camera's frame.
      size: pixels of the square frame's side.
    """
    K = person.camera.intrinsics
    joint_pixels = person.joints_image
    person.keypoints_image[..., :2] = pinhole.project(keypoints, K)
    for t, layer in enumerate(person.layers):
      depth = np.full((size, size), np.inf, np.float32)
      part = np.zeros((size, size), np.uint8)
      if layer is not None:
        depth[layer.window.slices], part[layer.window.slices] = layer.buffer
      buffer = visibility.DepthBuffer(depth, part)
      person.visibility[t] = self._joints.visible(
        person.joints_camera[t], joint_pixels[t], buffer
      )
      person.keypoints_image[t, :, 2] = self._keypoints.visible(
        keypoints[t], person.keypoints_image[t, :, :2], buffer
      )


def _to_camera(
  pose: Float[np.ndarray, "time 24 3"], path: camera.CameraPath
) -> Float[np.ndarray, "time 24 3"]:
  """Rotates the pose's global orientation from the world's frame to the camera's."""
  turned = Rotation.from_matrix(path.R_wc) * Rotation.from_rotvec(pose[:, 0])
  out = np.array(pose, np.float32)
  out[:, 0] = turned.as_rotvec()
  return out
