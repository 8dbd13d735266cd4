"""Similarity alignment of points, with a gradient that stays finite.

The nearest rotation comes from a one-sided Jacobi SVD (Hestenes, "Inversion of matrices
by biorthogonalization", 1958), written as elementwise arithmetic over the whole batch.
It has a fixed number of sweeps and no library call per matrix, and is as accurate where
singular values coincide or vanish as anywhere else.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# A TPU would otherwise multiply in bfloat16: centimetres at human scale.
_einsum = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)

# Four sweeps converge in float32 and five in float64, for random matrices and
# degenerate ones (tested).
_SWEEPS = 5

# Vectors of a batch; the batch is the last axis, so that it is contiguous.
_Vectors = Float[Array, "3 *#n"]
# One number for each of them.
_Numbers = Float[Array, "1 *#n"]
# A column of M stacked on the same column of V.
_Column = Float[Array, "6 n"]


@jax.custom_jvp
def nearest_rotation(matrix: Float[Array, "*batch 3 3"]) -> Float[Array, "*batch 3 3"]:
  """The proper rotation R that maximises trace(R^T M).

  Where R is not unique (rank below two, or the smallest two singular values equal
  under a reflection) the gradient leaves out the undetermined rotation.
  """
  rotation, _, _ = _polar(_batch_last(matrix))
  return _batch_first(rotation, matrix)


@nearest_rotation.defjvp
def _nearest_rotation_jvp(
  primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
  # M = R P with P = V diag(p) V^T. R^T dR = [a] is skew, so X = R^T dM gives
  # X - X^T = [a] P + P [a] = [(tr(P) I - P) a]: in V's basis, one division by a
  # p_i + p_j each. The SVD's own gradient divides by the singular values' differences
  # instead.
  (matrix,), (tangent,) = primals, tangents
  R, p, V = _polar(_batch_last(matrix))
  columns = R.swapaxes(0, 1)
  turned = _cross(_batch_last(tangent).swapaxes(0, 1), columns).swapaxes(0, 1)
  w = _sum(turned)[0]  # The vector of X - X^T.
  following = _rotated(p)
  divisor = following + _rotated(following)
  determined = divisor > 100 * jnp.finfo(p.dtype).eps * p[:1]
  share = _dot(V, w[:, None])[0] / jnp.where(determined, divisor, 1.0)
  shares = V * jnp.where(determined, share, 0.0)
  a = _sum(shares.swapaxes(0, 1))[0]
  dR = _cross(columns, a[:, None]).swapaxes(0, 1)
  return _batch_first(R, matrix), _batch_first(dR, matrix)


def _polar(
  rows: Float[Array, "3 3 n"],
) -> tuple[Float[Array, "3 3 n"], _Vectors, Float[Array, "3 3 n"]]:
  """Decomposes M = R V diag(p) V^T with a proper rotation R.

  The values p are in descending order, and the last may be negative. The columns of V
  are its second axis.
  """
  largest = jnp.max(jnp.abs(rows), axis=(0, 1))
  # Scaled so that squares neither overflow nor underflow.
  rows = rows / jnp.where(largest > 0, largest, 1.0)
  identity = jnp.broadcast_to(jnp.eye(3, dtype=rows.dtype)[..., None], rows.shape)
  start = jnp.concatenate([rows, identity])
  columns = (start[:, 0], start[:, 1], start[:, 2])
  x, y, z, squares = jax.lax.fori_loop(
    0, _SWEEPS, _sweep, (*columns, jnp.zeros_like(rows[0]))
  )
  x2, y2, z2 = squares[:1], squares[1:2], squares[2:]
  x, x2, y, y2 = _longer_first(x, x2, y, y2)
  x, x2, z, z2 = _longer_first(x, x2, z, z2)
  y, y2, z, z2 = _longer_first(y, y2, z, z2)
  v1 = _unit(x[3:])
  v2 = _unit(_rejection(y[3:], v1))
  v3 = _cross(v1, v2)
  u1, u2, length2 = _left_basis(x[:3], y[:3])
  u3 = _cross(u1, u2)
  # The product with u3 gives the last value its sign.
  p = jnp.concatenate([_length(x[:3]), length2, _dot(u3, z[:3])]) * largest
  R = u1[:, None] * v1 + u2[:, None] * v2 + u3[:, None] * v3
  return R, p, jnp.stack([v1, v2, v3], axis=1)


def _batch_last(array: Float[Array, "*batch 3 3"]) -> Float[Array, "3 3 n"]:
  return jnp.moveaxis(array.reshape(-1, 3, 3), 0, -1)


def _batch_first(
  array: Float[Array, "3 3 n"], like: Float[Array, "*batch 3 3"]
) -> Float[Array, "*batch 3 3"]:
  return jnp.moveaxis(array, -1, 0).reshape(like.shape)


def _sweep(
  _: Array, carry: tuple[_Column, _Column, _Column, _Vectors]
) -> tuple[_Column, _Column, _Column, _Vectors]:
  """One sweep over the pairs of columns; the carry ends with M's squared lengths."""
  x, y, z, _ = carry
  x, y = _orthogonalise(x, y)
  x, z = _orthogonalise(x, z)
  y, z = _orthogonalise(y, z)
  squares = [_dot(column[:3], column[:3]) for column in (x, y, z)]
  return x, y, z, jnp.concatenate(squares)


