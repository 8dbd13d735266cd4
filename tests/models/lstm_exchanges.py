"""Prints what four devices exchange for an LSTM's gradients: kinds and numbers.

Run by test_temporal.py in a process of its own, which has four devices.
"""

import json

import jax
import jax.numpy as jnp

from mhmr_jax.aot import exchanges, hlo
from mhmr_jax.models import temporal
from mhmr_jax.runtime import sharding

BATCH, TIME, FEATURES = 8, 5, 16


def main() -> None:
  """Prints a list of [kind, numbers], then the number of parameters."""
  lstm = temporal.LSTM(FEATURES)
  inputs = jax.ShapeDtypeStruct((BATCH, TIME, FEATURES), jnp.float32)
  variables = jax.eval_shape(lstm.init, jax.random.key(0), inputs)
  mesh = sharding.make_mesh()
  gradient = jax.jit(
    jax.grad(lambda variables, x: jnp.sum(lstm.apply(variables, x)[0])),
    in_shardings=(sharding.replicated(mesh), sharding.batched(mesh)),
    out_shardings=sharding.replicated(mesh),
  )
  text = gradient.lower(variables, inputs).compile().as_text()
  found = exchanges.collectives(hlo.parse(text))
  print(json.dumps([[each.kind, each.times * each.elements] for each in found]))
  print(sum(leaf.size for leaf in jax.tree.leaves(variables)))


if __name__ == "__main__":
  main()
