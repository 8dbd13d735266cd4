"""Flow as images: KITTI's 16-bit PNG for storage, a colour wheel for pictures."""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

# KITTI 2015's encoding: 64 steps a pixel, zero flow at 2^15; its channels in the
# file are R = u, G = v, B = valid, which cv2 writes from BGR arrays.
_STEPS = 64.0
_ZERO = 2.0**15
# One filter for all rows encodes twice as fast as the choice of the best for each,
# in about the same number of bytes.
_PNG_OPTIONS = (
  *(cv2.IMWRITE_PNG_COMPRESSION, 1),
  *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
  *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
)


def encode_png(
  flow: Float[np.ndarray, "height width 2"],
  valid: Bool[np.ndarray, "height width"] | None = None,
) -> bytes:
  """Flow in pixels to a PNG as KITTI's: exact to 1/128 px, clipped at +-511 px.

  Args:
    flow: u (right) and v (down).
    valid: False where the flow is not known; None where all of it is.
  """
  steps = np.rint(flow * np.float32(_STEPS)) + np.float32(_ZERO)
  u, v = cv2.split(np.clip(steps, 0, 2**16 - 1, out=steps).astype(np.uint16))
  known = np.ones_like(u) if valid is None else valid.astype(np.uint16)
  image = cv2.merge((known, v, u))
  return cv2.imencode(".png", image, _PNG_OPTIONS)[1].tobytes()


def decode_png(data: bytes) -> Float[np.ndarray, "height width 2"]:
  """Flow in pixels from a PNG as KITTI's, whether marked valid or not.

  Raises:
    ValueError: where the bytes are no 16-bit PNG of three channels.
  """
  return decode_png_with_valid(data)[0]


def decode_png_with_valid(
  data: bytes,
) -> tuple[Float[np.ndarray, "height width 2"], Bool[np.ndarray, "height width"]]:
  """As `decode_png`, and where the flow is known."""
  image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
  if image is None or image.dtype != np.uint16 or image.ndim != 3:
    raise ValueError("the flow is not a 16-bit PNG of three channels")
  flow = (image[..., 2:0:-1].astype(np.float32) - _ZERO) / _STEPS
  return flow, image[..., 0] > 0


def colour(
  flow: Float[np.ndarray, "*shape 2"], maximum: float | None = None
) -> UInt8[np.ndarray, "*shape 3"]:
  """Flow as RGB: the direction is the hue, the speed the saturation, still is white.

  Args:
    flow: pixels a frame.
    maximum: the speed drawn in full colour; None: the largest in `flow`.
  """
  speed = np.linalg.norm(flow, axis=-1)
  if maximum is None:
    maximum = float(speed.max())
  hue = np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi) % 1.0
  saturation = np.clip(speed / max(maximum, 1e-6), 0, 1)
  # Each channel is a clipped triangle wave of the hue, a third of a turn apart.
  phase = hue[..., None] * 6 + np.array([0.0, 4.0, 2.0])
  pure = np.clip(np.abs(phase % 6 - 3) - 1, 0, 1)
  return np.rint(255 * (1 - saturation[..., None] * (1 - pure))).astype(np.uint8)