def _orthogonalise(a: _Column, b: _Column) -> tuple[_Column, _Column]:
  """Rotates two columns within their plane so that those of M become orthogonal."""
  difference = _dot(b[:3], b[:3]) - _dot(a[:3], a[:3])
  twice = 2 * _dot(a[:3], b[:3])
  below = jnp.abs(difference) + jnp.sqrt(difference**2 + twice**2)
  tangent = jnp.where(difference < 0, -twice, twice) / jnp.where(below > 0, below, 1.0)
  cosine = jax.lax.rsqrt(1 + tangent**2)
  sine = cosine * tangent
  return cosine * a - sine * b, sine * a + cosine * b


def _longer_first(
  a: _Column, a_square: _Numbers, b: _Column, b_square: _Numbers
) -> tuple[_Column, _Numbers, _Column, _Numbers]:
  """Swaps columns where b's is longer in M; a sign changes, so V stays a rotation."""
  # XLA repeats the comparison for each of its uses. Squares computed here might round
  # differently in each, and a near tie put one column in both places: columns as long
  # as each other gave wrong rotations. These squares are stored by the loop.
  swap = b_square > a_square
  return (
    jnp.where(swap, b, a),
    jnp.maximum(a_square, b_square),
    jnp.where(swap, -a, b),
    jnp.minimum(a_square, b_square),
  )


def _left_basis(
  first: _Vectors, second: _Vectors
) -> tuple[_Vectors, _Vectors, _Numbers]:
  """Returns unit vectors along two orthogonal vectors, and the second's length.

  A vector that vanishes (rank one or zero) is replaced by some perpendicular one.
  """
  x_axis, y_axis = jnp.eye(3, dtype=first.dtype)[:2, :, None]
  length = _length(first)
  u1 = jnp.where(length > 0, _unit(first), x_axis)
  rest = _rejection(second, u1)
  rest_length = _length(rest)
  # Below this length the second vector is a zero with rounding errors.
  found = rest_length > 4 * jnp.finfo(first.dtype).eps * length
  away = jnp.where(jnp.abs(u1[:1]) < 0.6, x_axis, y_axis)
  u2 = _unit(jnp.where(found, rest, _rejection(away, u1)))
  return u1, u2, rest_length


def _dot(a: _Vectors, b: _Vectors) -> _Numbers:
  return _sum(a * b)


def _sum(a: _Vectors) -> _Numbers:
  """The sum of the three components."""
  # Neither a dot nor a sum over an axis: on CPUs XLA (jaxlib 0.10.2, 0.11.0) hands
  # such sums to a library that is slower, and wrong for some arrays of 16,384 rows or
  # more.
  return a[:1] + a[1:2] + a[2:]


def _cross(a: _Vectors, b: _Vectors) -> _Vectors:
  return _rotated(a * _rotated(b) - _rotated(a) * b)


def _rotated(a: _Vectors) -> _Vectors:
  """The components in the order y, z, x."""
  return jnp.concatenate([a[1:], a[:1]])


def _length(a: _Vectors) -> _Numbers:
  return jnp.sqrt(_dot(a, a))


def _unit(a: _Vectors) -> _Vectors:
  length = _length(a)
  return a / jnp.where(length > 0, length, 1.0)


def _rejection(a: _Vectors, unit: _Vectors) -> _Vectors:
  """The part of `a` that is perpendicular to a unit vector."""
  return a - _dot(unit, a) * unit


def align(
  points: Float[Array, "*batch n 3"],
  target: Float[Array, "*batch n 3"],
  weights: Float[Array, "*batch n"] | None = None,
) -> Float[Array, "*batch n 3"]:
  """Moves points by the similarity that best fits the target (Umeyama 1991).

  Points that all coincide are moved to the target's mean. The weights are used in the
  fit only. Where they are all zero nothing is fitted, and the result is finite.
  """
  if weights is None:
    weights = jnp.ones(points.shape[:-1], points.dtype)
  total = jnp.sum(weights, axis=-1, keepdims=True)
  weights = (weights / jnp.where(total > 0, total, 1.0))[..., None]
  mean = jnp.sum(weights * points, axis=-2, keepdims=True)
  target_mean = jnp.sum(weights * target, axis=-2, keepdims=True)
  centred = points - mean
  covariance = _einsum("...ni,...nj->...ij", weights * (target - target_mean), centred)
  R = nearest_rotation(covariance)
  variance = jnp.sum(weights * jnp.square(centred), axis=(-1, -2))
  # The rounding errors of points that coincide are not a shape to scale up.
  noise = (10 * jnp.finfo(points.dtype).eps) ** 2 * jnp.sum(mean**2, axis=(-1, -2))
  has_extent = variance > noise + 1e-20
  scale = jnp.sum(R * covariance, axis=(-1, -2)) / jnp.where(has_extent, variance, 1.0)
  moved = _einsum("...ij,...nj->...ni", R, centred)
  return scale[..., None, None] * moved + target_mean
