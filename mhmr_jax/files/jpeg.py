"""Reads stored JPEG frames."""

import contextlib

import cv2
import numpy as np

from mhmr_jax.errors import InputError


def decode(data: bytes, colour: bool) -> np.ndarray:
  """A stored JPEG to RGB or grey pixels."""
  mode = cv2.IMREAD_COLOR_RGB if colour else cv2.IMREAD_GRAYSCALE
  image = None
  with contextlib.suppress(cv2.error):  # Of no bytes at all.
    image = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
  if image is None:
    raise InputError("A stored frame is not a JPEG image: the clip is damaged.")
  return image
