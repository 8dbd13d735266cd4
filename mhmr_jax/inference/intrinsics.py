"""The intrinsics of a video: from the user, from the file's metadata, or a guess."""

import math
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mhmr_jax.errors import InputError
from mhmr_jax.files import npz, untrusted
from mhmr_jax.files.untrusted import RefusedError
from mhmr_jax.geometry import pinhole

# The diagonal of a 35 mm picture, 36 x 24 mm: an equivalent focal length has the same
# angle of view across the diagonal (CIPA DCG-001).
_DIAGONAL_35MM = math.hypot(36, 24)
# EXIF's tag, and the keys under which phones write it into QuickTime files.
EQUIVALENT_KEYS = (
  "FocalLengthIn35mmFilm",
  "com.apple.quicktime.camera.focal_length.35mm_equivalent",
  "com.android.camera.focal_length.35mm_equivalent",
)
_MOST_35MM = 2000.0  # mm; telescopes have more.
_MAX_BYTES = 1 << 28
_ARRAY = "intrinsics"


class Intrinsics(NamedTuple):
  """The intrinsics of a video, and where they are from."""

  matrices: Float[np.ndarray, "*N 3 3"]  # px, without skew; one, or one a frame.
  origin: str  # A sentence for the user.


def find(
  size: tuple[int, int],
  num_frames: int,
  *,
  focal: float | None = None,
  fov: float | None = None,
  path: pathlib.Path | None = None,
  metadata: Mapping[str, str] | None = None,
) -> Intrinsics:
  """Finds the intrinsics; without any hint the focal length is the image's diagonal.

  The principal point is the centre of the image, unless a file gives the intrinsics.

  Args:
    size: width and height, px, as the frames are shown.
    num_frames: the length of the video.
    focal: focal length, px.
    fov: the angle of view from the left to the right edge, degrees.
    path: the path of a file of intrinsics; see `read`.
    metadata: the metadata of the video's file, or the EXIF tags of an image, by name.
      It is read only if the user gives nothing.

  Raises:
    InputError: two of `focal`, `fov` and `path` are given, or one is impossible.
  """
  given = {"--focal": focal, "--fov": fov, "--intrinsics": path}
  named = [name for name, value in given.items() if value is not None]
  if len(named) > 1:
    raise InputError(f"{' and '.join(named)} say the same thing: give only one.")
  width, height = size
  if path is not None:
    return Intrinsics(read(path, num_frames), f"The intrinsics are those of {path}.")
  if focal is not None:
    if not (math.isfinite(focal) and focal > 0):
      raise InputError(f"--focal={focal}: a focal length is above 0 px.")
    origin = f"The focal length is {focal:.0f} px, as given."
  elif fov is not None:
    if not 0 < fov < 180:
      raise InputError(f"--fov={fov}: an angle of view is between 0 and 180 degrees.")
    focal = width / 2 / math.tan(math.radians(fov) / 2)
    origin = f"The focal length is {focal:.0f} px, from an angle of view of {fov:g}°."
  elif (equivalent := _equivalent(metadata or {})) is not None:
    focal = equivalent * math.hypot(width, height) / _DIAGONAL_35MM
    origin = (
      f"The focal length is {focal:.0f} px: the file says that it is equivalent to "
      f"{equivalent:g} mm in 35 mm film."
    )
  else:
    focal = math.hypot(width, height)
    origin = (
      f"The focal length is assumed to be the image's diagonal, {focal:.0f} px; "
      "distances are proportional to it: give --focal or --fov if you know it."
    )
  return Intrinsics(pinhole.centred_intrinsics(width, height, focal), origin)


def _equivalent(metadata: Mapping[str, str]) -> float | None:
  """The equivalent focal length that a file states, mm; None for none or nonsense."""
  for key in EQUIVALENT_KEYS:
    try:
      value = float(metadata.get(key, ""))
    except (TypeError, ValueError):
      continue
    if 0 < value < _MOST_35MM:
      return value
  return None


def read(path: pathlib.Path, num_frames: int) -> Float[np.ndarray, "*N 3 3"]:
  """Reads one matrix for all frames, or one for each.

  Args:
    path: an .npz with the array `intrinsics`, or a .json with it under that key or as
      all there is; [3, 3] or [frames, 3, 3], px.
    num_frames: the length of the video.

  Raises:
    InputError: the file cannot be used, or has another number of frames.
  """
  with untrusted.reading(path, "a file of intrinsics", _MAX_BYTES):
    matrices = _read_array(path)
  if matrices.ndim not in (2, 3) or matrices.shape[-2:] != (3, 3):
    raise InputError(
      f"{path} has intrinsics of shape {matrices.shape}: give [3, 3] or [frames, 3, 3]."
    )
  if matrices.ndim == 3 and len(matrices) != num_frames:
    raise InputError(
      f"{path} has intrinsics for {len(matrices)} frames, but the video has "
      f"{num_frames}: give one matrix for each frame, or one for all."
    )
  fault = _fault(matrices)
  if fault:
    raise InputError(
      f"{path} has a matrix {fault}: give [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in px."
    )
  return matrices


def _read_array(path: pathlib.Path) -> Float[np.ndarray, "..."]:
  if path.suffix.lower() == ".npz":
    arrays = npz.read_npz(path, (_ARRAY,))
    if _ARRAY not in arrays:
      raise RefusedError(f"no array {_ARRAY}")
    return arrays[_ARRAY].astype(np.float64)
  data = untrusted.parse_json(path.read_bytes())
  if isinstance(data, dict):
    data = data[_ARRAY]
  return np.asarray(data, np.float64)


def _fault(matrices: Float[np.ndarray, "*N 3 3"]) -> str | None:
  """Says why these are not intrinsics without skew, in words after "a matrix"."""
  if not np.isfinite(matrices).all():
    return "with a number that is not finite"
  if np.any(matrices[..., 2, :] != [0, 0, 1]):
    return "whose last row is not 0, 0, 1"
  focal = matrices[..., [0, 1], [0, 1]]
  if not np.all(focal > 0):
    return "with a focal length that is not above 0"
  if np.any(np.abs(matrices[..., [0, 1], [1, 0]]) > 1e-6 * focal):
    return "with skew"
  return None
