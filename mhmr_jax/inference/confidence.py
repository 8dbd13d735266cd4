"""How far a person's motion can be trusted in each row, from 0 to 1.

The confidence is a product of two factors that need no ground truth: the mean score of
the keypoints, and the body's agreement with them, 1 / (1 + (d / 0.1)²). Here d is the
mean distance, weighted by the scores, as a share of the body's size in the image. So
the confidence is a half if the keypoints have full scores and the body is off by a
tenth of its size. A row without keypoints has the confidence of the nearest rows that
have them, interpolated by time, times exp(-t / 0.3 s) for the time t to the nearer one.
"""

import numpy as np
from jaxtyping import Bool, Float

from mhmr_jax.body import host_joints, posed_frames, posed_keypoints, smpl
from mhmr_jax.geometry import pinhole
from mhmr_jax.runtime.batching import blocks

_HALF = 0.1  # The distance at which the agreement is a half, as a share of the size.
_FADE = 0.3  # s.
_MIN_DEPTH = 0.1  # m.
_MIN_SIZE = 1.0  # px.
_ROWS = 256  # Rows that are computed at once, to save memory.


def body_keypoints(
  body: smpl.SmplModel,
  moments: posed_keypoints.KeypointMoments,
  pose: Float[np.ndarray, "N 24 3"],
  betas: Float[np.ndarray, "N 10"],
  transl_camera: Float[np.ndarray, "N 3"],
  intrinsics: Float[np.ndarray, "*N 3 3"],
) -> Float[np.ndarray, "N 17 2"]:
  """The projections of the body's own COCO-17, px.

  Args:
    body: the body whose shape `betas` are.
    moments: the `posed_keypoints.moments` of the body.
    pose: axis-angle; entry 0 is in the camera frame.
    betas: the shape.
    transl_camera: SMPL's `transl` in the camera frame, metres.
    intrinsics: those of the video, or of each row.
  """
  projected = np.empty((len(pose), 17, 2), np.float32)
  for at in blocks(len(pose), _ROWS):
    rotations = posed_frames.matrices(pose[at])
    posed = host_joints.bones(body, rotations, betas[at])
    points = host_joints.keypoints(moments, posed, rotations, betas[at])
    points += transl_camera[at, None]
    points[..., 2] = np.maximum(points[..., 2], _MIN_DEPTH)
    own = np.broadcast_to(intrinsics, (len(pose), 3, 3))[at]
    projected[at] = pinhole.project(points, own[:, None])
  return projected


def measure(
  found: Float[np.ndarray, "N 17 3"],
  keypoints: Float[np.ndarray, "N 17 2"],
  detected: Bool[np.ndarray, "N"],
  times: Float[np.ndarray, "N"],
) -> Float[np.ndarray, "N"]:
  """The confidence in each row.

  Args:
    found: COCO-17 as found: x, y px, score; a score of 0 for a missing point.
    keypoints: the projections of the body's own, px.
    detected: whether a row's keypoints were found at all.
    times: the times of the rows, ascending, s.
  """
  score = np.clip(found[..., 2], 0, 1)
  size = np.maximum(np.linalg.norm(np.ptp(keypoints, axis=1), axis=-1), _MIN_SIZE)
  distance = np.linalg.norm(found[..., :2] - keypoints, axis=-1)
  total = np.maximum(score.sum(axis=1), 1e-9)
  apart = (score * distance).sum(axis=1) / total / size
  own = score.mean(axis=1) / (1 + np.square(apart / _HALF))
  rows = np.flatnonzero(detected & (score.sum(axis=1) > 0))
  if not len(rows):
    return np.zeros(len(times), np.float32)
  between = np.interp(times, times[rows], own[rows])
  after = np.searchsorted(rows, np.arange(len(times))).clip(0, len(rows) - 1)
  before = np.maximum(after - 1, 0)
  away = np.minimum(
    np.abs(times[rows[after]] - times), np.abs(times - times[rows[before]])
  )
  return (between * np.exp(-away / _FADE)).astype(np.float32)
