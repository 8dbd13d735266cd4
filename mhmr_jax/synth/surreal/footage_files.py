"""Reads the frames, body parts, depth and flow of SURREAL's clips, flipped back.

Two conventions of these files are undocumented. Depth was rendered by Cycles of Blender
2.78, which wrote the distance along the ray, and it is read as such. Flow is Blender's
vector pass, whose content changed between releases. Depth, pose and joints tell where
each body part moves, so every clip's flow is compared with that motion, and read in the
convention in which it agrees.
"""

import pathlib
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from mhmr_jax.errors import InputError
from mhmr_jax.geometry import pinhole
from mhmr_jax.synth import render
from mhmr_jax.synth.surreal import info_files

# Blender writes 1e10 where there is nothing.
_FAR = 1e9
# The largest median difference between the flow and that of rigid body parts: pixels,
# plus a share of the rigid flow, since skin bends.
_MAX_FLOW_ERROR = (0.75, 0.2)
# Signs of u: a mirrored image negates it, unless Blender had negated it before.
_SIGNS = (-1.0, 1.0)


class Footage(NamedTuple):
  """Successive frames of a clip, in the flipped image."""

  images: UInt8[np.ndarray, "time 240 320 3"]  # RGB.
  part: UInt8[np.ndarray, "time 240 320"]  # 1 + the body part's joint; 0: no person.
  # Metres along the camera's z; infinite off the person.
  depth: Float[np.ndarray, "time 240 320"]
  # Pixels to the next frame; zero off the person and at the last frame.
  flow: Float[np.ndarray, "time 240 320 2"]


def read(
  video: pathlib.Path, info: info_files.Info, first: int, frames: int
) -> Footage:
  """Reads frames of a clip from its video and the `.mat` files beside it.

  Args:
    video: the clip's `.mp4` file.
    info: the clip's labels.
    first: the first frame to read.
    frames: how many to read.

  Raises:
    InputError: a file is missing or damaged, or disagrees with the others.
  """
  times = range(first, first + frames)
  part = _read_maps(video, "segm", times)[:, :, ::-1]
  if part.min() < 0 or part.max() > 24:
    raise InputError(f"{sibling(video, 'segm')} has parts other than 0 to 24")
  distance = _read_maps(video, "depth", times)[:, :, ::-1].astype(np.float32)
  # The render passes may differ on which pixels of the outline show the person.
  on_person = (part > 0) & (distance > render.NEAR) & (distance < _FAR)
  depth = np.where(on_person, distance * _cosine(), np.float32(np.inf))
  part = np.where(on_person, part, 0).astype(np.uint8)
  raw = _read_maps(video, "gtflow", times)[:, :, ::-1].astype(np.float32)
  raw = np.where(on_person[..., None], raw, 0)
  if not np.isfinite(raw).all():
    raise InputError(f"{sibling(video, 'gtflow')} has values that are not finite")
  window = slice(first, first + frames)
  moved = _rigid_flow(part, depth, info["pose"][window], info["joints_camera"][window])
  flow = _in_our_convention(raw, moved, part, sibling(video, "gtflow"))
  return Footage(_read_video(video, times), part, depth, flow)


def sibling(video: pathlib.Path, kind: str) -> pathlib.Path:
  """The path of the `.mat` file of that kind beside a clip's video."""
  return video.with_name(f"{video.stem}_{kind}.mat")


def _read_maps(video: pathlib.Path, kind: str, times: range) -> np.ndarray:
  """Reads one image-sized variable a frame, stacked over time."""
  path = sibling(video, kind)
  names = tuple(f"{kind}_{time + 1}" for time in times)
  maps = info_files.read_arrays(path, names)
  shape = (info_files.HEIGHT, info_files.WIDTH, *([2] if kind == "gtflow" else []))
  for name in names:
    if maps[name].shape != shape:
      raise InputError(f"{path} has a {name} of shape {maps[name].shape}, not {shape}")
  return np.stack([maps[name] for name in names])


def _read_video(video: pathlib.Path, times: range) -> UInt8[np.ndarray, "t 240 320 3"]:
  """Reads frames as RGB, flipped back."""
  reader = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG)
  images = []
  try:
    # Clips are short, and seeking is exact only for some codecs.
    for time in range(times.stop):
      if not reader.grab():
        break
      if time >= times.start:
        images.append(reader.retrieve()[1])
  finally:
    reader.release()
  shape = (info_files.HEIGHT, info_files.WIDTH, 3)
  if len(images) < len(times) or any(image.shape != shape for image in images):
    raise InputError(
      f"{video} has no {times.stop} frames of {info_files.WIDTH}x{info_files.HEIGHT} "
      "that can be read: leave it out"
    )
  return np.ascontiguousarray(np.stack(images)[:, :, ::-1, ::-1])


