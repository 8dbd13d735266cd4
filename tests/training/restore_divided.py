"""Saves a state divided one way over four devices, and restores it divided another way.

  python -m tests.training.restore_divided FOLDER

tests/test_distributed.py runs it with four virtual devices; it fails if a bit differs.
"""

import functools
import pathlib
import sys

import jax
import numpy as np

from mhmr_jax.data import pipeline
from mhmr_jax.runtime import sharding
from mhmr_jax.training import checkpoints, steps
from tests import tiny
from tests.data.clips import make_source

# (devices, ways to divide the state) when it is saved, and when it is restored.
WAYS = (((4, 2), (2, 1)), ((2, 1), (4, 4)), ((4, 1), (1, 1)))


def main(folder: pathlib.Path) -> None:
  config = tiny.config(folder, mesh__fsdp_min_size=64)
  one = sharding.make_mesh(jax.devices()[:1])
  abstract = steps.make_train_step(config, one).state_shapes
  lying = functools.partial(_lying, abstract, config.mesh.fsdp_min_size)
  for index, (saved, restored) in enumerate(WAYS):
    checkpoint = checkpoints.Checkpoints(folder / str(index))
    state, iterator = _state(abstract, lying(*saved)), _iterator(config)
    divided = any(
      not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state)
    )
    assert divided == (saved[1] > 1)
    first = next(iterator)
    checkpoint.save(state, iterator.get_state())
    checkpoint.wait()
    following = next(iterator)

    shardings, again = lying(*restored), _iterator(config)
    result = checkpoint.resume(abstract, again, shardings)
    leaves = map(jax.tree.leaves, (state, result, shardings))
    for old, new, lies in zip(*leaves, strict=True):
      assert new.sharding.is_equivalent_to(lies, new.ndim)
      np.testing.assert_array_equal(np.asarray(old), np.asarray(new))
    batch = next(again)
    for key, value in following.items():
      np.testing.assert_array_equal(batch[key], value)
    assert any((first[key] != value).any() for key, value in following.items())
    for opened in (checkpoint, iterator, again):
      opened.close()


def _lying(abstract, fsdp_min_size, devices, fsdp):
  """Where the leaves of a state go, as the training step has it."""
  mesh = sharding.make_mesh(jax.devices()[:devices], fsdp)
  return sharding.of_state(abstract, mesh, fsdp_min_size)


def _state(abstract, shardings):
  """A state of random numbers, divided."""
  rng = np.random.default_rng(0)
  state = jax.tree.map(
    lambda leaf: rng.integers(0, 100, leaf.shape).astype(leaf.dtype), abstract
  )
  return jax.device_put(state, shardings)


def _iterator(config):
  return pipeline.training_iterator(make_source([10] * 4), config)


if __name__ == "__main__":
  main(pathlib.Path(sys.argv[1]))
