"""Estimates flow by a network, on the device, before the main network's step.

This is the last part of the path from stored clips to the main network's batches, where
`config.flow.source` is a network: the host sends images in the flow's place
(`InputSpec.host_inputs`), and the function made here turns them into flow.
"""

import functools
from collections.abc import Callable
from typing import cast

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, UInt8
from ml_collections import ConfigDict

from mhmr_jax.data.input_spec import HOST_FLOW, InputSpec
from mhmr_jax.flow import learned
from mhmr_jax.flow.network import FlowNetwork, Variables
from mhmr_jax.runtime import sharding
from mhmr_jax.schema import Batch


def make(config: ConfigDict, mesh: Mesh | None = None) -> Callable[[Batch], Batch]:
  """Returns the function that turns the host's batches into the main network's.

  Where a network estimates the flow, the function replaces images by flow; elsewhere it
  returns the batch as it is.

  Args:
    config: the config of the main network's run.
    mesh: divides the batches; None for one device.

  Raises:
    InputError: the flow network's weights cannot be read.
  """
  spec = InputSpec.from_config(config)
  unchanged = lambda batch: batch
  if "flow" not in spec.inputs or spec.flow_source in HOST_FLOW:
    return unchanged
  # Cached flow too needs them: wrong weights are then known before anything is made.
  model, variables = learned.load(config.flow.source, config.flow.get("weights", ""))
  if spec.flow_cached:
    return unchanged
  estimate = functools.partial(_clip_flow, model)
  if mesh is None:
    jitted = jax.jit(estimate)
    variables = jax.device_put(variables, jax.local_devices()[0])
  else:
    whole, split = sharding.replicated(mesh), sharding.batched(mesh)
    jitted = jax.jit(
      estimate, in_shardings=(whole, split, split, split), out_shardings=split
    )
    variables = sharding.replicate(variables, mesh)

  def replace_images(batch: Batch) -> Batch:
    scale = batch.get("flow_scale", np.ones(len(batch["rgb"]), np.float32))
    flow = jitted(variables, batch["rgb"], batch["rgb_before"], scale)
    dropped = {"rgb_before", "flow_scale", *({"rgb"} - {*spec.inputs})}
    kept = {key: value for key, value in batch.items() if key not in dropped}
    return cast(Batch, {**kept, "flow": flow})

  return replace_images


def _clip_flow(
  model: FlowNetwork,
  variables: Variables,
  rgb: UInt8[Array, "batch time height width 3"],
  before: UInt8[Array, "batch height width 3"],
  scale: Float[Array, "batch"],
) -> Float[Array, "batch time height width 2"]:
  """The flow of clips in half precision, times each clip's factor."""
  flow = learned.clip_flow(model, variables, rgb, before)
  return flow * scale[:, None, None, None, None].astype(flow.dtype)