def _pixel_centres() -> Float[np.ndarray, "240 320 2"]:
  y, x = np.mgrid[: info_files.HEIGHT, : info_files.WIDTH]
  return (np.stack([x, y], -1) + 0.5).astype(np.float32)


def rays() -> Float[np.ndarray, "240 320 3"]:
  """Rays through the pixels' centres, with z = 1."""
  K = info_files.intrinsics()
  xy = (_pixel_centres() - K[:2, 2]) / K[0, 0]
  return np.append(xy, np.ones_like(xy[..., :1]), -1)


def _cosine() -> Float[np.ndarray, "240 320"]:
  """Cosine of the angle between each pixel's ray and the camera's axis."""
  return 1 / np.linalg.norm(rays(), axis=-1)


def _rigid_flow(
  part: UInt8[np.ndarray, "time h w"],
  depth: Float[np.ndarray, "time h w"],
  pose: Float[np.ndarray, "time 24 3"],
  joints: Float[np.ndarray, "time 24 3"],
) -> Float[np.ndarray, "time h w 2"]:
  """The flow to the next frame of rigid body parts; it is wrong around joints only."""
  R = info_files.global_rotations(pose)
  K = info_files.intrinsics()
  centres, through = _pixel_centres(), rays()
  flow = np.zeros((*part.shape, 2), np.float32)
  for t in range(len(part) - 1):
    place = part[t] > 0
    joint = part[t][place].astype(int) - 1
    turn = (R[t + 1] @ R[t].transpose(0, 2, 1)).astype(np.float32)
    offset = through[place] * depth[t][place][:, None] - joints[t, joint]
    moved = np.einsum("nij,nj->ni", turn[joint], offset) + joints[t + 1, joint]
    flow[t][place] = pinhole.project(moved, K) - centres[place]
  return flow


def _in_our_convention(
  raw: Float[np.ndarray, "time h w 2"],
  moved: Float[np.ndarray, "time h w 2"],
  part: UInt8[np.ndarray, "time h w"],
  path: pathlib.Path,
) -> Float[np.ndarray, "time h w 2"]:
  """Converts a file's flow to the flow to the next frame, in the flipped image.

  Args:
    raw: the file's values, flipped.
    moved: the flow of rigid body parts, which the result must be close to.
    part: the body part at each pixel.
    path: the file, for messages.

  Raises:
    InputError: the flow agrees with the body parts in no convention.
  """
  inside = _inside_parts(part[:-1])
  if not inside.any():
    return np.zeros_like(raw)
  best, least = raw, np.inf
  for sign in _SIGNS:
    signed = raw * np.array([sign, 1], np.float32)
    # The file's flow leads either to the next frame, or from the frame before. In the
    # second case, this frame's flow is stored at the next frame's pixels.
    for flow in (signed, _from_next(signed, moved, part)):
      error = np.median(np.linalg.norm((flow - moved)[:-1][inside], axis=-1))
      if error < least:
        best, least = flow, error
  typical = np.median(np.linalg.norm(moved[:-1][inside], axis=-1))
  if least > _MAX_FLOW_ERROR[0] + _MAX_FLOW_ERROR[1] * typical:
    raise InputError(
      f"{path} has a flow {least:.1f} px from how the body moves: leave its clip out"
    )
  best[-1] = 0
  return best


def _from_next(
  raw: Float[np.ndarray, "time h w 2"],
  moved: Float[np.ndarray, "time h w 2"],
  part: UInt8[np.ndarray, "time h w"],
) -> Float[np.ndarray, "time h w 2"]:
  """Looks up each pixel's flow where the pixel is in the next frame.

  Where another body part hides it there, the flow of the rigid part is used.
  """
  out = moved.copy()
  centres = _pixel_centres()
  limit = [info_files.WIDTH - 1, info_files.HEIGHT - 1]
  for t in range(len(raw) - 1):
    place = part[t] > 0
    target = np.clip((centres + moved[t])[place], 0, limit).astype(int)
    column, row = target.T
    same = part[t + 1][row, column] == part[t][place]
    out[t][place] = np.where(same[:, None], raw[t + 1][row, column], moved[t][place])
  return out


def _inside_parts(part: UInt8[np.ndarray, "time h w"]) -> Bool[np.ndarray, "time h w"]:
  """Pixels whose neighbours show the same body part, which moves rigidly there."""
  kernel = np.ones((3, 3), np.uint8)
  inside = [
    (cv2.erode(p, kernel) == p) & (cv2.dilate(p, kernel) == p) & (p > 0) for p in part
  ]
  return np.stack(inside)
