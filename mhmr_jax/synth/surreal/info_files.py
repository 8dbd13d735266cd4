"""Reads the `_info.mat` files of SURREAL's clips, and undoes the mirror of its camera.

The rotation of SURREAL's camera has a determinant of -1, so that all its images are
mirrored. Here they are flipped back, x -> 320 - x, and the camera's x axis is negated.
The pose and the names of left and right stay as they are.
"""

import pathlib
from typing import NamedTuple, TypedDict

import numpy as np
import scipy.io
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from mhmr_jax.body import joints as body_joints
from mhmr_jax.errors import InputError
from mhmr_jax.files import untrusted
from mhmr_jax.geometry import pinhole
from mhmr_jax.synth import render

WIDTH, HEIGHT = 320, 240
FPS = 30.0
GENDERS = ("female", "male")
_FOCAL = 600.0  # Pixels.
# World to camera: SURREAL's [[0, 0, -1], [0, 1, 0], [-1, 0, 0]] with its x negated.
_R_WORLD_TO_CAMERA = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
# Pixels. The joints are stored in whole pixels, which explains half of it.
_MAX_REPROJECTION = 1.0
_HEADER, _HEADER_OF_HDF5 = b"MATLAB 5.0 MAT-file", b"MATLAB 7.3"
# The most numbers of one variable; a frame of flow has 153,600.
_MAX_NUMBERS = 1 << 20
_INFO = ("joints2D", "joints3D", "pose", "shape", "zrot", "gender", "camLoc")


class Info(TypedDict):
  """A clip's labels, in the camera's frame and in the flipped image."""

  pose: Float[np.ndarray, "time 24 3"]  # Axis-angle; entry 0 is in the camera frame.
  joints_camera: Float[np.ndarray, "time 24 3"]  # Metres.
  joints_image: Float[np.ndarray, "time 24 2"]  # Rounded to whole pixels.
  betas: Float[np.ndarray, "10"]
  intrinsics: Float[np.ndarray, "3 3"]
  gender: str  # "female" or "male".
  valid: Bool[np.ndarray, "time"]  # False in frames without joints.


def intrinsics() -> Float[np.ndarray, "3 3"]:
  """The intrinsics of SURREAL's camera, which is always the same."""
  K = np.diag([_FOCAL, _FOCAL, 1.0])
  K[:2, 2] = WIDTH / 2, HEIGHT / 2
  return K.astype(np.float32)


def read_info(path: str | pathlib.Path) -> Info:
  """Reads a clip's `_info.mat`.

  Raises:
    InputError: the file is missing or damaged, lacks a field, or its 3D joints do not
      project to its 2D joints.
  """
  path = pathlib.Path(path)
  fields = _read_fields(path)
  first = fields.valid.argmax()
  joints_world = fields.joints_world.transpose(0, 2, 1)
  joints_image = fields.joints_mirrored.transpose(0, 2, 1) * [-1, 1] + [WIDTH, 0]
  info = Info(
    pose=_pose_in_camera(fields.pose, fields.zrot).astype(np.float32),
    joints_camera=_to_camera(joints_world, fields.camera_place),
    joints_image=joints_image.astype(np.float32),
    betas=fields.shape[first].astype(np.float32),
    intrinsics=intrinsics(),
    gender=GENDERS[int(fields.gender[first])],
    valid=fields.valid,
  )
  _check_reprojection(info, path)
  return info


class _Fields(NamedTuple):
  """The file's arrays, with time as the first axis; other names are in comments."""

  pose: Float[np.ndarray, "time 24 3"]
  joints_world: Float[np.ndarray, "time 3 24"]  # joints3D
  joints_mirrored: Float[np.ndarray, "time 2 24"]  # joints2D
  shape: Float[np.ndarray, "time 10"]
  zrot: Float[np.ndarray, "time"]
  gender: Float[np.ndarray, "time"]
  camera_place: Float[np.ndarray, "3"]  # camLoc
  valid: Bool[np.ndarray, "time"]  # Frames that have joints.


