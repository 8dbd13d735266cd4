"""The random numbers of one generated example, drawn at once and handed out in turn.

A generator with dozens of small draws, each with a key of its own, takes minutes to
compile and several times as long to run as one with two large draws.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


class Draws:
  """Hands out normal and uniform numbers; each call takes the next ones of an array.

  The order of the calls therefore decides the numbers. An object is used within one
  traced function.
  """

  def __init__(self, key: PRNGKeyArray, normals: int, uniforms: int):
    """Draws the numbers.

    Args:
      key: the key that alone decides the numbers.
      normals: at least as many as `normal` hands out in all.
      uniforms: at least as many as `uniform` hands out in all.
    """
    first, second = jax.random.split(key)
    self._normal = jax.random.normal(first, (normals,))
    self._uniform = jax.random.uniform(second, (uniforms,))
    self._taken = {"normal": 0, "uniform": 0}

  def normal(self, *shape: int) -> Float[Array, "..."]:
    """Normal numbers of mean 0 and variance 1."""
    return self._take("normal", self._normal, shape)

  def uniform(
    self, *shape: int, low: float = 0.0, high: float = 1.0
  ) -> Float[Array, "..."]:
    """Uniform numbers in [low, high)."""
    return low + (high - low) * self._take("uniform", self._uniform, shape)

  def happens(self, chance: float) -> Array:
    """True with this chance."""
    return self.uniform() < chance

  def _take(self, kind: str, numbers: Array, shape: Sequence[int]) -> Array:
    start = self._taken[kind]
    stop = start + math.prod(shape)
    if stop > len(numbers):
      raise ValueError(f"{stop} {kind} numbers are taken of {len(numbers)}")
    self._taken[kind] = stop
    return jnp.reshape(numbers[start:stop], tuple(shape))
