"""Functions that run once or twice: compiled in half of the time, slower to run."""

import functools

import jax

# LLVM does not optimise what XLA gives it. Numbers may round otherwise.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
