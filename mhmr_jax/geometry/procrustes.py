"""Similarity alignment of points, with a gradient that stays finite."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# A TPU would otherwise multiply in bfloat16: centimetres at human scale.
_einsum = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


@jax.custom_jvp
def nearest_rotation(matrix: Float[Array, "*batch 3 3"]) -> Float[Array, "*batch 3 3"]:
  """The proper rotation R that maximises trace(R^T M).

  Where R is not unique (rank below two, or the smallest two singular values equal
  under a reflection) the gradient leaves out the undetermined rotation.
  """
  rotation, _, _ = _polar(matrix)
  return rotation


@nearest_rotation.defjvp
def _nearest_rotation_jvp(
  primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
  # M = R P with P = V diag(p) V^T. R^T dR = A is skew, so X = R^T dM gives
  # X - X^T = A P + P A: in V's basis, one division by p_i + p_j each. The SVD's own
  # gradient divides by the singular values' differences instead.
  (matrix,), (tangent,) = primals, tangents
  R, p, V = _polar(matrix)
  X = _einsum("...ji,...jk->...ik", R, tangent)
  W = _einsum("...ji,...jk,...kl->...il", V, X - jnp.swapaxes(X, -1, -2), V)
  sums = p[..., :, None] + p[..., None, :]
  determined = sums > 100 * jnp.finfo(p.dtype).eps * p[..., :1, None]
  omega = jnp.where(determined, W / jnp.where(determined, sums, 1.0), 0.0)
  return R, _einsum("...ij,...jk,...kl,...ml->...im", R, V, omega, V)


def _polar(M: Float[Array, "*batch 3 3"]) -> tuple[Array, Array, Array]:
  """R, p and V of M = R V diag(p) V^T; R is proper, so the last p may be negative."""
  U, D, Vt = jnp.linalg.svd(M)
  sign = jnp.where(jnp.linalg.det(U) * jnp.linalg.det(Vt) < 0, -1.0, 1.0)
  S = jnp.stack([jnp.ones_like(sign), jnp.ones_like(sign), sign], axis=-1)
  S = S.astype(D.dtype)
  R = _einsum("...ij,...j,...jk->...ik", U, S, Vt)
  return R, S * D, jnp.swapaxes(Vt, -1, -2)


def align(
  points: Float[Array, "*batch n 3"],
  target: Float[Array, "*batch n 3"],
  weights: Float[Array, "*batch n"] | None = None,
) -> Float[Array, "*batch n 3"]:
  """Moves points by the similarity that best fits the target (Umeyama 1991).

  Points that all coincide go to the target's mean. Weights count in the fit only;
  where they are all zero the fit is to nothing, and the values are finite.
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
  # What rounding leaves of points that coincide is not a shape to scale up.
  noise = (10 * jnp.finfo(points.dtype).eps) ** 2 * jnp.sum(mean**2, axis=(-1, -2))
  has_extent = variance > noise + 1e-20
  scale = jnp.sum(R * covariance, axis=(-1, -2)) / jnp.where(has_extent, variance, 1.0)
  moved = _einsum("...ij,...nj->...ni", R, centred)
  return scale[..., None, None] * moved + target_mean
