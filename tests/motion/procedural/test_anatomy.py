import numpy as np

from mhmr_jax.motion.procedural import anatomy


def test_inverse_kinematics_reaches_what_is_in_reach():
  rng = np.random.default_rng(0)
  for limb in (anatomy.leg(), anatomy.arm()):
    length = np.linalg.norm(limb.upper) + np.linalg.norm(limb.lower)
    target = rng.normal(size=(200, 3))
    target *= rng.uniform(0.35, 0.95, (200, 1)) * length
    target /= np.linalg.norm(target, axis=-1, keepdims=True) / 1.0
    target *= rng.uniform(0.35, 0.95, (200, 1)) * length
    pole = rng.normal(size=(200, 3))
    upper, bend = anatomy.reach(limb, target, pole)
    lower = anatomy.rotation(bend[:, None] * limb.hinge) @ limb.lower
    end = np.einsum("nij,nj->ni", upper, limb.upper + lower)
    np.testing.assert_allclose(end, target, atol=1e-6)
    # The middle joint is on the pole's side.
    assert (
      np.einsum("nj,nj->n", upper @ limb.upper, pole)
      >= np.einsum("nj,nj->n", _along(upper @ limb.upper, target), pole) - 1e-9
    ).all()


def _along(vector, direction):
  unit = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
  return np.sum(vector * unit, axis=-1, keepdims=True) * unit
