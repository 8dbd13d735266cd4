"""Smooths a network's outputs along a file of video, without delay.

Each frame becomes the Gaussian mean of the frames around it in its segment. Motion that
is slower than the Gaussian stays; a detector's flicker does not.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import gaussian_filter1d

from mhmr_jax.inference.streaming import CropOutputs

# The standard deviation of the Gaussian, in frames of the rate that networks are given.
_FRAMES = 1.5
_MIN_SCALE = 1e-3


def smooth(outputs: CropOutputs) -> CropOutputs:
  """Smooths all outputs of the network except the shape; the crops stay.

  The smooth rotations take the place of the others, which are most of the memory.
  """
  rotations = outputs.rotations
  for joint in range(rotations.shape[1]):  # One after the other, to save memory.
    means = _along(rotations[:, joint], outputs.segment)
    rotations[:, joint] = nearest_rotations(means)
  half = (outputs.box[:, 2:] - outputs.box[:, :2]).mean(axis=1) / 2
  centre = (outputs.box[:, :2] + outputs.box[:, 2:]) / 2
  # Crops differ from chunk to chunk: cameras are smoothed in image pixels.
  scale = half * np.maximum(outputs.camera[:, 0], _MIN_SCALE)
  pelvis = centre + scale[:, None] * outputs.camera[:, 1:]
  scale = np.exp(_along(np.log(scale), outputs.segment))
  pelvis = _along(pelvis, outputs.segment)
  shift = (pelvis - centre) / scale[:, None]
  camera = np.concatenate([(scale / half)[:, None], shift], axis=-1)
  gravity = _along(outputs.gravity, outputs.segment)
  # Directions that are opposite would have a mean without a direction.
  length = np.maximum(np.linalg.norm(gravity, axis=1, keepdims=True), _MIN_SCALE)
  return outputs._replace(
    rotations=rotations,
    camera=camera.astype(np.float32),
    gravity=(gravity / length).astype(np.float32),
    standing=_along(outputs.standing, outputs.segment).astype(np.float32),
  )


def _along(
  values: Float[np.ndarray, "frames *rest"], segment: Int[np.ndarray, "frames"]
) -> Float[np.ndarray, "frames *rest"]:
  """The Gaussian mean over time within each segment, repeating its first and last."""
  smoothed = np.empty_like(values, np.float64)
  for number in np.unique(segment):
    own = segment == number
    smoothed[own] = gaussian_filter1d(
      values[own].astype(np.float64), _FRAMES, axis=0, mode="nearest"
    )
  return smoothed


def nearest_rotations(
  matrices: Float[np.ndarray, "*batch 3 3"],
) -> Float[np.ndarray, "*batch 3 3"]:
  """The rotations that are nearest to matrices, such as means of rotations."""
  u, _, vt = np.linalg.svd(matrices)
  sign = np.sign(np.linalg.det(u @ vt))
  u[..., -1] *= sign[..., None]
  return u @ vt