def _read_fields(path: pathlib.Path) -> _Fields:
  """Reads and checks the arrays; those over time are finite in all frames."""
  arrays = read_arrays(path, _INFO)
  pose = _over_time(arrays["pose"], (72,), path, "pose").reshape(-1, 24, 3)
  frames = len(pose)
  joints3D = _over_time(arrays["joints3D"], (3, 24), path, "joints3D", frames)
  joints2D = _over_time(arrays["joints2D"], (2, 24), path, "joints2D", frames)
  shape = _over_time(arrays["shape"], (10,), path, "shape", frames, constant=True)
  zrot = _over_time(arrays["zrot"], (), path, "zrot", frames, constant=True)
  gender = _over_time(arrays["gender"], (), path, "gender", frames, constant=True)
  (camLoc,) = _over_time(arrays["camLoc"], (3,), path, "camLoc", 1)
  valid: np.ndarray = (joints2D != 0).any((1, 2))
  valid &= np.isfinite(joints2D).all((1, 2))
  if not valid.any():
    raise InputError(f"{path} has only zeros for joints2D: leave its clip out")
  over_time = dict(
    pose=pose, joints3D=joints3D, joints2D=joints2D, shape=shape, zrot=zrot
  )
  for name, values in over_time.items():
    # A frame that was not rendered was not written either, and may hold anything.
    values[~valid] = np.where(np.isfinite(values[~valid]), values[~valid], 0)
    _check_finite(values, path, name)
  _check_finite(camLoc, path, "camLoc")
  for name, values in (("shape", shape[valid]), ("gender", gender[valid])):
    if np.abs(values - values[0]).max() > 1e-4:
      raise InputError(f"{path} has a {name} that changes: leave its clip out")
  first = gender[valid.argmax()]
  if first not in (0, 1):
    raise InputError(f"{path} has gender {first:g}, neither 0 nor 1")
  return _Fields(pose, joints3D, joints2D, shape, zrot, gender, camLoc, valid)


def _to_camera(
  points_world: Float[np.ndarray, "time n 3"], camLoc: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "time n 3"]:
  """Points of the world in the frame of the camera that is no longer mirrored."""
  return ((points_world - camLoc) @ _R_WORLD_TO_CAMERA.T).astype(np.float32)


def _pose_in_camera(
  pose: Float[np.ndarray, "time 24 3"], zrot: Float[np.ndarray, "time"]
) -> Float[np.ndarray, "time 24 3"]:
  """Rotates the global orientation as Blender's scene and then the camera do."""
  world = Rotation.from_euler("x", np.pi / 2) * Rotation.from_euler("z", zrot[:, None])
  turned = Rotation.from_matrix(_R_WORLD_TO_CAMERA) * world
  out = pose.copy()
  out[:, 0] = (turned * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
  return out


def _check_reprojection(info: Info, path: pathlib.Path) -> None:
  """Raises InputError unless the 3D joints project to the 2D joints."""
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
  """Rotations of all joints in the frame of the global orientation."""
  R = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
  for parent, child in body_joints.SMPL_BONES:
    R[:, child] = R[:, parent] @ R[:, child]
  return R


def bones(
  pose: Float[np.ndarray, "time 24 3"], joints: Float[np.ndarray, "time 24 3"]
) -> Float[np.ndarray, "time 23 3"]:
  """Vectors from parents to joints 1 to 23, rotated back to the rest pose.

  They are the same in all frames, unless pose and joints disagree: where `zrot` is
  ignored, for example, or where left and right are exchanged.
  """
  parent, child = np.array(body_joints.SMPL_BONES).T
  offset = joints[:, child] - joints[:, parent]
  return np.einsum("tjki,tjk->tji", global_rotations(pose)[:, parent], offset)


def read_arrays(path: pathlib.Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
  """Reads arrays of numbers by name from a MATLAB 5 file, and nothing else of it.

  Raises:
    InputError: the file is missing or damaged, or lacks one of the arrays.
  """
  try:
    untrusted.check_file(path)
    with path.open("rb") as file:
      header = file.read(len(_HEADER))
      if header.startswith(_HEADER_OF_HDF5):
        raise InputError(
          f"{path} is a MATLAB 7.3 file: save it as SURREAL's own are, with -v7"
        )
      if header != _HEADER:
        raise InputError(f"{path} is not a MATLAB 5 file: it may be damaged")
      file.seek(0)
      # The headers' shapes are checked before any memory is allocated for them.
      shapes = {name: shape for name, shape, _ in scipy.io.whosmat(file)}
      for name in names:
        if name not in shapes:
          raise InputError(f"{path} has no {name}: leave its clip out")
        if np.prod(shapes[name], dtype=float) > _MAX_NUMBERS:
          raise InputError(f"{path} has a {name} of shape {shapes[name]}, too large")
      file.seek(0)
      arrays = scipy.io.loadmat(file, variable_names=names)
  except InputError:
    raise
  except OSError as error:
    raise InputError(f"cannot read {path}: {error.strerror or error}") from error
  except Exception as error:  # A damaged file can raise anything.
    raise InputError(f"{path} cannot be read, it may be damaged: {error!r}") from error
  for name in names:
    value = arrays.get(name)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf":
      raise InputError(f"{path} has a {name} that is no array of numbers")
  return {name: arrays[name] for name in names}


def _over_time(
  values: np.ndarray,
  shape: tuple[int, ...],
  path: pathlib.Path,
  name: str,
  frames: int | None = None,
  constant: bool = False,
) -> np.ndarray:
  """Moves time from the last axis to the first; returns float64.

  MATLAB drops a last axis of length one, so that a single frame has no time axis.

  Args:
    values: the field's array.
    shape: shape of the array in one frame.
    path: the file, for messages.
    name: the field, for messages.
    frames: how many frames there must be; None accepts any number.
    constant: whether one value may stand for all frames.

  Raises:
    InputError: the array has another shape.
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
