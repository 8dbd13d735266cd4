"""Time of the training step of `flow_kp` against PyTorch's, both in one run.

  python -m tests.benchmarks.train_step

The default, and `:paper` (ResNet-50, 224 px) in float32 on one clip of 8 frames. The
twin has the same parameters; before anything is timed, both compute the same loss to
1e-4 of it. `forward` is that loss, without dropout; `step` is the whole update with
dropout. Both run on one core, so that no thread of one waits while the other works, and
take turns. Times are CPU seconds, so that other processes on the machine change little,
and medians over the rounds.
"""

import functools
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any, cast

os.environ.setdefault("JAX_PLATFORMS", "cpu")
if __name__ == "__main__":
  # Before anything starts threads.
  os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import jax
import numpy as np
import torch
from ml_collections import ConfigDict

from configs import flow_kp
from mhmr_jax.body import smpl
from mhmr_jax.models import motion_hmr
from mhmr_jax.runtime import sharding
from mhmr_jax.schema import Batch
from mhmr_jax.training import losses, steps
from tests.benchmarks import torch_twin

ROUNDS = 7
TOLERANCE = 1e-4

Run = Callable[[], object]


def default_config() -> ConfigDict:
  """The default of flow and keypoints."""
  return flow_kp.get_config()


def paper_config() -> ConfigDict:
  """`:paper` in float32, with a batch that two CPU cores can take."""
  config = flow_kp.get_config("paper")
  config.update_from_flattened_dict(
    {"train.batch_size": 1, "data.window": 8, "model.dtype": "float32"}
  )
  return config


def random_batch(config: ConfigDict, body: smpl.SmplModel) -> dict[str, np.ndarray]:
  """A batch of random people, whose keypoints lie anywhere in the crop."""
  rng = np.random.default_rng(0)
  lead, size = (config.train.batch_size, config.data.window), config.data.size
  pose = rng.normal(0, 0.3, (*lead, 24, 3)).astype(np.float32)
  betas = rng.normal(size=(lead[0], 10)).astype(np.float32)
  placed = (pose, betas[:, None], np.zeros((*lead, 3), np.float32))
  joints = jax.jit(smpl.joints)(body, *jax.device_put(placed))
  points = rng.uniform(0, size, (*lead, 17, 2))
  scores = rng.uniform(0.2, 1, (*lead, 17, 1))
  batch = {
    "flow": rng.normal(0, 2, (*lead, size, size, 2)).astype(np.float16),
    "keypoints": np.concatenate([points, scores], axis=-1).astype(np.float32),
    "pose": pose,
    "betas": betas,
    "joints_camera": np.array(joints),
    "joints_crop": rng.uniform(-1, 1, (*lead, 24, 2)).astype(np.float32),
    "visibility": np.ones((*lead, 24), np.float32),
    "valid": np.ones(lead, bool),
  }
  if config.keypoints.form == "coordinates":
    batch["window"] = np.tile(np.float32([0.1, 0.0, 0.3]), (lead[0], 1))
  return batch


def loss_without_dropout(
  config: ConfigDict, body: smpl.SmplModel
) -> Callable[[motion_hmr.Variables, Batch], jax.Array]:
  """The training loss of a config's model, with the batch's statistics."""
  model = motion_hmr.from_config(config)
  model = model.clone(regressor=model.regressor.clone(dropout=0.0))

  def loss(variables: motion_hmr.Variables, batch: Batch) -> jax.Array:
    (prediction, _), _ = model.apply(
      variables, batch, train=True, mutable=["batch_stats"]
    )
    return losses.motion_hmr_loss(body, prediction, batch, config.loss.to_dict())[0]

  return loss


def our_runs(config: ConfigDict, body: smpl.SmplModel, batch: Any) -> tuple[Any, Any]:
  """Forward and step of ours, and the parameters that they begin with."""
  mesh = sharding.make_mesh(jax.devices()[:1])
  training = steps.make_train_step(config, mesh)
  key = jax.random.key(0)
  state = jax.jit(training.init, out_shardings=training.state_shardings)(key)
  placed = sharding.global_batch(batch, mesh)
  params = jax.device_get(state.params)
  variables = jax.device_put(jax.device_get(state.variables))
  forward = jax.jit(loss_without_dropout(config, body))
  states = [state]

  def step() -> None:
    states[0], scalars = training.step(states[0], placed, key, body)
    jax.block_until_ready((states[0], scalars))

  return {"forward": lambda: float(forward(variables, placed)), "step": step}, params


def twin_runs(
  config: ConfigDict, body: smpl.SmplModel, batch: Any, params: Any
) -> dict[str, Run]:
  """Forward and step of the twin."""
  tensors = {name: torch.tensor(value) for name, value in batch.items()}
  without = config.copy_and_resolve_references().unlock()
  without.model.regressor.dropout = 0.0
  frozen, trained = (torch_twin.Twin(c, body) for c in (without, config))
  for twin in (frozen, trained):
    torch_twin.load(twin, params)
  update = torch_twin.Update(trained, config.train)

  def forward() -> float:
    with torch.no_grad():
      return float(frozen(tensors))

  return {"forward": forward, "step": functools.partial(update, tensors)}


def seconds(run: Run) -> float:
  """CPU seconds of a call."""
  start = time.process_time()
  run()
  return time.process_time() - start


def measure(name: str, config: ConfigDict, rounds: int = ROUNDS) -> dict[str, float]:
  """Prints the times of a config; returns ours over PyTorch's."""
  body = smpl.load()
  batch = random_batch(config, body)
  ours, params = our_runs(config, body, batch)
  theirs = twin_runs(config, body, batch, params)
  a, b = (cast(float, runs["forward"]()) for runs in (ours, theirs))
  if not abs(a - b) < TOLERANCE * abs(a):
    raise AssertionError(f"Our loss of {name} is {a} and PyTorch's is {b}.")
  ratios = {}
  for part in ("forward", "step"):
    ours[part](), theirs[part]()  # Compiles, and warms up.
    pairs = [(seconds(ours[part]), seconds(theirs[part])) for _ in range(rounds)]
    own, peer = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratios[f"{name}_{part}_over_torch"] = round(own / peer, 2)
    print(
      f"{name + ' ' + part:<20}{own * 1e3:>12.0f}{peer * 1e3:>13.0f}"
      f"{own / peer:>10.2f}",
      flush=True,
    )
  return ratios


def main() -> None:
  torch.set_num_threads(1)
  print(f"{'':<20}{'ours, ms':>12}{'PyTorch, ms':>13}{'ratio':>10}")
  ratios = measure("default", default_config())
  ratios |= measure("paper", paper_config())
  print(json.dumps(ratios))


if __name__ == "__main__":
  main()
