"""Alignment against a plain NumPy one, and gradients where SVD's own are infinite."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import strategies
from scipy.spatial.transform import Rotation

from mhmr_jax.geometry import procrustes
from tests.geometry import properties

# Compiled whole: op by op the tests take ten times as long.
nearest_rotation = jax.jit(procrustes.nearest_rotation)
jvp = jax.jit(lambda m, dm: jax.jvp(procrustes.nearest_rotation, (m,), (dm,))[1])
jacobian = jax.jit(jax.jacrev(procrustes.nearest_rotation))
align = jax.jit(procrustes.align)


@jax.jit
@functools.partial(jax.value_and_grad, argnums=(0, 1, 2))
def square_and_gradients(points, target, weights):
  return jnp.sum(jnp.square(procrustes.align(points, target, weights)))


@jax.jit
@functools.partial(jax.value_and_grad, argnums=(0, 1))
def product_and_gradients(points, target, cotangent):
  return jnp.vdot(procrustes.align(points, target), cotangent)


RANDOM = np.random.default_rng(0).normal(size=(6, 3, 3))
R = Rotation.from_rotvec([0.3, -0.5, 0.8]).as_matrix()
# Where the SVD is not unique, or the rotation itself is not.
DEGENERATE = {
  "zero": np.zeros((3, 3)),
  "identity": np.eye(3),
  "rotation": R,
  "reflection": -R,
  "rank one": np.outer([1.0, 2, 3], [2.0, 0, 1]),
  "rank two": R @ np.diag([2.0, 1, 0]),
  "two equal": R @ np.diag([2.0, 1, 1]),
  "two equal, reflected": R @ np.diag([2.0, 1, -1]),
}


def reference_align(points: np.ndarray, target: np.ndarray) -> np.ndarray:
  """Umeyama's method by SciPy: one set of points at a time."""
  mean, target_mean = points.mean(0), target.mean(0)
  centred = points - mean
  rotation, _ = Rotation.align_vectors(target - target_mean, centred)
  moved = rotation.apply(centred)
  scale = np.sum(moved * (target - target_mean)) / np.sum(centred**2)
  return scale * moved + target_mean


def finite_difference(matrix: np.ndarray, tangent: np.ndarray) -> np.ndarray:
  step = 1e-6
  plus, minus = (
    np.asarray(nearest_rotation(matrix + sign * step * tangent)) for sign in (1, -1)
  )
  return (plus - minus) / (2 * step)


def test_jvp_is_that_of_finite_differences():
  assert (np.linalg.det(RANDOM) < 0).any()
  matrices = np.repeat(RANDOM, 9, axis=0)
  tangents = np.tile(np.eye(9).reshape(9, 3, 3), (len(RANDOM), 1, 1))
  with jax.enable_x64(True):
    expected = finite_difference(matrices, tangents)
    np.testing.assert_allclose(jvp(matrices, tangents), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["identity", "rotation", "rank two", "two equal"])
def test_jvp_is_right_where_only_the_svd_is_degenerate(name):
  with jax.enable_x64(True):
    expected = finite_difference(DEGENERATE[name], RANDOM[0])
    np.testing.assert_allclose(jvp(DEGENERATE[name], RANDOM[0]), expected, atol=1e-5)


@pytest.mark.parametrize("name", DEGENERATE)
def test_gradients_are_finite_and_the_rotation_proper(name):
  matrix = DEGENERATE[name].astype(np.float32)
  rotation = np.asarray(nearest_rotation(matrix))
  np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
  np.testing.assert_allclose(np.linalg.det(rotation), 1.0, atol=1e-6)
  gradient = np.asarray(jacobian(matrix))
  assert np.isfinite(gradient).all()
  assert np.abs(gradient).max() < 10


def _by_svd(matrices):
  U, D, Vt = np.linalg.svd(matrices)
  D[:, 2] *= np.sign(np.linalg.det(U) * np.linalg.det(Vt))
  U[:, :, 2] *= np.sign(np.linalg.det(U) * np.linalg.det(Vt))[:, None]
  return U @ Vt, D


# XLA's CPU backend has computed sums over short axes wrongly from 16,384 rows on.
@pytest.mark.parametrize(("x64", "size"), [(False, 40_000), (True, 40_000)])
def test_many_random_matrices_are_those_of_numpys_svd(x64, size):
  rng = np.random.default_rng(7)
  matrices = rng.normal(size=(size, 3, 3)) * 10.0 ** rng.uniform(-9, 9, (size, 1, 1))
  with jax.enable_x64(x64):
    matrices = matrices.astype(np.float64 if x64 else np.float32)
    rotations = np.asarray(nearest_rotation(matrices), np.float64)
  expected, D = _by_svd(matrices.astype(np.float64))
  # The angle's condition number is that of the sum of the smaller two values.
  wrong = np.abs(rotations - expected).max((1, 2)) * (D[:, 1] + D[:, 2]) / D[:, 0]
  assert wrong.max() < (1e-14 if x64 else 3e-6)


