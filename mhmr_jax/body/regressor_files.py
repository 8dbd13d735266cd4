"""Reads the files of matrices that regress joints from SMPL's vertices.

Two files called J_regressor_h36m are in circulation, and one has the rows of the left
and right leg swapped. The order of the rows is therefore checked on the body itself:
the point of each limb's row must lie near that joint of SMPL.
"""

import itertools
import pathlib
from typing import Any

import numpy as np
from absl import logging
from jaxtyping import Float
from scipy import sparse

from mhmr_jax.body import joints, smpl
from mhmr_jax.errors import InputError
from mhmr_jax.files import npz, pickles

KINDS = {"h36m": joints.H36M_JOINTS, "cocoplus": joints.COCOPLUS_JOINTS}
# The key of each kind's array in files that hold several.
_KEYS = {"h36m": "J_regressor_h36m", "cocoplus": "cocoplus_regressor"}
_H36M_LEGS = (1, 2, 3)  # The rows of one leg; the other's are 3 further on.
# Metres from SMPL's joint of the same name; hips lie up to 86 mm further out.
_TOLERANCE = 0.2
_LARGEST = 1e3  # No weight of a vertex is larger; sums of them stay finite.
_MIDDLE = 0.06  # Metres from the plane of symmetry, of points on neither side.
# Points that lie one above the other on the unposed body.
_UPWARDS = ("pelvis", "spine", "neck", "jaw", "nose", "head_top")


def read(
  path: str | pathlib.Path, kind: str, body: smpl.SmplModel
) -> Float[np.ndarray, "K V"]:
  """Reads a regressor: its points are weighted sums of the vertices.

  Args:
    path: an .npy file, or an .npz or .pkl file with a single array or with one under
      the name that SPIN or HMR gives it.
    kind: "h36m" or "cocoplus".
    body: the body whose vertices the regressor is for.

  Returns:
    One row for each name in `KINDS[kind]`.

  Raises:
    InputError: the file is missing, damaged or hostile, is for another mesh, or its
      rows are not in a known order.
  """
  path = pathlib.Path(path).expanduser()
  names = KINDS[kind]
  regressor = _shaped(_load(path, kind), (len(names), len(body.v_template)), path)
  points = regressor @ np.asarray(body.v_template, np.float64)
  wrong = _misplaced(points, names, body)
  if wrong and kind == "h36m":
    order = list(range(len(names)))
    for row in _H36M_LEGS:
      order[row], order[row + 3] = row + 3, row
    if not _misplaced(points[order], names, body):
      logging.warning(
        "%s has the right leg in rows 1 to 3: the legs were swapped, now corrected.",
        path,
      )
      return regressor[order]
  if wrong:
    raise InputError(
      f"The rows of {path} are not in the order of {_KEYS[kind]}: {', '.join(wrong)} "
      "lie elsewhere on the body; give the file that SPIN (h36m) or HMR (cocoplus) "
      "publishes."
    )
  return regressor


def _load(path: pathlib.Path, kind: str) -> Any:
  if not path.is_file():
    raise InputError(f"There is no joint regressor at {path}: name its file.")
  if path.suffix == ".npy":
    return npz.read_npy(path)
  if path.suffix not in (".npz", ".pkl"):
    raise InputError(f"{path} is neither .npy, .npz nor .pkl: name a regressor's file.")
  if path.suffix == ".npz":
    values = npz.read_npz(path)
  else:
    loaded = pickles.restricted_load(path)
    values = loaded if isinstance(loaded, dict) else {_KEYS[kind]: loaded}
  value = values.get(_KEYS[kind])
  if value is None and len(values) == 1:
    (value,) = values.values()
  if not (isinstance(value, np.ndarray) or sparse.issparse(value)):
    raise InputError(f"{path} has no array {_KEYS[kind]}: name a regressor's file.")
  return value


def _shaped(
  value: Any, shape: tuple[int, int], path: pathlib.Path
) -> Float[np.ndarray, "K V"]:
  if value.shape not in (shape, shape[::-1]):
    raise InputError(
      f"{path} is of shape {value.shape}, not {shape}: it is for another mesh than the "
      "body's, or gives other joints."
    )
  dense = value.toarray() if sparse.issparse(value) else value
  # NaN compares as False.
  if dense.dtype.kind not in "fiu" or not (np.abs(dense) < _LARGEST).all():
    raise InputError(f"{path} holds something else than finite numbers.")
  dense = dense.astype(np.float64)
  return dense if dense.shape == shape else dense.T


def _misplaced(
  points: Float[np.ndarray, "K 3"], names: tuple[str, ...], body: smpl.SmplModel
) -> list[str]:
  """Returns the names of rows whose points lie elsewhere on the unposed body."""
  at = dict(zip(names, points, strict=True))
  template = np.asarray(body.joint_template, np.float64)
  wrong = set()
  for name, point in at.items():
    side = {"left": 1, "right": -1}.get(name.split("_")[0], 0)
    # SMPL's left side is at positive x.
    if side * point[0] < 0 or (not side and abs(point[0]) > _MIDDLE):
      wrong.add(name)
    if name in joints.SMPL_JOINTS:
      place = template[joints.SMPL_JOINTS.index(name)]
      if np.linalg.norm(point - place) > _TOLERANCE:
        wrong.add(name)
  upwards = [name for name in _UPWARDS if name in at]
  for lower, higher in itertools.pairwise(upwards):
    if at[lower][1] >= at[higher][1]:
      wrong |= {lower, higher}
  return [name for name in names if name in wrong]
