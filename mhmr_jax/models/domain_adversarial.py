"""Domain-adversarial training (Ganin et al. 2016): features that hide their domain.

A classifier learns to tell labelled clips from clips of the target domain by the
features that the regressor takes. The gradient from the classifier to the features is
reversed, so that they learn to make it fail. It is not used after training.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


@jax.custom_vjp
def reverse_gradient(
  x: Float[Array, "*shape"], factor: Float[Array, ""]
) -> Float[Array, "*shape"]:
  """Returns x; the gradient with respect to it is multiplied by -factor."""
  del factor
  return x


def _reverse_forward(x: Array, factor: Array) -> tuple[Array, Array]:
  return x, factor


def _reverse_backward(factor: Array, cotangent: Array) -> tuple[Array, Array]:
  return -factor.astype(cotangent.dtype) * cotangent, jnp.zeros_like(factor)


reverse_gradient.defvjp(_reverse_forward, _reverse_backward)


def adaptation_factor(step: Int[Array, ""], steps: int) -> Float[Array, ""]:
  """Ganin's lambda_p = 2 / (1 + exp(-10 p)) - 1, with p from 0 to 1 over the run.

  It keeps the noise of a classifier that has learned little out of the features. The
  paper's schedule of the learning rate is not used.
  """
  return 2 / (1 + jnp.exp(-10 * step.astype(jnp.float32) / steps)) - 1


class DomainClassifier(nn.Module):
  """A perceptron that predicts a frame's domain from features that learn to hide it."""

  hidden: Sequence[int] = (1024, 1024)
  steps: int = 1  # The number of training steps over which the schedule runs.

  @nn.compact
  def __call__(
    self, features: Float[Array, "batch time features"], step: Int[Array, ""]
  ) -> Float[Array, "batch time"]:
    """The logits of each frame being from a labelled clip."""
    x = reverse_gradient(features, adaptation_factor(step, self.steps))
    for width in self.hidden:
      x = nn.relu(nn.Dense(width)(x))
    return nn.Dense(1, name="logit")(x)[..., 0]


def accuracy(
  logits: Float[Array, "batch time"],
  labelled: Bool[Array, "batch"],
  valid: Bool[Array, "batch time"],
) -> Float[Array, ""]:
  """The share of the valid frames whose domain is predicted; 0.5 is chance."""
  correct = (logits > 0) == labelled[:, None]
  return jnp.sum(correct & valid) / jnp.maximum(jnp.sum(valid), 1)
