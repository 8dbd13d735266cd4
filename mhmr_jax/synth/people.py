"""A rendered person: layers to composite, and the labels that go with them."""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from mhmr_jax.motion.motion import Motion
from mhmr_jax.synth import (
  appearance,
  camera,
  regions,
  render,
  skinning,
  visibility,
)

Rng = np.random.Generator

# Enough points of the surface to frame a person by.
_FRAMING_POINTS = 150
_MAX_BETA = 3.0


class Layer(NamedTuple):
  """What is drawn over a background in one frame, within a window of it."""

  window: render.Window
  rgba: Float[np.ndarray, "height width 4"]  # RGB 0..255 times alpha, and alpha.
  buffer: visibility.DepthBuffer
  flow: Float[np.ndarray, "height width 2"]  # To the next frame; 0 off the person.


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


class Actor:
  """A body that can be filmed: what depends on the body alone is prepared once."""

  def __init__(self, body: skinning.Body):
    self._body = body
    self._mesh = render.Mesh(body.faces)
    self._map = regions.map_body(body)
    self._joints = visibility.of_joints(body)
    self._keypoints = visibility.of_keypoints(self._joints)

  def film(
    self,
    motion: Motion,
    size: int,
    *,
    shape: Rng,
    looks: Rng,
    filming: Rng,
  ) -> Person:
    """Renders a motion.

    Args:
      motion: T frames.
      size: of the square frame in pixels.
      shape: the stream of the body's shape.
      looks: the stream of its clothes, skin and light.
      filming: the stream of the camera.
    """
    body = self._body
    betas = np.clip(shape.normal(0, 1.2, 10), -_MAX_BETA, _MAX_BETA)
    betas = betas.astype(np.float32)
    pelvis = body.rest_joints(betas)[0]
    posed = body.pose(motion.pose, betas, motion.transl - pelvis)
    stride = max(1, posed.vertices.shape[1] // _FRAMING_POINTS)
    path = camera.sample(filming, posed.vertices[:, ::stride], size, motion.fps)
    joints_camera = path.to_camera(posed.joints)
    look = appearance.sample(looks, self._map)
    surface = path.to_camera(posed.vertices + look.swell[:, None] * posed.normals)
    layers = [
      self._layer(surface[t], following, posed.normals[t], look, path.intrinsics, size)
      for t, following in enumerate([*surface[1:], surface[-1]])
    ]
    keypoints = np.stack([body.keypoint_regressor @ frame for frame in posed.vertices])
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
    )
    self._see(person, path.to_camera(keypoints), size)
    return person

  def _layer(
    self,
    vertices: Float[np.ndarray, "V 3"],
    following: Float[np.ndarray, "V 3"],
    normals: Float[np.ndarray, "V 3"],
    look: appearance.Appearance,
    intrinsics: Float[np.ndarray, "3 3"],
    size: int,
  ) -> Layer | None:
    """Draws one frame; `following` are the vertices of the next."""
    fragments = self._mesh.rasterise(vertices, intrinsics, (size, size))
    if fragments is None:
      return None
    window = fragments.window
    rgba = render.resolve(fragments, look.colour(fragments, normals))
    shape = rgba.shape[:2]
    centres = fragments.centres()
    place = (centres.row, centres.column)
    depth = np.full(shape, np.inf, np.float32)
    part = np.zeros(shape, np.uint8)
    flow = np.zeros((*shape, 2), np.float32)
    seen = centres.interpolate(np.append(vertices[:, 2:], following, 1))
    depth[place] = seen[:, 0]
    part[place] = self._body.part[centres.nearest()]
    column, row = window.x0 + 0.5 + centres.column, window.y0 + 0.5 + centres.row
    here = np.stack([column, row], -1)
    flow[place] = render.project(seen[:, 1:], intrinsics) - here
    return Layer(window, rgba, visibility.DepthBuffer(depth, part), flow)

  def _see(
    self, person: Person, keypoints: Float[np.ndarray, "time 17 3"], size: int
  ) -> None:
    """Fills in keypoints and visibility from the depth buffers."""
    K = person.camera.intrinsics
    joint_pixels = render.project(person.joints_camera, K)
    person.keypoints_image[..., :2] = render.project(keypoints, K)
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
