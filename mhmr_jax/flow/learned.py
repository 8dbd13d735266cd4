"""Builds the networks that estimate flow, loads their weights and runs them.

Weights come from a work directory of `mhmr_jax.train_flow` or, for RAFT, from the file
of torchvision's `raft_small` or of its authors' `raft-small.pth`.
"""

import math
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
from etils import epath
from jaxtyping import Array, Float, PRNGKeyArray, UInt8
from ml_collections import ConfigDict

from mhmr_jax.errors import InputError
from mhmr_jax.files import tensor_files
from mhmr_jax.flow import flownets, raft, raft_weights
from mhmr_jax.flow.network import FlowNetwork, Variables

KINDS: dict[str, type[FlowNetwork]] = {
  "flownets": flownets.FlowNetS,
  "raft": raft.RaftSmall,
}


class TrainedNetwork(NamedTuple):
  """A network and its weights."""

  model: FlowNetwork
  variables: Variables


def from_config(config: ConfigDict) -> FlowNetwork:
  """Builds the network that a flow training's `config.model` describes.

  Raises:
    InputError: there is no such kind.
  """
  settings = config.to_dict()
  kind = settings.pop("kind", None)
  if kind not in KINDS:
    raise InputError(
      f"config.model.kind is {kind!r}: choose one of {', '.join(KINDS)}."
    )
  return KINDS[kind](**settings)


def init_variables(model: FlowNetwork, key: PRNGKeyArray) -> Variables:
  """The network's random variables before training."""
  example = jnp.zeros((1, model.stride, model.stride, 3))
  return dict(model.init(key, example, example))


def load(kind: str, weights: str) -> TrainedNetwork:
  """Reads a trained network.

  Args:
    kind: one of `KINDS`.
    weights: a work directory of the flow training; for RAFT also a .pth or
      .safetensors file of torchvision's or of its authors' weights.

  Raises:
    InputError: `weights` is empty, or the weights are missing, damaged or another
      network's.
  """
  if not weights:
    raise InputError(
      f"config.flow.source is {kind!r}, which needs weights: set config.flow.weights "
      "to a work directory of mhmr_jax.train_flow"
      + (" or to RAFT's raft-small.pth." if kind == "raft" else ".")
    )
  path = epath.Path(weights).expanduser()
  if kind == "raft" and not path.is_dir():
    tensors = tensor_files.read(pathlib.Path(path))
    variables = raft_weights.raft_small(tensors, pathlib.Path(path))
    return TrainedNetwork(raft.RaftSmall(), variables)
  # It imports Orbax, which takes seconds.
  from mhmr_jax.files import workdirs

  config = workdirs.load_config(path)
  stored = config.model.get("kind")
  if stored != kind:
    raise InputError(
      f"config.flow.weights is {path}, which holds {stored or 'no flow network'}, not "
      f"{kind}: name another, or set config.flow.source."
    )
  model = from_config(config.model)
  shapes = jax.eval_shape(lambda key: init_variables(model, key), jax.random.key(0))
  abstract = {"params": shapes["params"], "batch_stats": {}}
  variables, _ = workdirs.restore_variables(path, abstract)
  return TrainedNetwork(model, {"params": variables["params"]})


def normalised(
  images: UInt8[Array, "batch height width 3"],
) -> Float[Array, "batch height width 3"]:
  """Scales images to [-1, 1], as the networks take them."""
  return images.astype(jnp.float32) / 127.5 - 1


def estimate(
  model: FlowNetwork,
  variables: Variables,
  first: UInt8[Array, "batch height width 3"],
  second: UInt8[Array, "batch height width 3"],
) -> Float[Array, "batch height width 2"]:
  """The displacement of each pixel of `first` to its place in `second`, px.

  Images may have any size: those smaller than the network's `min_size` are enlarged,
  and all are padded at the right and below to multiples of its stride. The flow of
  equal images is zero.
  """
  height, width = first.shape[1:3]
  scale = max(1.0, model.min_size / min(height, width))
  rows, columns = math.ceil(height * scale), math.ceil(width * scale)
  padding = ((0, 0), (0, -rows % model.stride), (0, -columns % model.stride), (0, 0))

  def prepared(images: Array) -> Array:
    x = normalised(images)
    x = jax.image.resize(x, (len(x), rows, columns, 3), "bilinear")
    return jnp.pad(x, padding, mode="edge")

  flow = model.apply(variables, prepared(first), prepared(second), method="estimate")
  flow = jnp.asarray(flow)[:, :rows, :columns]
  flow = jax.image.resize(flow, (len(flow), height, width, 2), "bilinear")
  moving = jnp.any(first != second, axis=(1, 2, 3), keepdims=True)
  return jnp.where(moving, flow * jnp.array([width / columns, height / rows]), 0)


def clip_flow(
  model: FlowNetwork,
  variables: Variables,
  rgb: UInt8[Array, "batch time height width 3"],
  before: UInt8[Array, "batch height width 3"],
) -> Float[Array, "batch time height width 2"]:
  """The flow of clips, at each frame from the one before it, in half precision.

  Args:
    model: the network.
    variables: its weights, to which no gradient is propagated.
    rgb: the clips.
    before: the frame before each clip's first one, in the same window; the first frame
      itself where there is none, which makes its flow zero.
  """
  variables = jax.lax.stop_gradient(variables)
  frames = jnp.moveaxis(rgb, 1, 0)
  earlier = jnp.concatenate([before[None], frames[:-1]])
  # One frame at a time, so that memory does not grow with the clips' length.
  flow = jax.lax.map(lambda pair: estimate(model, variables, *pair), (earlier, frames))
  return jnp.moveaxis(flow, 0, 1).astype(jnp.float16)
