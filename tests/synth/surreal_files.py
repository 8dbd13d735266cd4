"""Writes miniature clips in SURREAL's format, with its world and mirrored camera.

The person is rendered as the mirrored camera sees them; nothing here turns an image
round, so a reader that should is told apart from one that does not.
"""

import dataclasses
import pathlib
from typing import Any

import cv2
import numpy as np
import scipy.io
from scipy.spatial.transform import Rotation

from mhmr_jax.geometry import pinhole
from mhmr_jax.synth import render, skinning

# World to camera; its determinant is -1.
MIRRORED = np.array([[0.0, 0, -1], [0, 1, 0], [-1, 0, 0]])
K = np.array([[600.0, 0, 160], [0, 600, 120], [0, 0, 1]], np.float32)
NOTHING = 1e10


@dataclasses.dataclass(frozen=True)
class Truth:
  """The written clip, in the frame of a camera that is not mirrored."""

  video: pathlib.Path
  joints_camera: np.ndarray
  vertices_camera: np.ndarray
  betas: np.ndarray


@dataclasses.dataclass(frozen=True)
class Scene:
  """What a clip shows."""

  frames: int = 8
  seed: int = 0
  zrot: float = 0.7
  across: float = 0.03  # Metres a frame, to the right of the image as it is stored.
  start: float = -0.1  # Metres.
  flow: str = "next"  # Or "blender": from the frame before, with u negated.


def write(split: pathlib.Path, clip: str, scene: Scene = Scene()) -> Truth:
  """Writes a clip's five files.

  Args:
    split: the folder train, test or val.
    clip: such as "run0/01_01/01_01_c0001".
    scene: what it shows.
  """
  video = split / f"{clip}.mp4"
  video.parent.mkdir(parents=True, exist_ok=True)
  body = skinning.load()
  rng = np.random.default_rng(scene.seed)
  betas = rng.normal(0, 1, 10).astype(np.float32)
  # The flow needs one frame more on either side.
  pose = _pose(scene.frames + 2, rng)
  camLoc = np.array([6.0, -0.2, 0.1])
  posed = body.pose(_in_world(pose, scene.zrot), betas, np.zeros((len(pose), 3)))
  # The world's y points down; the camera's right is -z.
  time = np.arange(-1, scene.frames + 1)
  pelvis = np.stack(
    [0.02 * time, -0.1 + 0.01 * np.sin(time), -scene.start - scene.across * time], -1
  )
  shift = (pelvis - posed.joints[:, 0])[:, None]
  joints, vertices = posed.joints + shift, posed.vertices + shift
  seen = ((vertices - camLoc) @ MIRRORED.T).astype(np.float32)
  info = {
    "pose": pose[1:-1].reshape(-1, 72).T,
    "joints3D": joints[1:-1].transpose(2, 1, 0).astype(np.float32),
    "joints2D": np.round(
      pinhole.project((joints[1:-1] - camLoc) @ MIRRORED.T, K)
    ).transpose(2, 1, 0).astype(np.float32),
    "shape": np.repeat(betas[:, None], scene.frames, 1),
    "zrot": np.full((scene.frames, 1), scene.zrot, np.float32),
    "gender": np.ones((scene.frames, 1), np.uint8),
    "camLoc": camLoc[:, None].astype(np.float32),
    "camDist": camLoc[0],
    "light": np.zeros((9, scene.frames)),
    "bg": np.array([["room.jpg"] * scene.frames], object),
    "cloth": np.array([["cloth.jpg"] * scene.frames], object),
    "clipNo": 1.0,
    "sequence": video.stem,
    "source": "cmu",
    "stride": np.uint8(50),
  }  # fmt: skip
  save(video, "info", info)
  _render(video, body, seen, posed.normals @ MIRRORED.T, scene, rng)
  flip = np.array([-1, 1, 1])
  return Truth(
    video, (joints[1:-1] - camLoc) @ MIRRORED.T * flip, seen[1:-1] * flip, betas
  )


