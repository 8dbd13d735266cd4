"""Reads the annotation of SURREAL's clips, and undoes the mirror it was filmed in.

SURREAL's camera has a determinant of -1, so all its images are mirrored. Here they are
mirrored back: x -> 320 - x, and the camera with its x turned round. Pose and the
names of left and right stay as they are.
"""

import pathlib
from typing import TypedDict

import numpy as np
import scipy.io
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from mhmr_jax.body import joints as body_joints
from mhmr_jax.errors import InputError
from mhmr_jax.geometry import pinhole
from mhmr_jax.synth import render

WIDTH, HEIGHT = 320, 240
FPS = 30.0
GENDERS = ("female", "male")
_FOCAL = 600.0  # Pixels.
# World to camera: SURREAL's [[0, 0, -1], [0, 1, 0], [-1, 0, 0]] with its x negated.
_R_WORLD_TO_CAMERA = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
# The joints are written in whole pixels, so half a pixel is theirs.
_MAX_REPROJECTION = 1.0
_HEADER, _HEADER_OF_HDF5 = b"MATLAB 5.0 MAT-file", b"MATLAB 7.3"
# What one variable of a clip may hold; a frame of flow has 153,600 numbers.
_MAX_NUMBERS = 1 << 20
_INFO = ("joints2D", "joints3D", "pose", "shape", "zrot", "gender", "camLoc")


class Info(TypedDict):
  """A clip's annotation, in the camera's frame and the flipped image."""

  pose: Float[np.ndarray, "time 24 3"]  # Axis-angle; entry 0 is in the camera frame.
  joints_camera: Float[np.ndarray, "time 24 3"]  # Metres.
  joints_image: Float[np.ndarray, "time 24 2"]  # Rounded to whole pixels.
  betas: Float[np.ndarray, "10"]
  intrinsics: Float[np.ndarray, "3 3"]
  gender: str  # "female" or "male".
  valid: Bool[np.ndarray, "time"]  # False where the joints were not written.


def intrinsics() -> Float[np.ndarray, "3 3"]:
  """Of SURREAL's camera, which is always the same."""
  K = np.diag([_FOCAL, _FOCAL, 1.0])
  K[:2, 2] = WIDTH / 2, HEIGHT / 2
  return K.astype(np.float32)


def read_info(path: str | pathlib.Path) -> Info:
  """Reads a clip's `_info.mat`.

  Raises:
    InputError: the file is missing or damaged, lacks a field, or its joints do not
      project to where it says they are seen.
  """
  path = pathlib.Path(path)
  fields = read_arrays(path, _INFO)
  pose = _over_time(fields["pose"], (72,), path, "pose").reshape(-1, 24, 3)
  frames = len(pose)
  joints_world = _over_time(fields["joints3D"], (3, 24), path, "joints3D", frames)
  joints_image = _over_time(fields["joints2D"], (2, 24), path, "joints2D", frames)
  shape = _over_time(fields["shape"], (10,), path, "shape", frames, constant=True)
  zrot = _over_time(fields["zrot"], (), path, "zrot", frames, constant=True)
  gender = _over_time(fields["gender"], (), path, "gender", frames, constant=True)
  (camLoc,) = _over_time(fields["camLoc"], (3,), path, "camLoc", 1)
  valid: np.ndarray = (joints_image != 0).any((1, 2))
  valid &= np.isfinite(joints_image).all((1, 2))
  if not valid.any():
    raise InputError(f"{path} has only zeros for joints2D: leave its clip out")
  over_time = dict(
    pose=pose, joints3D=joints_world, joints2D=joints_image, shape=shape, zrot=zrot
  )
  for name, values in over_time.items():
    # A frame that was not rendered was not written either, and may hold anything.
    values[~valid] = np.where(np.isfinite(values[~valid]), values[~valid], 0)
    _check_finite(values, path, name)
  _check_finite(camLoc, path, "camLoc")
  first = valid.argmax()
  for name, values in (("shape", shape[valid]), ("gender", gender[valid])):
    if np.abs(values - values[0]).max() > 1e-4:
      raise InputError(f"{path} has a {name} that changes: leave its clip out")
  if gender[first] not in (0, 1):
    raise InputError(f"{path} has gender {gender[first]:g}, neither 0 nor 1")

  seen = joints_image.transpose(0, 2, 1)
  info = Info(
    pose=_pose_in_camera(pose, zrot).astype(np.float32),
    joints_camera=_to_camera(joints_world.transpose(0, 2, 1), camLoc),
    joints_image=(seen * [-1, 1] + [WIDTH, 0]).astype(np.float32),
    betas=shape[first].astype(np.float32),
    intrinsics=intrinsics(),
    gender=GENDERS[int(gender[first])],
    valid=valid,
  )
  _check_reprojection(info, path)
  return info


