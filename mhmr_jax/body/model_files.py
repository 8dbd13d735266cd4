"""Reads the files of body models: SMPL's `.pkl`, or an `.npz` with the same arrays."""

import math
import pathlib
from typing import Any

import numpy as np
from scipy import sparse

from mhmr_jax.errors import InputError
from mhmr_jax.files import npz, pickles

# The most bytes that one array may unfold to; SMPL's 300 shapes take 50 MB.
_MAX_BYTES = 1 << 30


def read_model(path: str | pathlib.Path) -> dict[str, np.ndarray]:
  """Reads the arrays of an `.npz` or of a `.pkl` that holds a dict, sparse ones too.

  Raises:
    InputError: the file is missing, damaged, hostile, or of another kind.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise InputError(f"there is no body model at {path}: give SMPL's .pkl or .npz")
  if path.suffix == ".npz":
    return npz.read_npz(path)
  if path.suffix != ".pkl":
    raise InputError(f"{path} is neither .pkl nor .npz: give a file of SMPL's")
  values = pickles.restricted_load(path)
  if not isinstance(values, dict):
    raise InputError(f"{path} does not hold a dict of arrays: give a file of SMPL's")
  return {
    key: _dense(value, f"{key} of {path}")
    for key, value in values.items()
    if isinstance(value, np.ndarray) or sparse.issparse(value)
  }


def _dense(value: Any, name: str) -> np.ndarray:
  if math.prod(value.shape) * value.dtype.itemsize > _MAX_BYTES:
    raise InputError(f"{name} has shape {value.shape}, too large for a body model")
  return value.toarray() if sparse.issparse(value) else value
