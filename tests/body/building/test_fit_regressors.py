import numpy as np

from mhmr_jax.body import joints
from mhmr_jax.body.building import fit_regressors


def test_joints_of_random_clouds_are_found_and_mirror_each_other():
  rng = np.random.default_rng(0)
  half = rng.uniform(-1, 1, (24, 12, 3)) * 0.05
  middle = np.array(joints.SMPL_FLIP) == np.arange(24)
  centres = np.stack([np.where(middle, 0, 0.5), np.arange(24), np.zeros(24)], axis=1)
  points = (centres[:, None] + half).reshape(-1, 3)
  points = np.concatenate([points, points * [-1, 1, 1]])
  mirror = np.roll(np.arange(len(points)), len(points) // 2)
  people = points + 0.02 * rng.normal(size=(40, *points.shape))
  people = (people + people[:, mirror] * [-1, 1, 1]) / 2
  truth = np.zeros((24, len(points)))
  for joint, other in enumerate(joints.SMPL_FLIP):
    own = np.arange(12 * joint, 12 * joint + 12)
    if joint == other:
      truth[joint, own] = truth[joint, mirror[own]] = 1 / 24
    elif joint < other:
      truth[joint, own] = 1 / 12
      truth[other, mirror[own]] = 1 / 12
  places = np.einsum("jv,cvi->cji", truth, people)
  fitted = fit_regressors.fit_joints(people, places, mirror)
  error = np.einsum("jv,cvi->cji", fitted, people) - places
  assert np.linalg.norm(error, axis=-1).max() < 0.002
  assert fitted.min() >= 0
  np.testing.assert_allclose(fitted.sum(1), 1)
  np.testing.assert_array_equal(fitted[list(joints.SMPL_FLIP)][:, mirror], fitted)
