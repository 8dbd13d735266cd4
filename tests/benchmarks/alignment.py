"""Time of the nearest rotation against SVDs on this machine, all in one run.

  python -m tests.benchmarks.alignment

Random 3x3 matrices in float32: as many as a training step of the default size has, a
block of an evaluation, and 3DPW's test frames at once. The peers are the same rotation
by batched `jnp.linalg.svd` (backward: JAX's own gradient of it), by batched
`np.linalg.svd`, and by `scipy.linalg.svd`, one matrix at a time; those two have no
backward. All take turns and the figures are medians, so that a busy machine slows
each alike.
"""

import json
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from mhmr_jax.geometry import procrustes

SIZES = (128, 4_096, 35_000)
REPEATS = 9
AT_LEAST = 8_192  # Matrices a measurement.

Run = Callable[[], object]


def by_jax_svd(M: jax.Array) -> jax.Array:
  U, _, Vt = jnp.linalg.svd(M)
  flip = jnp.where(jnp.linalg.det(U) * jnp.linalg.det(Vt) < 0, -1.0, 1.0)
  U = U.at[..., 2].multiply(flip[..., None])
  return jnp.einsum("...ij,...jk->...ik", U, Vt)


def by_numpy_svd(M: np.ndarray) -> np.ndarray:
  U, _, Vt = np.linalg.svd(M)
  U[..., 2] *= np.sign(np.linalg.det(U) * np.linalg.det(Vt))[..., None]
  return U @ Vt


def by_scipy_svd(M: np.ndarray) -> np.ndarray:
  R = np.empty_like(M)
  for index, matrix in enumerate(M):
    U, _, Vt = scipy.linalg.svd(matrix)
    U[:, 2] *= np.sign(np.linalg.det(U) * np.linalg.det(Vt))
    R[index] = U @ Vt
  return R


def runs(size: int) -> dict[str, dict[str, Run]]:
  """Seconds by pass, and then by implementation."""
  rng = np.random.default_rng(0)
  matrices, cotangent = rng.normal(size=(2, size, 3, 3)).astype(np.float32)
  M, G = jax.device_put((matrices, cotangent))
  made: dict[str, dict[str, Run]] = {"forward": {}, "forward_backward": {}}
  for name, function in (
    ("ours", procrustes.nearest_rotation),
    ("jax_svd", by_jax_svd),
  ):
    forward = jax.jit(function)
    backward = jax.jit(
      jax.value_and_grad(lambda M, G, function=function: jnp.vdot(function(M), G))
    )
    made["forward"][name] = lambda f=forward: jax.block_until_ready(f(M))
    made["forward_backward"][name] = lambda f=backward: jax.block_until_ready(f(M, G))
  made["forward"]["numpy_svd"] = lambda: by_numpy_svd(matrices)
  made["forward"]["scipy_svd"] = lambda: by_scipy_svd(matrices)
  return made


def seconds(run: Run, times: int) -> float:
  start = time.perf_counter()
  for _ in range(times):
    run()
  return (time.perf_counter() - start) / times


def check_equal(name: str, ours: object, theirs: object) -> None:
  # A float32 gradient near a singularity has few digits: the median matrix decides.
  for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
    difference = np.abs(np.asarray(a) - np.asarray(b)) / (1 + np.abs(np.asarray(b)))
    if not np.median(difference) < 1e-4:
      raise AssertionError(f"ours differs from {name} by {np.median(difference):.1e}")


def main() -> None:
  ratios = {}
  print(f"backend: {jax.default_backend()}; milliseconds, and peer over ours")
  for size in SIZES:
    for direction, by_name in runs(size).items():
      for name, run in by_name.items():  # And compiles, and warms up.
        check_equal(name, by_name["ours"](), run())
      times: dict[str, list[float]] = {name: [] for name in by_name}
      for _ in range(REPEATS):
        for name, run in by_name.items():
          # A tenth of a millisecond alone would be the scheduler's.
          times[name].append(seconds(run, -(-AT_LEAST // size)))
      medians = {name: statistics.median(values) for name, values in times.items()}
      ours = medians.pop("ours")
      print(f"{size:>7,} {direction:<17} ours {ours * 1e3:>9.3f}", end="")
      for name, peer in medians.items():
        ratios[f"{direction}_{size}_{name}_over_ours"] = round(peer / ours, 2)
        print(f"   {name} {peer * 1e3:>9.3f} ({peer / ours:>7.2f})", end="")
      print()
  print(json.dumps(ratios))


if __name__ == "__main__":
  main()
