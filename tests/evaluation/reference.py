"""Scores in plain NumPy and float64, a frame at a time: what evaluations must equal."""

import numpy as np

# The rows of a protocol's regressor (or of SMPL's 24 joints) that are its joints, and
# those whose mean is its root.
ROWS = {
  "spin": [6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10],
  "hmmr": list(range(14)),
  "smpl24": list(range(24)),
}
ROOT_ROWS = {"spin": [0], "hmmr": [2, 3], "smpl24": [0]}


def joints_and_root(protocol, points):
  """The protocol's joints relative to its root, and the root, from all rows."""
  root = points[..., ROOT_ROWS[protocol], :].mean(-2, keepdims=True)
  return (points - root)[..., ROWS[protocol], :], root[..., 0, :]


def aligned(points, target):
  """The points after Umeyama's similarity to the target (1991)."""
  a, b = points - points.mean(0), target - target.mean(0)
  U, D, Vt = np.linalg.svd(b.T @ a)
  S = np.diag([1, 1, np.sign(np.linalg.det(U) * np.linalg.det(Vt))])
  scale = np.trace(np.diag(D) @ S) / (a**2).sum()
  return scale * a @ (U @ S @ Vt).T + target.mean(0)


def distances_mm(points, target):
  """The distance of each point from its target, both in metres."""
  return 1000 * np.linalg.norm(points - target, axis=-1)


def acceleration_error(points, target, fps):
  """The mean error of second differences over three frames, mm/s^2."""
  before, now, after = (p - t for p, t in zip(points, target, strict=True))
  return 1000 * np.linalg.norm(before - 2 * now + after, axis=-1).mean() * fps**2