def mat(video: pathlib.Path, kind: str) -> pathlib.Path:
  return video.with_name(f"{video.stem}_{kind}.mat")


def save(video: pathlib.Path, kind: str, values: dict[str, Any]) -> None:
  scipy.io.savemat(mat(video, kind), values, do_compression=True)


def edit(video: pathlib.Path, kind: str, **changes: Any) -> None:
  """Writes a `.mat` file again with other values; None leaves one out."""
  found = scipy.io.loadmat(mat(video, kind))
  values = {k: v for k, v in found.items() if not k.startswith("__")} | changes
  save(video, kind, {k: v for k, v in values.items() if v is not None})


def _pose(frames: int, rng: np.random.Generator) -> np.ndarray:
  """Poses in a world whose z is up: striding, waving the left arm, and turning."""
  steps = np.arange(frames)[:, None] / 30
  pose = np.tile(rng.normal(0, 0.08, (24, 3)), (frames, 1, 1))
  standing = Rotation.from_euler("x", np.pi / 2)
  turned = Rotation.from_euler("z", 2.0 * steps)
  pose[:, 0] = (turned * standing).as_rotvec()
  pose[:, 1] += [-0.5, 0, 0] + steps * [3, 0, 0]
  pose[:, 5] += [0.6, 0, 0]
  pose[:, 16] += [0, 0, 0.6] + steps * [0, 0, -3]
  pose[:, 17] += [0, 0, 1.1]
  return pose.astype(np.float32)


def _in_world(pose: np.ndarray, zrot: float) -> np.ndarray:
  out = pose.copy()
  scene = Rotation.from_euler("x", np.pi / 2) * Rotation.from_euler("z", zrot)
  out[:, 0] = (scene * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
  return out


def _render(
  video: pathlib.Path,
  body: skinning.Body,
  seen: np.ndarray,
  normals: np.ndarray,
  scene: Scene,
  rng: np.random.Generator,
) -> None:
  """Video, segmentation, depth and flow, in the mirrored image."""
  mesh = render.Mesh(body.faces[:, ::-1])  # A mirror turns triangles round.
  tint = rng.uniform(60, 255, (24, 3))
  background = rng.uniform(0, 255, (240, 320, 3))
  writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"mp4v"), 30, (320, 240))
  maps: dict[str, dict[str, np.ndarray]] = {"segm": {}, "depth": {}, "gtflow": {}}
  for t in range(1, scene.frames + 1):
    fragments = mesh.rasterise(seen[t], K, (240, 320))
    segm = np.zeros((240, 320), np.uint8)
    depth = np.full((240, 320), NOTHING, np.float32)
    flow = np.zeros((240, 320, 2), np.float32)
    image = background.copy()
    if fragments is not None:
      shade = 0.6 - 0.4 * normals[t, :, 2:]
      tinted = (tint[body.part] * shade).astype(np.float32)
      colours = fragments.interpolate(list(tinted.T))
      rgba = render.resolve(fragments, colours)
      part = image[fragments.window.slices]
      part *= 1 - rgba[..., 3:]
      part += rgba[..., :3]
      at = fragments.centres()
      place = at.row + fragments.window.y0, at.column + fragments.window.x0
      segm[place] = body.part[at.nearest()] + 1
      # Cycles wrote the distance along the ray.
      depth[place] = np.linalg.norm(at.interpolate(list(seen[t].T)), axis=0)
      other = seen[t + 1] if scene.flow == "next" else seen[t - 1]
      there = pinhole.project(np.stack(at.interpolate(list(other.T)), -1), K)
      flow[place] = there - (np.stack(place[::-1], -1) + 0.5)
      if scene.flow == "blender":  # Towards the frame before, y up.
        flow[place] *= [1, -1]
    maps["segm"][f"segm_{t}"] = segm
    maps["depth"][f"depth_{t}"] = depth
    maps["gtflow"][f"gtflow_{t}"] = flow
    writer.write(np.ascontiguousarray(image[..., ::-1]).clip(0, 255).astype(np.uint8))
  writer.release()
  for kind, values in maps.items():
    save(video, kind, values)
