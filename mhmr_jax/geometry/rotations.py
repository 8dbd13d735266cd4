"""Rotations as axis-angle, matrix and 6D, with gradients that are finite everywhere."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Below this squared angle, two terms of the Taylor series are exact to float32.
_SMALL = 1e-4


def axis_angle_to_matrix(
  axis_angle: Float[Array, "*batch 3"],
) -> Float[Array, "*batch 3 3"]:
  """Rodrigues' formula, in half angles; radians."""
  square = jnp.sum(jnp.square(axis_angle), axis=-1)
  # The gradient of the root is infinite at zero, and infinity times the zero of the
  # outer `where` is NaN: the inner `where` keeps zero away from the root.
  small = square < _SMALL
  angle = jnp.sqrt(jnp.where(small, 1.0, square))
  sine = jnp.where(small, 0.5 - square / 48, jnp.sin(angle / 2) / angle)
  cosine = jnp.where(small, 1 - square / 8, jnp.cos(angle / 2))
  q = axis_angle * sine[..., None]  # The unit quaternion's imaginary part.
  diagonal = 1 - 2 * jnp.sum(jnp.square(q), axis=-1)
  outer = 2 * q[..., :, None] * q[..., None, :]
  skew = _skew(2 * cosine[..., None] * q)
  return outer + skew + diagonal[..., None, None] * jnp.eye(3, dtype=outer.dtype)


def matrix_to_axis_angle(
  matrix: Float[Array, "*batch 3 3"],
) -> Float[Array, "*batch 3"]:
  """The shortest axis-angle of a rotation, at most pi radians long."""
  q = _matrix_to_quaternion(matrix)
  q = jnp.where(q[..., :1] < 0, -q, q)
  w, xyz = q[..., :1], q[..., 1:]
  square = jnp.sum(jnp.square(xyz), axis=-1, keepdims=True)
  small = square < _SMALL
  sine = jnp.sqrt(jnp.where(small, 1.0, square))
  # Where the series is used, w is near 1.
  safe_w = jnp.where(small, w, 1.0)
  series = (1 - square / (3 * safe_w**2)) / safe_w
  return 2 * xyz * jnp.where(small, series, jnp.arctan2(sine, w) / sine)


def rot6d_to_matrix(rot6d: Float[Array, "*batch 6"]) -> Float[Array, "*batch 3 3"]:
  """Gram-Schmidt on the first two columns (Zhou et al. 2019).

  A column that is zero, or a second one parallel to the first, gives a zero column.
  """
  x = _unit(rot6d[..., :3])
  y = rot6d[..., 3:]
  y = _unit(y - jnp.sum(x * y, axis=-1, keepdims=True) * x)
  return jnp.stack([x, y, jnp.cross(x, y)], axis=-1)


def matrix_to_rot6d(matrix: Float[Array, "*batch 3 3"]) -> Float[Array, "*batch 6"]:
  """The first two columns of a rotation, one after the other."""
  return jnp.concatenate([matrix[..., :, 0], matrix[..., :, 1]], axis=-1)


def product(
  A: Float[Array, "*#batch 3 3"], B: Float[Array, "*#batch 3 n"]
) -> Float[Array, "*#batch 3 n"]:
  """The matrix product A B, in full precision on every device."""
  # Not a dot: for such small matrices it is slower, and in the training step XLA's
  # CPU compiler (jaxlib 0.10.2) aborts while it simplifies these dots' gradients.
  return jnp.sum(A[..., :, :, None] * B[..., None, :, :], axis=-2)


def slerp(
  start: Float[Array, "*batch 24 3 3"],
  end: Float[Array, "*batch 24 3 3"],
  weight: Float[Array, "*batch"],
) -> Float[Array, "*batch 24 3 3"]:
  """Interpolates poses: turns every joint from start to end about one axis."""
  # A TPU would otherwise multiply in bfloat16.
  precise = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
  turn = matrix_to_axis_angle(precise("...ji,...jk->...ik", start, end))
  part = axis_angle_to_matrix(weight[..., None, None] * turn)
  return precise("...ij,...jk->...ik", start, part)


def _skew(v: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3 3"]:
  x, y, z = v[..., 0], v[..., 1], v[..., 2]
  zero = jnp.zeros_like(x)
  rows = jnp.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1)
  return rows.reshape(*v.shape[:-1], 3, 3)


def _unit(v: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3"]:
  square = jnp.sum(jnp.square(v), axis=-1, keepdims=True)
  zero = square < 1e-24
  return jnp.where(zero, 0.0, v / jnp.sqrt(jnp.where(zero, 1.0, square)))


def _matrix_to_quaternion(m: Float[Array, "*batch 3 3"]) -> Float[Array, "*batch 4"]:
  """The quaternion w, x, y, z of a rotation (Shepperd 1978).

  It is computed from its largest component, which is never below a half.
  """
  xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
  wx, wy, wz = (
    m[..., 2, 1] - m[..., 1, 2],
    m[..., 0, 2] - m[..., 2, 0],
    m[..., 1, 0] - m[..., 0, 1],
  )
  xy, yz, zx = (
    m[..., 0, 1] + m[..., 1, 0],
    m[..., 1, 2] + m[..., 2, 1],
    m[..., 0, 2] + m[..., 2, 0],
  )
  # Row i is 4 q_i q, its i-th entry 4 q_i^2; the four of them add up to 4.
  rows = [
    [1 + xx + yy + zz, wx, wy, wz],
    [wx, 1 + xx - yy - zz, xy, zx],
    [wy, xy, 1 - xx + yy - zz, yz],
    [wz, zx, yz, 1 - xx - yy + zz],
  ]
  table = jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
  squares = jnp.stack([rows[i][i] for i in range(4)], axis=-1)
  largest = jnp.argmax(squares, axis=-1)[..., None]
  row = jnp.take_along_axis(table, largest[..., None], axis=-2)[..., 0, :]
  return row / (2 * jnp.sqrt(jnp.take_along_axis(squares, largest, axis=-1)))
