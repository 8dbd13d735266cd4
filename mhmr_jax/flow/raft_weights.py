"""Converts the weights of other programs' RAFT to our variables.

torchvision's file and the one that RAFT's authors released (princeton-vl/RAFT) hold the
same tensors under other names.
"""

import pathlib
from collections.abc import Callable, Mapping

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from mhmr_jax.errors import InputError
from mhmr_jax.flow import raft
from mhmr_jax.flow.network import Variables

# Convolutions that torchvision keeps as the first part of a sequence.
_SEQUENCES = (
  *("convnormrelu", "convnormrelu1", "convnormrelu2", "convnormrelu3", "downsample"),
  *("convcorr1", "convflow1", "convflow2", "mix"),
)
# The authors train copies of the network on several GPUs, whose wrapper adds this.
_AUTHORS_PREFIX = "module."
# Our names that are others in the authors' file.
_AUTHORS_NAMES = {
  **{
    "feature_encoder": "fnet",
    "context_encoder": "cnet",
    "downsample": "downsample.0",
  },
  **{"convnormrelu": "conv1", "conv": "conv2"},
  **{f"convnormrelu{number}": f"conv{number}" for number in (1, 2, 3)},
  **{"motion_encoder": "encoder", "convgru1": "gru", "mix": "conv"},
  **{"convcorr1": "convc1", "convflow1": "convf1", "convflow2": "convf2"},
}
_ADVICE = "give the weights of RAFT's small network, torchvision's or its authors'"


def raft_small(
  tensors: Mapping[str, Shaped[np.ndarray, "..."]], path: str | pathlib.Path
) -> Variables:
  """Converts a state dict of RAFT's small network to `RaftSmall`'s variables.

  Args:
    tensors: the state dict of torchvision's `raft_small` or of the authors'
      `raft-small.pth` as NumPy arrays; other names are ignored.
    path: the file that they come from, for messages.

  Raises:
    InputError: they are another network's.
  """
  named: Callable[[tuple[str, ...]], str] = _torchvision_name
  plain = {name.removeprefix(_AUTHORS_PREFIX): value for name, value in tensors.items()}
  if any(name.startswith("fnet.") for name in plain):
    tensors, named = plain, _authors_name
  example = jnp.zeros((1, raft.RaftSmall.stride, raft.RaftSmall.stride, 3))
  shapes = jax.eval_shape(raft.RaftSmall().init, jax.random.key(0), example, example)
  params = {}
  for place, leaf in flax.traverse_util.flatten_dict(shapes["params"]).items():
    name = named(place)
    if name not in tensors:
      raise InputError(f"{path} has no {name}: {_ADVICE}.")
    value = tensors[name].astype(np.float32)
    value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
    if value.shape != leaf.shape or not np.isfinite(value).all():
      raise InputError(
        f"{name} of {path} has another shape than raft_small's, or numbers that are "
        f"not finite: {_ADVICE}."
      )
    params[place] = value
  return {"params": flax.traverse_util.unflatten_dict(params)}


def _torchvision_name(place: tuple[str, ...]) -> str:
  """The name in torchvision's state dict of a leaf of our parameters."""
  names = []
  for name in place[:-1]:
    if name == "convgru1":
      names.append("recurrent_block")
    names.append("conv" if name == "mix" else name.replace("_", ".", "layer" in name))
    if name in _SEQUENCES:
      names.append("0")
  return ".".join([*names, _last_name(place)])


def _authors_name(place: tuple[str, ...]) -> str:
  """The name in the authors' state dict of a leaf of our parameters."""
  names = [
    _AUTHORS_NAMES.get(name, name.replace("_", ".", "layer" in name))
    for name in place[:-1]
  ]
  return ".".join([*names, _last_name(place)])


def _last_name(place: tuple[str, ...]) -> str:
  return "weight" if place[-1] == "kernel" else "bias"