def _to_camera(
  points_world: Float[np.ndarray, "time n 3"], camLoc: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "time n 3"]:
  return ((points_world - camLoc) @ _R_WORLD_TO_CAMERA.T).astype(np.float32)


def _pose_in_camera(
  pose: Float[np.ndarray, "time 24 3"], zrot: Float[np.ndarray, "time"]
) -> Float[np.ndarray, "time 24 3"]:
  """Turns the global orientation as Blender's scene and its camera do."""
  world = Rotation.from_euler("x", np.pi / 2) * Rotation.from_euler("z", zrot[:, None])
  turned = Rotation.from_matrix(_R_WORLD_TO_CAMERA) * world
  out = pose.copy()
  out[:, 0] = (turned * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
  return out


def _check_reprojection(info: Info, path: pathlib.Path) -> None:
  joints = info["joints_camera"][info["valid"]]
  if joints[..., 2].min() < render.NEAR:
    raise InputError(f"{path} has joints behind its camera: leave its clip out")
  error = (
    pinhole.project(joints, info["intrinsics"]) - info["joints_image"][info["valid"]]
  )
  worst = np.abs(error).max()
  if worst > _MAX_REPROJECTION:
    raise InputError(
      f"{path} has a camLoc that projects its joints up to {worst:.1f} px from its "
      "joints2D: leave its clip out"
    )


def global_rotations(
  pose: Float[np.ndarray, "time 24 3"],
) -> Float[np.ndarray, "time 24 3 3"]:
  """Of every joint, in the frame of the global orientation."""
  R = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
  for parent, child in body_joints.SMPL_BONES:
    R[:, child] = R[:, parent] @ R[:, child]
  return R


def bones(
  pose: Float[np.ndarray, "time 24 3"], joints: Float[np.ndarray, "time 24 3"]
) -> Float[np.ndarray, "time 23 3"]:
  """Joints 1 to 23 from their parents, in the rest frame: the same at all times.

  They are not where pose and joints disagree: without `zrot`, for one, or with left
  and right exchanged.
  """
  parent, child = np.array(body_joints.SMPL_BONES).T
  offset = joints[:, child] - joints[:, parent]
  return np.einsum("tjki,tjk->tji", global_rotations(pose)[:, parent], offset)


def read_arrays(path: pathlib.Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
  """Arrays of numbers by name from a MATLAB 5 file; nothing else in it is read.

  Raises:
    InputError: the file is missing or damaged, or lacks one of them.
  """
  try:
    with path.open("rb") as file:
      header = file.read(len(_HEADER))
      if header.startswith(_HEADER_OF_HDF5):
        raise InputError(
          f"{path} is a MATLAB 7.3 file: save it as SURREAL's own are, with -v7"
        )
      if header != _HEADER:
        raise InputError(f"{path} is not a MATLAB 5 file: it may be damaged")
      file.seek(0)
      # What the headers say is known before anything is allocated for it.
      shapes = {name: shape for name, shape, _ in scipy.io.whosmat(file)}
      for name in names:
        if name not in shapes:
          raise InputError(f"{path} has no {name}: leave its clip out")
        if np.prod(shapes[name], dtype=float) > _MAX_NUMBERS:
          raise InputError(f"{path} has a {name} of shape {shapes[name]}, too large")
      file.seek(0)
      found = scipy.io.loadmat(file, variable_names=names)
  except InputError:
    raise
  except OSError as error:
    raise InputError(f"cannot read {path}: {error.strerror or error}") from error
  except Exception as error:  # Damage can raise any.
    raise InputError(f"{path} cannot be read, it may be damaged: {error!r}") from error
  for name in names:
    value = found.get(name)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf":
      raise InputError(f"{path} has a {name} that is no array of numbers")
  return {name: found[name] for name in names}


def _over_time(
  values: np.ndarray,
  shape: tuple[int, ...],
  path: pathlib.Path,
  name: str,
  frames: int | None = None,
  constant: bool = False,
) -> np.ndarray:
  """Time to the front, float64, where it is the last axis or was lost, being one.

  Args:
    values: of the field `name` in `path`.
    shape: at one time.
    path: of the file.
    name: of the field.
    frames: how many there must be.
    constant: true where one value may stand for all frames.
  """
  size = int(np.prod(shape))
  if values.size == size:
    out = values.reshape(1, *shape)
  elif values.size and values.shape[: len(shape)] == shape:
    out = np.moveaxis(values.reshape(*shape, -1), -1, 0)
  else:
    raise InputError(f"{path} has a {name} of shape {values.shape}, not {shape} x T")
  if constant and len(out) == 1:
    out = np.repeat(out, frames or 1, 0)
  if frames is not None and len(out) != frames:
    raise InputError(f"{path} has {len(out)} frames of {name}, not {frames}")
  return out.astype(np.float64)


def _check_finite(values: np.ndarray, path: pathlib.Path, name: str) -> None:
  if not np.isfinite(values).all():
    raise InputError(f"{path} has a {name} with values that are not finite")
