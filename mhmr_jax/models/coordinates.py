"""Keypoints as coordinates: the features of each frame's points, without a picture.

The points are placed in a crop of the network's own, which follows the person smoothly
and causally, so that nothing jumps where one chunk of frames ends. The crop's place in
the camera (CLIFF, Li et al. 2022) is a feature too: the same pose looks different at
the side of the image.
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

# Points with lower scores count as missing.
_MIN_SCORE = 0.05
# The crop moves by this share of its past place and size from one frame to the next.
_PERSISTENCE = 0.8
# The weight of a stream's frames so far, above which the crop follows them.
_BEGUN = 1e-6
# A frame with fewer points does not move the crop.
_MIN_POINTS = 4
# Features are clipped to these magnitudes, and scaled to be of the order of 1.
_MAX_PLACE, _MAX_SPEED, _MAX_MOTION = 3.0, 0.5, 3.0
_SPEED_UNIT, _MOTION_UNIT, _ZOOM_UNIT = 5.0, 5.0, 10.0
# A person's size in focal lengths, about.
_TYPICAL_SIZE = 0.2


class CropState(NamedTuple):
  """The state of a stream's crop, in focal lengths off the principal point."""

  weight: Float[Array, "batch"]  # The frames' so far; 0 at the start of a stream.
  centre: Float[Array, "batch 2"]  # The weighted sum.
  size: Float[Array, "batch"]  # The weighted sum of half the box's longer side.
  points: Float[Array, "batch 17 3"]  # The last frame's; 1 where one is known.


class SmoothCrop(NamedTuple):
  """The crop of every frame, in focal lengths off the principal point."""

  centre: Float[Array, "batch time 2"]
  size: Float[Array, "batch time"]  # Half of the crop's side.
  begun: Bool[Array, "batch time"]  # False as long as it is the blank one.


def initial_state(batch_size: int) -> CropState:
  """The state at the start of a stream."""
  return CropState(
    weight=jnp.zeros(batch_size),
    centre=jnp.zeros((batch_size, 2)),
    size=jnp.zeros(batch_size),
    points=jnp.zeros((batch_size, 17, 3)),
  )


def in_camera(
  keypoints: Float[Array, "batch time 17 3"], window: Float[Array, "batch 3"], size: int
) -> Float[Array, "batch time 17 3"]:
  """Converts crop pixels to focal lengths off the principal point; scores stay."""
  centre, half = window[:, None, None, :2], window[:, None, None, 2:]
  place = centre + half * (keypoints[..., :2] * (2 / size) - 1)
  return jnp.concatenate([place, keypoints[..., 2:]], axis=-1)


def follow(
  points: Float[Array, "batch time 17 3"],
  state: CropState,
  blank: Float[Array, "batch 3"],
) -> tuple[SmoothCrop, CropState]:
  """Lets the crop follow the points.

  Args:
    points: as `in_camera` returns them.
    state: the state after the frames before.
    blank: the crop [x, y, half side] until the first frame with enough points.

  Returns:
    The crops, and the state after these frames.
  """
  known = points[..., 2:] > _MIN_SCORE
  low = jnp.min(jnp.where(known, points[..., :2], jnp.inf), axis=2)
  high = jnp.max(jnp.where(known, points[..., :2], -jnp.inf), axis=2)
  boxed = jnp.sum(known[..., 0], axis=-1) >= _MIN_POINTS
  centre = jnp.where(boxed[..., None], (low + high) / 2, 0.0)
  half = jnp.where(boxed, jnp.max(high - low, axis=-1) / 2, 0.0)

  # An exponential mean as one product over the frames.
  frames = points.shape[1]
  lag = np.arange(frames)[:, None] - np.arange(frames)
  decay = jnp.asarray(np.where(lag >= 0, _PERSISTENCE ** np.maximum(lag, 0), 0.0))
  past = jnp.asarray(_PERSISTENCE ** np.arange(1, frames + 1))

  def mean_of(values: Array, before: Array) -> Array:
    flat = values.reshape(*values.shape[:2], -1)
    carried = past[None, :, None] * before.reshape(before.shape[0], 1, -1)
    summed = carried + jnp.sum(decay[None, :, :, None] * flat[:, None], axis=2)
    return jnp.reshape(summed, values.shape)

  weight = mean_of(boxed.astype(jnp.float32), state.weight)
  sums = mean_of(centre, state.centre), mean_of(half, state.size)
  begun = weight > _BEGUN
  safe = jnp.where(begun, weight, 1.0)
  crop = SmoothCrop(
    centre=jnp.where(begun[..., None], sums[0] / safe[..., None], blank[:, None, :2]),
    size=jnp.maximum(jnp.where(begun, sums[1] / safe, blank[:, None, 2]), 1e-3),
    begun=begun,
  )
  last = jnp.concatenate([points[:, -1, :, :2], known[:, -1]], axis=-1)
  return crop, CropState(weight[:, -1], sums[0][:, -1], sums[1][:, -1], last)


