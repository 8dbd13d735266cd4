"""Converts the weights of torchvision's RAFT to our variables."""

import pathlib
from collections.abc import Mapping

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


def raft_small(
  tensors: Mapping[str, Shaped[np.ndarray, "..."]], path: str | pathlib.Path
) -> Variables:
  """Converts the state dict of torchvision's `raft_small` to `RaftSmall`'s variables.

  Args:
    tensors: the state dict as NumPy arrays; other names are ignored.
    path: the file that they come from, for messages.

  Raises:
    InputError: they are another network's.
  """
  example = jnp.zeros((1, raft.RaftSmall.stride, raft.RaftSmall.stride, 3))
  shapes = jax.eval_shape(raft.RaftSmall().init, jax.random.key(0), example, example)
  params = {}
  for place, leaf in flax.traverse_util.flatten_dict(shapes["params"]).items():
    name = _torchvision_name(place)
    if name not in tensors:
      raise InputError(f"{path} has no {name}: give torchvision's raft_small weights.")
    value = tensors[name].astype(np.float32)
    value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
    if value.shape != leaf.shape or not np.isfinite(value).all():
      raise InputError(
        f"{name} of {path} has another shape than raft_small's, or numbers that are "
        "not finite: give torchvision's raft_small weights."
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
  return ".".join([*names, "weight" if place[-1] == "kernel" else "bias"])
