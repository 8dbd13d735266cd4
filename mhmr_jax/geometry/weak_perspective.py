"""The weak-perspective camera [s, tx, ty], whose scale is the same at every depth."""

from typing import TypeVar

import numpy as np
from jaxtyping import Array, Float

_Array = TypeVar("_Array", np.ndarray, Array)


def project(
  points: Float[_Array, "*batch n 3"], camera: Float[_Array, "*batch 3"]
) -> Float[_Array, "*batch n 2"]:
  """Projects camera-frame points: s * (xy + t).

  Args:
    points: metres; x right, y down.
    camera: [s, tx, ty]; s maps metres to the units of the result: normalised crop
      units, in which the crop's corners are at -1 and 1, or pixels.
  """
  return camera[..., None, :1] * (points[..., :2] + camera[..., None, 1:])
