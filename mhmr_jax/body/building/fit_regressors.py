"""Fits the regressors of joints and keypoints from a body's vertices."""

import numpy as np
import scipy.optimize
from jaxtyping import Float, Int

from mhmr_jax.body import joints

# How many of the nearest vertices may carry a joint, and how many of them do.
REACH, SIZE = 300, 30
# Metres: the weight of the regularisation that spreads a joint over more vertices.
SPREAD = 0.003


def fit_joints(
  vertices: Float[np.ndarray, "c v 3"],
  places: Float[np.ndarray, "c 24 3"],
  mirror: Int[np.ndarray, " v"],
) -> Float[np.ndarray, "24 v"]:
  """Fits non-negative weights over nearby vertices that give every adult's joints."""
  regressor = np.zeros((24, vertices.shape[1]))
  for joint, other in enumerate(joints.SMPL_FLIP):
    if other < joint:
      regressor[joint] = regressor[other][mirror]
      continue
    points = vertices
    if other == joint:
      points = (vertices + vertices[:, mirror] * np.array([-1, 1, 1])) / 2
    distance = np.linalg.norm(points.mean(0) - places[:, joint].mean(0), axis=1)
    near = np.argsort(distance, kind="stable")[:REACH]
    regressor[joint, near] = _mixture(points[:, near], places[:, joint])
    if other == joint:
      regressor[joint] = (regressor[joint] + regressor[joint][mirror]) / 2
  return regressor


def fit_keypoints(
  vertices: Float[np.ndarray, "c v 3"],
  eyes: Float[np.ndarray, "c 3"],
  regressor: Float[np.ndarray, "24 v"],
  weights: Float[np.ndarray, "v 24"],
  mirror: Int[np.ndarray, " v"],
) -> Float[np.ndarray, "17 v"]:
  """Fits COCO's keypoints to where its annotators and detectors place them.

  Keypoints of the limbs are SMPL's joints. The hips lie a fifth of the way from the
  joint to the body's side, some 24 cm apart, where detectors place them.
  """
  mean = vertices.mean(0)
  rows = np.zeros((17, len(mean)))
  for keypoint, joint in joints.COCO_FROM_SMPL.items():
    rows[keypoint] = regressor[joint]
  point = joints.COCO_KEYPOINTS.index

  head = weights[:, joints.SMPL_JOINTS.index("head")] > 0.5
  middle = mirror == np.arange(len(mean))
  rows[point("nose"), np.where(head & middle, mean[:, 2], -np.inf).argmax()] = 1
  near = np.argsort(np.linalg.norm(mean - eyes.mean(0), axis=1), kind="stable")[:20]
  rows[point("left_eye"), near] = _mixture(vertices[:, near], eyes)
  ear = np.argsort(np.where(head, -mean[:, 0], np.inf), kind="stable")[:12]
  rows[point("left_ear"), ear] = 1 / len(ear)

  hip = point("left_hip")
  level = np.abs(mean[:, 1] - rows[hip] @ mean[:, 1]) < 0.03
  side = np.argsort(np.where(level, -mean[:, 0], np.inf), kind="stable")[:6]
  rows[hip] *= 0.8
  rows[hip, side] += 0.2 / len(side)
  for name in ("eye", "ear", "hip"):
    rows[point(f"right_{name}")] = rows[point(f"left_{name}")][mirror]
  return rows


def _mixture(points: np.ndarray, target: np.ndarray) -> np.ndarray:
  """Fits the convex combination of `points` [c, k, 3] closest to `target` [c, 3]."""
  offsets = (points - target[:, None]).transpose(0, 2, 1).reshape(-1, points.shape[1])
  # Regularisation towards equal weights.
  spread = SPREAD**2 * np.eye(points.shape[1])
  gram = offsets.T @ offsets / len(points) + spread
  weights = _convex_weights(gram)
  chosen = np.argsort(-weights, kind="stable")[:SIZE]
  weights = np.zeros(len(weights))
  weights[chosen] = _convex_weights(gram[np.ix_(chosen, chosen)])
  return weights


def _convex_weights(gram: np.ndarray) -> np.ndarray:
  """The w >= 0 with sum 1 that minimises w' gram w."""
  # The last row enforces the sum, with a hundred times the weight of a metre.
  system = np.append(np.linalg.cholesky(gram).T, np.full((1, len(gram)), 1e2), axis=0)
  weights, _ = scipy.optimize.nnls(system, np.append(np.zeros(len(gram)), 1e2))
  return weights / weights.sum()
