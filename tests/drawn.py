"""The variables of networks without the seconds that compiling initialisers takes.

Their random numbers take longer to compile than a tiny network.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from mhmr_jax.training.train_step import TrainState

# An untrained regressor hardly corrects the mean body.
_SMALL = {"correction": 0.05}


def variables(init: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
  """What `init(key, *arguments)` returns, with other numbers.

  Weights have a variance of one over their inputs, scales and variances are one, and
  all else is zero. They are the same for the same shapes.
  """
  key = jax.eval_shape(lambda: jax.random.key(0))
  run = lambda key, arguments, options: init(key, *arguments, **options)
  return _filled(jax.eval_shape(run, key, arguments, options))


def state(shapes: TrainState) -> TrainState:
  """The first state of a training, its parameters drawn in the same way.

  Args:
    shapes: the state's shapes. Its optimiser begins with zeros, as Adam does.
  """
  zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
  return zeros.replace(
    params=_filled(shapes.params),
    batch_stats=_filled(shapes.batch_stats),
    finite=np.ones((), bool),
  )


def _filled(shapes: Any) -> Any:
  rng = np.random.default_rng(0)

  def fill(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray:
    *modules, name = (getattr(step, "key", "") for step in path)
    if name in ("scale", "var"):
      return np.ones(leaf.shape, leaf.dtype)
    if not name.endswith("kernel"):
      return np.zeros(leaf.shape, leaf.dtype)
    size = _SMALL.get(modules[-1], 1.0) / math.sqrt(math.prod(leaf.shape[:-1]))
    return rng.normal(0, size, leaf.shape).astype(leaf.dtype)

  return jax.tree_util.tree_map_with_path(fill, shapes)
