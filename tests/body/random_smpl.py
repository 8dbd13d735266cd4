"""A random body in SMPL's form, for tests that must not depend on the body."""

import numpy as np

from mhmr_jax.body import joints


def arrays(num_vertices: int, seed: int = 0) -> dict[str, np.ndarray]:
  """The arrays of a body model in the types that SMPL's official files have."""
  rng = np.random.default_rng(seed)
  weights = rng.random((num_vertices, 24)) ** 8
  regressor = rng.random((24, num_vertices)) ** 30
  regressor[regressor < 0.1 * regressor.max(1, keepdims=True)] = 0
  kintree_table = np.stack([joints.SMPL_PARENTS, np.arange(24)]).astype(np.uint32)
  data = {
    "v_template": rng.normal(0, 0.3, (num_vertices, 3)),
    "shapedirs": rng.normal(0, 0.03, (num_vertices, 3, 10)),
    "posedirs": rng.normal(0, 0.01, (num_vertices, 3, 207)),
    "J_regressor": regressor / regressor.sum(1, keepdims=True),
    "weights": weights / weights.sum(1, keepdims=True),
    "kintree_table": kintree_table,
    "f": rng.integers(0, num_vertices, (2 * num_vertices, 3)).astype(np.uint32),
  }
  if num_vertices != 6890:
    keypoint_regressor = np.zeros((17, num_vertices))
    keypoint_regressor[range(17), rng.choice(num_vertices, 17)] = 1
    data["keypoint_regressor"] = keypoint_regressor
  return data


def inputs(batch: tuple[int, ...], seed: int = 1) -> tuple[np.ndarray, ...]:
  """Random pose, betas and transl."""
  rng = np.random.default_rng(seed)
  shapes = ((24, 3), 0.6), ((10,), 1.0), ((3,), 2.0)
  return tuple(
    rng.normal(0, scale, (*batch, *shape)).astype(np.float32) for shape, scale in shapes
  )
