"""Dense optical flow on the CPU by OpenCV's Dense Inverse Search (Kroeger, 2016)."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from mhmr_jax.errors import InputError

PRESETS = {
  "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
  "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
  "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}


class DisFlow:
  """Estimates flow from one image to the next, on the first one's pixel grid.

  It keeps no state between calls, so flow does not depend on earlier images. One
  object must not be shared between threads.

  Raises:
    InputError: there is no such preset.
  """

  def __init__(self, preset: str = "fast"):
    if preset not in PRESETS:
      raise InputError(
        f"There is no DIS preset {preset!r}: choose one of {', '.join(PRESETS)}."
      )
    self._estimator = cv2.DISOpticalFlow.create(PRESETS[preset])

  def __call__(
    self,
    image: UInt8[np.ndarray, "height width *channels"],
    following: UInt8[np.ndarray, "height width *channels"],
  ) -> Float[np.ndarray, "height width 2"]:
    """The displacement of each pixel of `image` to its place in `following`, px."""
    # OpenCV takes the third array as its initial guess, which is zero by default.
    guess = np.zeros((*image.shape[:2], 2), np.float32)
    return np.asarray(self._estimator.calc(grey(image), grey(following), guess))


def grey(
  image: UInt8[np.ndarray, "height width *channels"],
) -> UInt8[np.ndarray, "height width"]:
  """An RGB or grey image as the grey one that flow is estimated on."""
  if image.ndim == 2:
    return np.ascontiguousarray(image)
  return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
