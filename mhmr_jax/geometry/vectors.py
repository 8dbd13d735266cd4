"""Vectors in NumPy."""

import numpy as np
from jaxtyping import Float


def unit(vectors: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
  """Vectors of length 1 in the same directions; zeros stay zeros."""
  length = np.linalg.norm(vectors, axis=-1, keepdims=True)
  return vectors / np.maximum(length, 1e-12)
