"""What a generated example draws: its order, its ranges and its moments."""

import jax
import numpy as np
import pytest

from mhmr_jax.runtime.draws import Draws


def test_numbers_come_in_the_order_of_the_calls():
  draws, other = (Draws(jax.random.key(0), 20, 10) for _ in range(2))
  first, second, third = draws.normal(3), draws.normal(2, 4), draws.normal()
  together = other.normal(12)
  np.testing.assert_array_equal(first, together[:3])
  np.testing.assert_array_equal(second, together[3:11].reshape(2, 4))
  assert third.shape == ()
  assert third == together[11]
  # Uniform numbers are another row: how many normal ones were taken does not matter.
  alone = Draws(jax.random.key(0), 0, 10).uniform(5)
  np.testing.assert_array_equal(draws.uniform(5), alone)


def test_the_key_alone_decides():
  numbers = [Draws(jax.random.key(seed), 4, 4).normal(4) for seed in (1, 1, 2)]
  np.testing.assert_array_equal(numbers[0], numbers[1])
  assert np.all(numbers[0] != numbers[2])


def test_moments_and_ranges():
  draws = Draws(jax.random.key(3), 20_000, 60_000)
  normal = np.asarray(draws.normal(20_000))
  # Five standard errors each.
  assert abs(normal.mean()) < 5 / np.sqrt(20_000)
  assert abs(normal.var() - 1) < 5 * np.sqrt(2 / 20_000)
  uniform = np.asarray(draws.uniform(20_000))
  assert 0 <= uniform.min() < 1e-3
  assert 1 - 1e-3 < uniform.max() < 1
  assert abs(uniform.mean() - 0.5) < 5 * np.sqrt(1 / 12 / 20_000)
  between = np.asarray(draws.uniform(20_000, low=-3.0, high=5.0))
  assert -3 <= between.min() < -2.99
  assert 4.99 < between.max() <= 5
  # Numbers are handed out once.
  assert abs(np.corrcoef(uniform, between)[0, 1]) < 0.04


def test_chances():
  draws = Draws(jax.random.key(4), 0, 3000)
  happened = np.array([draws.happens(0.3) for _ in range(500)])
  assert abs(happened.mean() - 0.3) < 5 * np.sqrt(0.21 / 500)
  assert not draws.happens(0.0)
  assert draws.happens(1.0)


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_too_many_numbers_are_refused(kind):
  draws = Draws(jax.random.key(0), normals=5, uniforms=5)
  take = getattr(draws, kind)
  take(3)
  with pytest.raises(ValueError, match=f"6 {kind} numbers are taken of 5"):
    take(3)
  assert take(2).shape == (2,)
