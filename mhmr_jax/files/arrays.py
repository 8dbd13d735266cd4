"""Checks the arrays that were read from a file before they are used."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from mhmr_jax.errors import InputError


def read_array(
  data: Mapping[str, Any],
  path: str | os.PathLike[str],
  key: str,
  shape: tuple[int | None, ...],
  finite: bool = True,
) -> Float[np.ndarray, "..."]:
  """Returns one array of a file in float64, after a check of its form.

  Args:
    data: what was read from the file, by key.
    path: the path of the file, for messages.
    key: names the array.
    shape: the shape that is needed, in which None fits any length.
    finite: whether infinity and NaN are refused.

  Raises:
    InputError: it is absent, no array of numbers, or of another shape.
  """
  if key not in data:
    raise InputError(f"{path} has no {key}: give the file as its authors publish it")
  value = data[key]
  if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
    kind = getattr(value, "dtype", type(value).__name__)
    raise InputError(f"{key} of {path} is {kind}, not an array of numbers")
  fits = len(shape) == value.ndim and all(
    wanted in (None, length) for wanted, length in zip(shape, value.shape, strict=True)
  )
  if not fits:
    wanted = ", ".join("any" if n is None else str(n) for n in shape)
    raise InputError(f"{key} of {path} has shape {value.shape}, not ({wanted})")
  # Beyond float32 a number is not finite where it is used; NaN compares as False.
  if finite and not (np.abs(value) <= np.finfo(np.float32).max).all():
    raise InputError(f"{key} of {path} holds something else than finite numbers")
  return value.astype(np.float64)
