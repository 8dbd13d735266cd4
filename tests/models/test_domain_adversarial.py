"""Gradient reversal, its schedule, and the classifier behind it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mhmr_jax.models import domain_adversarial
from mhmr_jax.models.domain_adversarial import DomainClassifier


def test_reversal_is_the_identity_with_minus_the_factor_as_gradient():
  x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
  factor = jnp.float32(0.37)

  def plain(x):
    return jnp.sum(jnp.sin(x) ** 2)

  def after(x):
    same = domain_adversarial.reverse_gradient(x, factor)
    return plain(same), same

  reversed_gradient, same = jax.jit(jax.grad(after, has_aux=True))(x)
  np.testing.assert_array_equal(same, x)
  np.testing.assert_array_equal(
    reversed_gradient, -factor * jax.jit(jax.grad(plain))(x)
  )


def test_the_factor_itself_gets_no_gradient():
  gradient = jax.grad(
    lambda factor: jnp.sum(domain_adversarial.reverse_gradient(jnp.ones(3), factor))
  )
  assert gradient(jnp.float32(0.5)) == 0


@pytest.mark.parametrize(
  ("share", "expected"),
  # By hand from the paper's formula: 2 / (1 + e^(-10 p)) - 1.
  [(0.0, 0.0), (0.1, 0.4621172), (0.25, 0.8482836), (0.5, 0.9866143), (1.0, 0.9999092)],
)
def test_schedule_is_ganins(share, expected):
  step = jnp.asarray(int(share * 400))
  factor = domain_adversarial.adaptation_factor(step, 400)
  assert factor == pytest.approx(expected, abs=1e-6)


def test_classifier_learns_while_the_features_learn_the_opposite():
  """Against the same perceptron in NumPy's order of operations, not reversed."""
  classifier = DomainClassifier(hidden=(5,), steps=100)
  rng = np.random.default_rng(1)
  features = rng.normal(size=(2, 3, 4)).astype(np.float32)
  step = jnp.int32(30)
  variables = jax.jit(classifier.init)(jax.random.key(0), features, step)

  def by_hand(variables, features):
    first, last = (variables["params"][name] for name in ("Dense_0", "logit"))
    hidden = jnp.maximum(features @ first["kernel"] + first["bias"], 0)
    return (hidden @ last["kernel"] + last["bias"])[..., 0]

  def loss(apply):
    squares = lambda variables, features: jnp.sum(apply(variables, features) ** 2)
    return jax.jit(jax.value_and_grad(squares, argnums=(0, 1)))

  ours = loss(lambda variables, features: classifier.apply(variables, features, step))
  value, actual = ours(variables, features)
  expected_value, expected = loss(by_hand)(variables, features)
  assert float(value) == pytest.approx(float(expected_value), rel=1e-5)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
    actual[0],
    expected[0],
  )
  factor = domain_adversarial.adaptation_factor(step, 100)
  assert factor > 0.9
  np.testing.assert_allclose(actual[1], -factor * expected[1], rtol=1e-4, atol=1e-6)


def test_accuracy_counts_valid_frames_of_both_domains():
  logits = jnp.asarray([[2.0, -1.0, 3.0], [1.0, -1.0, -2.0]])
  labelled = jnp.asarray([True, False])
  valid = jnp.asarray([[True, True, False], [True, True, True]])
  # Right: frame 0 of the first clip, frames 1 and 2 of the second.
  assert domain_adversarial.accuracy(logits, labelled, valid) == pytest.approx(3 / 5)
