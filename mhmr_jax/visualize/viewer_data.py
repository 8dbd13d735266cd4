"""Packs people's motions into the small JSON that the viewer page reads.

A body is sent once, in the person's shape and at rest, and a row of motion is one
rotation a joint and one position: the browser skins the body. Arrays are base64 of
whole numbers, to be multiplied by `scale`, where their rounding is far below what can
be seen. Pose blend shapes are left out: they would be most of the page, and move no
joint.
"""

import base64
from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from mhmr_jax.body import joints, smpl
from mhmr_jax.runtime.batching import blocks
from mhmr_jax.schema import Motion
from mhmr_jax.visualize import charts

# Rows of rotations that are packed at once, in a multiple of 3 bytes, so that the texts
# can be joined.
_ROWS = 3 * 256
_INFLUENCES = 4  # Joints that move a vertex: as many as WebGL's skinning takes.


class PackedArray(TypedDict):
  """An array as JSON has it, flat and little-endian."""

  type: str  # NumPy's name.
  scale: float | None
  base64: str


class PackedPerson(TypedDict):
  """One person: its name and colour, and the arrays of its motion by name."""

  name: str
  colour: str
  arrays: dict[str, PackedArray]


class VideoCamera(TypedDict):
  """Where the video's camera stood in the world, on average over the people."""

  position: list[float]
  forward: list[float]
  fov: float  # Vertical, degrees.
  aspect: float  # Width by height of the picture.


class PackedMotion(TypedDict):
  """The whole JSON of the page."""

  facts: list[str]
  fps: float
  colours: Sequence[str]
  video_type: NotRequired[str]
  skeleton: dict[str, Sequence[Any]]
  mesh: dict[str, PackedArray]
  camera: VideoCamera
  people: list[PackedPerson]


def pack(motions: Sequence[Motion], body: smpl.SmplModel) -> PackedMotion:
  """Packs at least one person of a video.

  Args:
    motions: the people, all of one video.
    body: the body that their pose and shape are for.
  """
  colours = charts.COLOURS
  people = [
    PackedPerson(
      name=f"person {motion.person}",
      colour=colours[motion.person % len(colours)],
      arrays=_person(motion, body),
    )
    for motion in motions
  ]
  return PackedMotion(
    facts=_facts(motions),
    fps=float(motions[0].fps),
    colours=colours,
    skeleton={"names": joints.SMPL_JOINTS, "parents": joints.SMPL_PARENTS},
    mesh=_mesh(body),
    camera=_video_camera(motions),
    people=people,
  )


def _facts(motions: Sequence[Motion]) -> list[str]:
  first = motions[0]
  width, height = first.image_size
  moving = first.camera_motion == "moving"
  return [
    "1 person" if len(motions) == 1 else f"{len(motions)} people",
    f"{width} x {height}, {first.fps:.2f} frames/s".replace(".00 ", " "),
    f"body: {first.body}",
    "moving camera: paths are relative to it" if moving else "static camera",
  ]


def _mesh(body: smpl.SmplModel) -> dict[str, PackedArray]:
  """Faces, and each vertex's strongest joints, whose weights the page normalises."""
  weights = np.asarray(body.weights)
  strongest = np.argsort(-weights, axis=1, kind="stable")[:, :_INFLUENCES]
  kept = np.take_along_axis(weights, strongest, axis=1)
  index_type = np.uint16 if len(weights) <= 2**16 else np.uint32
  return {
    "faces": _packed(np.asarray(body.faces, index_type)),
    "skin_joints": _packed(strongest.astype(np.uint8)),
    "skin_weights": _rounded(kept / kept.sum(axis=1, keepdims=True), np.uint8, 1.0),
  }


def _person(motion: Motion, body: smpl.SmplModel) -> dict[str, PackedArray]:
  betas = motion.betas[0]
  rest_vertices = np.asarray(body.v_template) + np.asarray(body.shapedirs) @ betas
  rest_joints = (
    np.asarray(body.joint_template) + np.asarray(body.joint_shapedirs) @ betas
  )
  root = rest_joints[0] + motion.transl_world
  # The last row, and the last before a gap, has no next one.
  followed = np.append(np.diff(motion.frame_index) == 1, False)
  extent = float(np.abs(rest_vertices).max())
  return {
    "rest_vertices": _rounded(rest_vertices, np.int16, extent),
    "rest_joints": _packed(rest_joints.astype(np.float32)),
    "times": _packed(np.asarray(motion.times, np.float64)),
    "followed": _packed(followed.astype(np.uint8)),
    "rotations": _rotations(motion.pose_world),
    "root": _packed(root.astype(np.float32)),
    "confidence": _rounded(motion.confidence, np.uint8, 1.0),
    "detected": _packed(motion.detected.astype(np.uint8)),
    "contacts": _rounded(motion.contacts, np.uint8, 1.0),
  }


def _rotations(pose: Float[np.ndarray, "N 24 3"]) -> PackedArray:
  """The rounded quaternions of the joints, packed in blocks to save memory."""
  scale = 1.0 / np.iinfo(np.int16).max
  parts = [
    _packed(np.rint(_quaternions(pose[rows]) / scale).astype(np.int16))["base64"]
    for rows in blocks(len(pose), _ROWS)
  ]
  return PackedArray(type="int16", scale=scale, base64="".join(parts))


def _quaternions(
  pose: Float[np.ndarray, "*batch 3"],
) -> Float[np.ndarray, "*batch 4"]:
  """Unit quaternions of axis-angle rotations, in the order x, y, z, w."""
  angle = np.linalg.norm(pose, axis=-1, keepdims=True)
  # NumPy's sinc has a factor of pi: this is sin(angle / 2) / angle, also at zero.
  vector = pose * (0.5 * np.sinc(angle / (2 * np.pi)))
  return np.concatenate([vector, np.cos(angle / 2)], axis=-1)


def _video_camera(motions: Sequence[Motion]) -> VideoCamera:
  """Averages the camera over all rows, in which people have both frames' poses."""
  in_camera = Rotation.from_rotvec(np.concatenate([m.pose[:, 0] for m in motions]))
  in_world = Rotation.from_rotvec(np.concatenate([m.pose_world[:, 0] for m in motions]))
  world_from_camera = (in_world * in_camera.inv()).mean()
  pelvis_camera = np.concatenate([m.joints_camera[:, 0] for m in motions])
  pelvis_world = np.concatenate([m.joints_world[:, 0] for m in motions])
  positions = pelvis_world - world_from_camera.apply(pelvis_camera)
  width, height = motions[0].image_size
  focal = np.median(motions[0].intrinsics[..., 1, 1])
  return VideoCamera(
    position=np.median(positions, axis=0).tolist(),
    forward=world_from_camera.apply([0.0, 0.0, 1.0]).tolist(),
    fov=float(np.degrees(2 * np.arctan(height / (2 * focal)))),
    aspect=float(width / height),
  )


def _packed(array: np.ndarray, scale: float | None = None) -> PackedArray:
  little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
  text = base64.b64encode(little.data).decode()
  return PackedArray(type=array.dtype.name, scale=scale, base64=text)


def _rounded(
  values: Float[np.ndarray, "..."], dtype: type[np.integer], largest: float
) -> PackedArray:
  """Rounds to whole numbers, the last of which stands for the value `largest`."""
  scale = largest / np.iinfo(dtype).max
  return _packed(np.rint(values / scale).astype(dtype), scale)
