"""Writes `prediction.npz`: the fields of `schema.Motion` as NumPy arrays."""

import pathlib

import numpy as np

from mhmr_jax.files import atomic
from mhmr_jax.schema import Motion


def write(path: pathlib.Path, motion: Motion) -> None:
  """Writes a compressed .npz file with an array for each field, by its name.

  Raises:
    InputError: the file cannot be written.
  """
  with atomic.whole(path) as partial:
    np.savez_compressed(partial, **motion._asdict())
