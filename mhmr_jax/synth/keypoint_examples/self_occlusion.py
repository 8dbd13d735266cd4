"""Tells which keypoints the person's own body hides, approximated by capsules."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from mhmr_jax.body.joints import COCO_KEYPOINTS

_INDEX = {name: index for index, name in enumerate(COCO_KEYPOINTS)}
_SHOULDERS = np.array([_INDEX["left_shoulder"], _INDEX["right_shoulder"]])
_HIPS = np.array([_INDEX["left_hip"], _INDEX["right_hip"]])
_EARS = np.array([_INDEX["left_ear"], _INDEX["right_ear"]])
_TRUNK_RADIUS = 0.12  # Metres.
# How much farther than the trunk's axis, than the ears' middle (for nose and eyes) and
# than the other ear (for an ear) a hidden point lies, metres.
_BEHIND_TRUNK = 0.04
_BEHIND_EARS = 0.03
_BEHIND_EAR = 0.06


def hidden_points(
  points_camera: Float[Array, "time 17 3"],
) -> Bool[Array, "time 17"]:
  """Tells which of COCO's points the trunk or the head hides.

  Args:
    points_camera: metres, z away from the camera. Rays are taken to be parallel.
  """
  shoulders = jnp.mean(points_camera[:, _SHOULDERS], axis=1, keepdims=True)
  hips = jnp.mean(points_camera[:, _HIPS], axis=1, keepdims=True)
  axis = hips - shoulders
  length = jnp.sum(jnp.square(axis[..., :2]), axis=-1) + 1e-4
  along = jnp.sum((points_camera - shoulders)[..., :2] * axis[..., :2], axis=-1)
  share = jnp.clip(along / length, 0.0, 1.0)
  nearest = shoulders + share[..., None] * axis
  aside = jnp.sum(jnp.square((points_camera - nearest)[..., :2]), axis=-1)
  depth = points_camera[..., 2]
  hidden = (aside < _TRUNK_RADIUS**2) & (depth > nearest[..., 2] + _BEHIND_TRUNK)
  nose, ears = depth[:, :1], depth[:, _EARS]
  turned_away = nose > jnp.mean(ears, axis=-1, keepdims=True) + _BEHIND_EARS
  far_ear = ears > ears[:, ::-1] + _BEHIND_EAR
  face = jnp.concatenate([jnp.repeat(turned_away, 3, 1), far_ear], axis=1)
  return hidden.at[:, :5].set(face)