def features(
  points: Float[Array, "batch time 17 3"], crop: SmoothCrop, state: CropState
) -> Float[Array, "batch time 91"]:
  """Each point's place, velocity and score in the crop; the crop's motion and place.

  Args:
    points: as `in_camera` returns them.
    crop: the crops of the same frames.
    state: after the frames before.
  """
  centre, size = crop.centre[:, :, None], crop.size[:, :, None, None]
  known = points[..., 2:] > _MIN_SCORE
  place = jnp.where(known, (points[..., :2] - centre) / size, 0.0)
  before = jnp.concatenate(
    [state.points[:, None, :, :2], points[:, :-1, :, :2]], axis=1
  )
  known_before = jnp.concatenate(
    [state.points[:, None, :, 2:] > 0, known[:, :-1]], axis=1
  )
  velocity = jnp.where(known & known_before, (points[..., :2] - before) / size, 0.0)
  score = jnp.where(known, points[..., 2:], 0.0)
  per_point = [
    jnp.clip(place, -_MAX_PLACE, _MAX_PLACE),
    _SPEED_UNIT * jnp.clip(velocity, -_MAX_SPEED, _MAX_SPEED),
    score,
  ]
  by_point = jnp.concatenate(per_point, axis=-1).reshape(*points.shape[:2], 85)
  motion = _motion(crop, state)
  where = [2 * crop.centre, jnp.log(crop.size / _TYPICAL_SIZE)[..., None]]
  return jnp.concatenate(
    [by_point, jnp.clip(motion, -_MAX_MOTION, _MAX_MOTION), *where], axis=-1
  )


def _motion(crop: SmoothCrop, state: CropState) -> Float[Array, "batch time 3"]:
  """The crop's motion and growth since the frame before; zero as long as it is blank.

  Where a chunk starts, the crop before it is that of the state. A blank crop is the
  chunk's own window, so that a step from it would depend on how frames are divided.
  """
  begun = jnp.concatenate([state.weight[:, None] > _BEGUN, crop.begun[:, :-1]], axis=1)
  begun = begun & crop.begun
  weight = jnp.maximum(state.weight, _BEGUN)[:, None]
  centre_before = jnp.concatenate(
    [state.centre[:, None] / weight[..., None], crop.centre[:, :-1]], axis=1
  )
  size_before = jnp.concatenate([state.size[:, None] / weight, crop.size[:, :-1]], 1)
  moved = _MOTION_UNIT * (crop.centre - centre_before) / crop.size[..., None]
  zoomed = _ZOOM_UNIT * jnp.log(crop.size / jnp.maximum(size_before, 1e-3))
  motion = jnp.concatenate([moved, zoomed[..., None]], axis=-1)
  return jnp.where(begun[..., None], motion, 0.0)


class PointEncoder(nn.Module):
  """Two dense layers on the points' features, the second one residual."""

  width: int = 512
  dtype: DTypeLike = jnp.float32  # The products'; parameters are float32.

  @nn.compact
  def __call__(
    self, x: Float[Array, "batch time 91"]
  ) -> Float[Array, "batch time width"]:
    """Encodes each frame by itself."""
    dense = lambda name: nn.Dense(
      self.width, dtype=self.dtype, kernel_init=nn.initializers.he_normal(), name=name
    )
    x = nn.relu(dense("hidden1")(x))
    x = x + nn.relu(dense("hidden2")(x))
    return nn.LayerNorm(name="norm")(x.astype(jnp.float32))
