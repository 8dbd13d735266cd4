"""Begins a training with the variables of a network that may have fewer inputs.

A network that reads flow and keypoints then starts where one that reads keypoints alone
has ended: the features of its encoders are summed, and the new encoder adds nothing at
first.
"""

from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from mhmr_jax.errors import InputError
from mhmr_jax.models.motion_hmr import Variables
from mhmr_jax.training.steps import Init
from mhmr_jax.training.train_step import TrainState

# The layers that an encoder's features come from. Zero parameters there make all of its
# features zero, and still have gradients.
_LAST_LAYERS = {"encoder": ("project", "centroids"), "point_encoder": ("norm",)}


def from_trained(init: Init, trained: Variables, name: str) -> Init:
  """Returns an `init` whose state has the variables of a trained network.

  Variables that the trained network lacks stay as `init` draws them, except for a new
  encoder's last layers, which are zero.

  Args:
    init: makes the state of a network that has all variables of the trained one.
    trained: the variables of the trained network.
    name: the file or folder that it was read from, for messages.

  Raises:
    InputError: the network lacks one of the variables, or has it in another shape.
  """
  state = jax.eval_shape(init, jax.random.key(0))
  _check(_flat(state.variables), _flat(trained), name)

  def begin(key: PRNGKeyArray) -> TrainState:
    drawn = init(key)
    return drawn.replace(
      params=_replaced(drawn.params, trained["params"]),
      batch_stats=_replaced(drawn.batch_stats, trained["batch_stats"]),
    )

  return begin


def _flat(tree: Mapping[str, Any]) -> dict[str, Any]:
  flat: dict[str, Any] = flax.traverse_util.flatten_dict(tree, sep="/")
  return flat


def _check(own: Mapping[str, Any], trained: Mapping[str, Any], name: str) -> None:
  for variable, value in trained.items():
    if variable not in own or own[variable].shape != value.shape:
      wanted = own[variable].shape if variable in own else "none"
      raise InputError(
        f"config.train.start: {name} has {variable} of shape {value.shape}, and the "
        f"network of this config {wanted}: set config.model and config.keypoints.form "
        "as they were there; only inputs can be added."
      )


def _replaced(drawn: Mapping[str, Any], trained: Mapping[str, Any]) -> dict[str, Any]:
  """The trained arrays, and the drawn ones or zeros for those that are missing."""
  given = flax.traverse_util.flatten_dict(trained)

  def choose(path: tuple[str, ...], value: Array) -> Array:
    if path in given:
      return jnp.asarray(given[path], value.dtype)
    encoder, layer = path[:2]
    is_silent = encoder not in trained and layer in _LAST_LAYERS.get(encoder, ())
    return jnp.zeros_like(value) if is_silent else value

  own = flax.traverse_util.flatten_dict(drawn)
  chosen = {path: choose(path, value) for path, value in own.items()}
  tree: dict[str, Any] = flax.traverse_util.unflatten_dict(chosen)
  return tree
