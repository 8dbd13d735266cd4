"""Reads AMASS motion files (SMPL-H or SMPL-X poses) as SMPL poses with y up."""

import pathlib

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from mhmr_jax.errors import InputError
from mhmr_jax.files import npz
from mhmr_jax.motion.pose_sequence import PoseSequence, resample

_BODY_JOINTS = 22  # The first joints of SMPL-H and SMPL-X are SMPL's; hands follow.
_RATES = ("mocap_framerate", "mocap_frame_rate")
_SLOWEST, _FASTEST = 1, 10_000  # Plausible frames per second of a recording.
_LARGEST = 1e6  # Metres or radians; products stay finite.
# In AMASS z is up: a quarter turn about x moves it to y.
_Y_UP = Rotation.from_rotvec([-np.pi / 2, 0, 0])


def read(path: str | pathlib.Path, fps: float = 30.0) -> PoseSequence:
  """Reads a motion; the rotations of SMPL's hand joints are set to zero.

  `transl` is AMASS's `trans` with y up: the path of the pelvis up to a constant, which
  is the rest pelvis of the subject's body and is not in the file.

  Raises:
    InputError: the file is missing, not AMASS's, or holds pickled objects.
  """
  arrays = npz.read_npz(pathlib.Path(path), ("poses", "trans", *_RATES))
  poses = _numbers(path, arrays, "poses", 2)
  trans = _numbers(path, arrays, "trans", 2)
  rate = next((name for name in _RATES if name in arrays), _RATES[0])
  source_fps = float(_numbers(path, arrays, rate, 0))
  if poses.shape[1] < 3 * _BODY_JOINTS or trans.shape != (len(poses), 3):
    raise InputError(
      f"{path}: poses {poses.shape} and trans {trans.shape} are not T x 156 (or 72, "
      "165) and T x 3."
    )
  if not len(poses) or not _SLOWEST <= source_fps <= _FASTEST:
    raise InputError(
      f"{path}: has no frames, or no frame rate from {_SLOWEST} to {_FASTEST:,}."
    )
  pose = np.zeros((len(poses), 24, 3))
  body = poses[:, : 3 * _BODY_JOINTS]
  pose[:, :_BODY_JOINTS] = body.reshape(-1, _BODY_JOINTS, 3)
  pose[:, 0] = (_Y_UP * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
  transl = _Y_UP.apply(trans)
  motion = PoseSequence(pose.astype(np.float32), transl.astype(np.float32), source_fps)
  return resample(motion, fps)


def _numbers(
  path: str | pathlib.Path, arrays: dict[str, np.ndarray], name: str, dims: int
) -> Float[np.ndarray, "..."]:
  if name not in arrays:
    raise InputError(f"{path}: has no '{name}'; is this an AMASS motion file?")
  array = arrays[name]
  if not dims and array.size == 1:  # A number, of any shape.
    array = array.reshape(())
  if array.ndim != dims or array.dtype.kind not in "fiu":
    raise InputError(f"{path}: '{name}' is not a {dims}-dimensional array of numbers.")
  array = array.astype(np.float64)
  if not (np.abs(array) < _LARGEST).all():
    raise InputError(f"{path}: '{name}' wants finite numbers below {_LARGEST:,.0f}.")
  return array
