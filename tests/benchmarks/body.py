"""Time of this body layer against smplx (torch) on this CPU, both in one run.

  python -m tests.benchmarks.body

A random body of SMPL's size and a batch of 256, in float32; backward is to pose and
betas. smplx has no path for joints alone: its forward, vertices and all, is its way
to get them. The two take turns and the figures are medians, so that a busy machine
slows both.
"""

import contextlib
import json
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
import smplx
import smplx.utils
import torch

from mhmr_jax.body import smpl
from tests.body import random_smpl

BATCH = 256
REPEATS = 9
NUM_VERTICES = 6890

Run = Callable[[], object]


def ours(
  data: dict[str, np.ndarray], inputs: tuple, cotangents: dict
) -> dict[str, Run]:
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "model.npz"
    np.savez(path, **data)
    model = smpl.load(path)
  pose, betas, transl = jax.device_put(inputs)
  functions = {"vertices": lambda *args: smpl.forward(*args)[0], "joints": smpl.joints}
  runs: dict[str, Run] = {}
  for name, function in functions.items():
    cotangent = jax.device_put(cotangents[name])
    forward = jax.jit(function)

    def loss(pose, betas, model, cotangent, function=function):
      return jnp.vdot(function(model, pose, betas, transl), cotangent)

    backward = jax.jit(jax.value_and_grad(loss, (0, 1)))
    runs[f"{name}_forward"] = lambda f=forward: jax.block_until_ready(
      f(model, pose, betas, transl)
    )
    runs[f"{name}_forward_backward"] = lambda f=backward, c=cotangent: (
      jax.block_until_ready(f(pose, betas, model, c))
    )
  return runs


def theirs(
  data: dict[str, np.ndarray], inputs: tuple, cotangents: dict
) -> dict[str, Run]:
  with contextlib.redirect_stdout(None):  # It warns of ten shapes.
    model = smplx.SMPL("", data_struct=smplx.utils.Struct(**data), batch_size=BATCH)
  model.requires_grad_(False)
  pose, betas, transl = map(torch.tensor, inputs)

  def forward(name, pose, betas):
    output = model(
      betas=betas,
      global_orient=pose[:, 0],
      body_pose=pose[:, 1:].reshape(BATCH, 69),
      transl=transl,
    )
    # Its joints go on with points picked from the vertices.
    return output.vertices if name == "vertices" else output.joints[:, :24]

  def backward(name, cotangent):
    leaves = [x.clone().requires_grad_() for x in (pose, betas)]
    loss = torch.sum(forward(name, *leaves) * cotangent)
    loss.backward()
    return [loss.detach(), *(leaf.grad for leaf in leaves)]

  runs: dict[str, Run] = {}
  for name in ("vertices", "joints"):
    cotangent = torch.tensor(cotangents[name])
    runs[f"{name}_forward"] = lambda name=name: forward(name, pose, betas)
    runs[f"{name}_forward_backward"] = lambda name=name, c=cotangent: backward(name, c)
  return runs


def seconds(run: Run) -> float:
  start = time.perf_counter()
  run()
  return time.perf_counter() - start


def check_equal(name: str, ours: object, theirs: object) -> None:
  for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
    a, b = np.asarray(a), np.asarray(b)
    worst = np.abs(a - b).max() / np.abs(a).max()
    if not worst < 1e-4:
      raise AssertionError(f"{name} differs from smplx's by {worst:.1e} of its range")


def main() -> None:
  data = random_smpl.arrays(NUM_VERTICES)
  inputs = random_smpl.inputs((BATCH,))
  rng = np.random.default_rng(2)
  cotangents = {
    name: rng.normal(size=(BATCH, count, 3)).astype(np.float32)
    for name, count in (("vertices", NUM_VERTICES), ("joints", 24))
  }
  mine, peers = ours(data, inputs, cotangents), theirs(data, inputs, cotangents)
  ratios = {}
  print(f"{'batch 256':<26}{'ours, ms':>12}{'smplx, ms':>12}{'ratio':>10}")
  for name in mine:
    check_equal(name, mine[name](), peers[name]())  # And compiles, and warms up.
    pairs = [(seconds(mine[name]), seconds(peers[name])) for _ in range(REPEATS)]
    own, peer = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratios[f"{name}_smplx_over_ours"] = round(peer / own, 2)
    print(f"{name:<26}{own * 1e3:>12.2f}{peer * 1e3:>12.2f}{peer / own:>10.2f}")
  print(json.dumps(ratios))


if __name__ == "__main__":
  main()
