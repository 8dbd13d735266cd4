"""Rotations against SciPy's, and gradients against finite differences."""

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies
from scipy.spatial.transform import Rotation

from mhmr_jax.geometry import rotations
from tests.geometry import properties

ANGLES = (0.0, 1e-7, 1e-3, 9.9e-3, 1.01e-2, 0.5, 2.0, 3.1, 3.1415, np.pi)

# Compiled whole: op by op the tests take ten times as long.
axis_angle_to_matrix = jax.jit(rotations.axis_angle_to_matrix)
matrix_to_axis_angle = jax.jit(rotations.matrix_to_axis_angle)
rot6d_to_matrix = jax.jit(rotations.rot6d_to_matrix)
matrix_to_rot6d = jax.jit(rotations.matrix_to_rot6d)


def random_axis_angle(angle: float) -> np.ndarray:
  axis = np.random.default_rng(0).normal(size=(50, 3))
  axis[:3] = np.eye(3)
  return angle * axis / np.linalg.norm(axis, axis=-1, keepdims=True)


@pytest.mark.parametrize("angle", ANGLES)
def test_axis_angle_to_matrix_is_scipys(angle):
  axis_angle = random_axis_angle(angle)
  matrix = axis_angle_to_matrix(axis_angle.astype(np.float32))
  expected = Rotation.from_rotvec(axis_angle).as_matrix()
  np.testing.assert_allclose(matrix, expected, atol=1e-6)


@pytest.mark.parametrize("angle", ANGLES)
def test_matrix_to_axis_angle_is_the_inverse(angle):
  axis_angle = random_axis_angle(angle)
  matrix = Rotation.from_rotvec(axis_angle).as_matrix().astype(np.float32)
  result = np.asarray(matrix_to_axis_angle(matrix))
  assert np.linalg.norm(result, axis=-1).max() <= np.pi + 1e-6
  if angle > 3.14:  # Either sign of the axis is the same rotation.
    result = result * np.sign(np.sum(result * axis_angle, axis=-1, keepdims=True))
  np.testing.assert_allclose(result, axis_angle, atol=2e-6)


def test_gradients_are_those_of_finite_differences():
  angles = (0.0, 1e-4, 9.9e-3, 1.01e-2, 1.0, 3.0)
  points = np.concatenate([random_axis_angle(angle) for angle in angles])
  step = 1e-5
  with jax.enable_x64(True):
    of_each = jax.jit(jax.vmap(jax.jacobian(rotations.axis_angle_to_matrix)))
    jacobian = np.asarray(of_each(points))
    for k, delta in enumerate(step * np.eye(3)):
      plus, minus = (
        np.asarray(axis_angle_to_matrix(points + sign * delta)) for sign in (1, -1)
      )
      np.testing.assert_allclose(
        jacobian[..., k], (plus - minus) / (2 * step), atol=1e-8
      )


def test_there_and_back_has_the_identity_for_gradient():
  def there_and_back(v):
    return rotations.matrix_to_axis_angle(rotations.axis_angle_to_matrix(v))

  angles = (0.0, 1e-4, 9.9e-3, 1.01e-2, 1.0, 3.0)
  points = np.concatenate([random_axis_angle(angle) for angle in angles])
  jacobian = jax.jit(jax.vmap(jax.jacobian(there_and_back)))(points.astype(np.float32))
  identity = np.broadcast_to(np.eye(3), jacobian.shape)
  np.testing.assert_allclose(jacobian, identity, atol=1e-3)


def test_the_gradient_at_zero_is_the_skew_matrix():
  jacobian = jax.jit(jax.jacobian(rotations.axis_angle_to_matrix))(
    np.zeros(3, np.float32)
  )
  skew = np.stack([np.cross(axis, np.eye(3)).T for axis in np.eye(3)], axis=-1)
  np.testing.assert_array_equal(jacobian, skew)


@pytest.mark.parametrize(
  "function",
  [
    rotations.matrix_to_axis_angle,
    lambda m: rotations.rot6d_to_matrix(rotations.matrix_to_rot6d(m)),
  ],
)
def test_gradients_are_finite_even_off_the_rotations(function):
  half_turns = [np.diag(2 * axis - 1) for axis in np.eye(3)]
  matrices = [np.eye(3), np.zeros((3, 3)), np.ones((3, 3)), *half_turns]
  jacobian = jax.jit(jax.vmap(jax.jacobian(function)))(np.float32(matrices))
  assert np.isfinite(jacobian).all()


@pytest.mark.parametrize("batch", [(), (1,), (3, 1, 2, 1)])
def test_rot6d_round_trip(batch):
  axis_angle = np.random.default_rng(1).normal(size=(*batch, 3))
  matrix = axis_angle_to_matrix(axis_angle.astype(np.float32))
  rot6d = np.asarray(matrix_to_rot6d(matrix))
  assert rot6d.shape == (*batch, 6)
  np.testing.assert_array_equal(rot6d[..., :3], np.asarray(matrix)[..., :, 0])
  np.testing.assert_allclose(rot6d_to_matrix(rot6d), matrix, atol=1e-6)


@properties.check
@hypothesis.given(axis_angle=properties.floats((3,), -1.8, 1.8))
def test_an_axis_angle_returns_from_its_matrix_and_from_6d(axis_angle):
  matrix = axis_angle_to_matrix(axis_angle)  # At most sqrt(3) * 1.8 < pi radians.
  np.testing.assert_allclose(matrix_to_axis_angle(matrix), axis_angle, atol=1e-5)
  rot6d = matrix_to_rot6d(matrix)
  np.testing.assert_allclose(rot6d_to_matrix(rot6d), matrix, atol=1e-6)


@properties.check
@hypothesis.given(
  axis_angle=properties.floats((3,), -1.8, 1.8),
  lengths=properties.floats((2,), 0.2, 3),
  along=strategies.floats(-3, 3),
)
def test_rot6d_need_be_neither_unit_nor_orthogonal(axis_angle, lengths, along):
  expected = Rotation.from_rotvec(axis_angle).as_matrix()
  first, second = expected[:, :2].T * lengths[:, None]
  rot6d = np.concatenate([first, second + along * expected[:, 0]])
  matrix = rot6d_to_matrix(rot6d.astype(np.float32))
  # The second column loses the digits by which it is shorter than its part along.
  np.testing.assert_allclose(matrix, expected, atol=1e-5)
