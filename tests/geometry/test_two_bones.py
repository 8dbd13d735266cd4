"""Limbs of two bones that reach for a point."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.geometry import two_bones

COUNT = 200


def make_legs(seed=0):
  """Legs of random directions, bent about their hinge."""
  rng = np.random.default_rng(seed)
  turn = Rotation.random(COUNT, rng).as_matrix()
  hinge = turn[:, :, 0]
  upper = turn @ [0.02, -0.41, 0.01]
  bend = Rotation.from_rotvec(hinge * rng.uniform(0.2, 1.5, (COUNT, 1))).as_matrix()
  lower = np.einsum("nij,nj->ni", bend, turn @ [0.01, -0.42, -0.02])
  root = rng.normal(size=(COUNT, 3))
  return root, root + upper, root + upper + lower, hinge


def bent_end(root, middle, end, bend):
  upper = np.einsum("nij,nj->ni", bend.upper, middle - root)
  return root + upper + np.einsum("nij,nj->ni", bend.lower, end - middle)


def test_the_end_reaches_its_target():
  root, middle, end, hinge = make_legs()
  target = end + np.random.default_rng(1).uniform(-0.05, 0.05, end.shape)
  bend = two_bones.reach(root, middle, end, hinge, target)
  within = np.linalg.norm(target - root, axis=1) < 0.82
  assert within.sum() > 100
  found = bent_end(root, middle, end, bend)
  np.testing.assert_allclose(found[within], target[within], atol=1e-6)
  for matrices in bend:
    product = matrices @ np.swapaxes(matrices, -1, -2)
    np.testing.assert_allclose(product, np.tile(np.eye(3), (COUNT, 1, 1)), atol=1e-9)


def test_a_target_where_the_end_is_changes_nothing():
  legs = make_legs()
  bend = two_bones.reach(*legs, legs[2])
  for matrices in bend:
    np.testing.assert_allclose(matrices, np.tile(np.eye(3), (COUNT, 1, 1)), atol=1e-6)


def test_a_target_out_of_reach_straightens_the_limb_towards_it():
  root, middle, end, hinge = make_legs()
  target = root + 3 * (end - root)
  bend = two_bones.reach(root, middle, end, hinge, target)
  reached = bent_end(root, middle, end, bend) - root
  length = np.linalg.norm(reached, axis=1)
  assert length.min() > 0.82
  cosine = np.sum(reached * (end - root), axis=1) / length
  np.testing.assert_allclose(cosine, np.linalg.norm(end - root, axis=1), rtol=1e-9)


def test_a_rotation_of_all_points_rotates_the_bend():
  legs = make_legs()
  target = legs[2] + [0.03, 0.02, -0.04]
  turn = Rotation.random(random_state=2).as_matrix()
  before = two_bones.reach(*legs, target)
  after = two_bones.reach(*(points @ turn.T for points in (*legs, target)))
  for one, other in zip(before, after, strict=True):
    np.testing.assert_allclose(turn @ one @ turn.T, other, atol=1e-7)


@pytest.mark.parametrize("degrees", [0.0, 1.0, 90.0, 179.0])
def test_the_shortest_turn_has_the_angle_between_the_vectors(degrees):
  angle = np.radians(degrees)
  start, end = np.array([[0, 0, 2.0]]), np.array([[np.sin(angle), 0, np.cos(angle)]])
  turn = two_bones.shortest_turn(start, end)
  np.testing.assert_allclose(turn[0] @ start[0], 2 * end[0], atol=1e-9)
  found = Rotation.from_matrix(turn[0]).magnitude()
  np.testing.assert_allclose(found, angle, atol=1e-9)
