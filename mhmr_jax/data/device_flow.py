"""The input step: flow by a network, on the device, before the main network's step."""

import functools
from collections.abc import Callable
from typing import cast

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from mhmr_jax.data import pipeline
from mhmr_jax.flow import learned
from mhmr_jax.runtime import sharding
from mhmr_jax.schema import Batch


def make(config: ConfigDict, mesh: Mesh | None = None) -> Callable[[Batch], Batch]:
  """What turns the host's batches into the main network's.

  Where `config.flow.source` is a network's and not cached, it puts the flow in the
  place of the frames that it is from; else it changes nothing.

  Args:
    config: of the main network's run.
    mesh: that batches are divided over; None for one device.

  Raises:
    InputError: the flow network's weights cannot be read.
  """
  spec = pipeline.InputSpec.from_config(config)
  as_it_is = lambda batch: batch
  if "flow" not in spec.inputs or spec.flow_source in pipeline.HOST_FLOW:
    return as_it_is
  # Also of cached flow, so that wrong weights are known before anything is made.
  model, variables = learned.load(config.flow.source, config.flow.get("weights", ""))
  if spec.flow_cached:
    return as_it_is
  estimate = functools.partial(learned.clip_flow, model)
  if mesh is None:
    jitted = jax.jit(estimate)
    variables = jax.device_put(variables, jax.local_devices()[0])
  else:
    whole, split = sharding.replicated(mesh), sharding.batched(mesh)
    jitted = jax.jit(estimate, in_shardings=(whole, split, split), out_shardings=split)
    variables = sharding.replicate(variables, mesh)

  def step(batch: Batch) -> Batch:
    flow = jitted(variables, batch["rgb"], batch["rgb_before"])
    dropped = {"rgb_before"} if "rgb" in spec.inputs else {"rgb", "rgb_before"}
    kept = {key: value for key, value in batch.items() if key not in dropped}
    return cast(Batch, {**kept, "flow": flow})

  return step