def test_degenerate_matrices_get_a_best_rotation():
  rng = np.random.default_rng(8)
  ranks = [rng.normal(size=(500, 3, r)) @ rng.normal(size=(500, r, 3)) for r in (1, 2)]
  diagonals = rng.choice([0, 1, -1, 1e-4, 2], (500, 3))[:, :, None] * np.eye(3)
  turned = R @ diagonals @ Rotation.random(500, rng).as_matrix()
  matrices = np.concatenate([*ranks, diagonals, turned]).astype(np.float32)
  rotations = np.asarray(nearest_rotation(matrices), np.float64)
  np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=3e-6)
  identity = rotations @ np.swapaxes(rotations, 1, 2)
  np.testing.assert_allclose(identity, np.tile(np.eye(3), (2000, 1, 1)), atol=3e-6)
  _, D = _by_svd(matrices.astype(np.float64))
  reached = np.einsum("nij,nij->n", rotations, matrices)
  np.testing.assert_allclose(
    reached / np.maximum(D[:, 0], 1e-30),
    D.sum(1) / np.maximum(D[:, 0], 1e-30),
    atol=3e-6,
  )


def test_nearest_rotation_of_a_proper_matrix_is_its_polar_factor():
  matrices = RANDOM * np.sign(np.linalg.det(RANDOM))[:, None, None]
  expected = [scipy.linalg.polar(matrix)[0] for matrix in matrices]
  result = nearest_rotation(matrices.astype(np.float32))
  np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("batch", [(), (1,), (3, 1, 2, 1)])
def test_align_is_the_reference(batch):
  rng = np.random.default_rng(1)
  points, target = rng.normal(size=(2, *batch, 14, 3))
  result = np.asarray(align(points.astype(np.float32), target.astype(np.float32)))
  assert result.shape == points.shape
  for index in np.ndindex(batch):
    expected = reference_align(points[index], target[index])
    np.testing.assert_allclose(result[index], expected, atol=1e-5)


@properties.check
@hypothesis.given(
  axis_angle=properties.floats((3,), -3, 3),
  scale=strategies.floats(0.3, 5),
  shift=properties.floats((3,), -9, 9),
)
def test_align_undoes_a_similarity_but_not_a_mirror(axis_angle, scale, shift):
  target = np.random.default_rng(2).normal(size=(14, 3))
  rotation = Rotation.from_rotvec(axis_angle).as_matrix()
  points = (scale * target @ rotation.T + shift).astype(np.float32)
  target = target.astype(np.float32)
  np.testing.assert_allclose(align(points, target), target, atol=1e-5)
  mirrored = np.asarray(align(points * np.float32([-1, 1, 1]), target))
  assert np.abs(mirrored - target).max() > 0.1


def test_a_weight_of_zero_leaves_a_point_out_of_the_fit():
  rng = np.random.default_rng(3)
  points, target = rng.normal(size=(2, 14, 3)).astype(np.float32)
  weights = np.ones(14, np.float32)
  weights[10:] = 0
  result = np.asarray(align(points, target, weights))
  expected = align(points[:10], target[:10])
  np.testing.assert_allclose(result[:10], expected, atol=1e-6)


def test_align_has_the_gradient_of_finite_differences():
  rng = np.random.default_rng(4)
  points, target, cotangent = rng.normal(size=(3, 14, 3))

  with jax.enable_x64(True):
    _, gradients = product_and_gradients(points, target, cotangent)
    for argument, gradient in enumerate(gradients):
      for _ in range(3):
        delta = np.zeros((2, 14, 3))
        delta[argument] = rng.normal(size=(14, 3)) * 1e-6
        plus, minus = (
          float(product_and_gradients(points + d[0], target + d[1], cotangent)[0])
          for d in (delta, -delta)
        )
        np.testing.assert_allclose(
          np.vdot(gradient, delta[argument]), (plus - minus) / 2, rtol=1e-5
        )


@pytest.mark.parametrize(
  ("points_at", "target_at", "weight"),
  [
    (None, None, 0.0),  # Nothing is visible.
    (0.0, None, 1.0),
    (5.3, None, 1.0),  # The mean of equal points is not always that point.
    (5.3, 5.3, 1.0),
    (None, 0.1, 1.0),
    (1e-12, None, 1.0),
  ],
)
def test_align_is_finite_where_points_coincide(points_at, target_at, weight):
  rng = np.random.default_rng(5)
  points, target = rng.normal(size=(2, 14, 3)).astype(np.float32)
  if points_at is not None:
    points = np.full_like(points, points_at)
  if target_at is not None:
    target = np.full_like(target, target_at)
  weights = np.full(14, weight, np.float32)

  value, gradients = square_and_gradients(points, target, weights)
  assert np.isfinite(value)
  for gradient in gradients:
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() < 1e4
  if points_at is not None:
    aligned = align(points, target, weights)
    expected = np.broadcast_to(target.mean(0), target.shape)
    np.testing.assert_allclose(aligned, expected, atol=1e-5)


def test_points_that_are_already_aligned_stay_with_a_finite_gradient():
  points = np.random.default_rng(6).normal(size=(14, 3)).astype(np.float32)

  def loss(points):
    return jnp.sum(jnp.square(align(points, target) - target))

  target = points
  np.testing.assert_allclose(align(points, target), target, atol=1e-5)
  np.testing.assert_allclose(jax.jit(jax.grad(loss))(points), 0.0, atol=1e-5)
