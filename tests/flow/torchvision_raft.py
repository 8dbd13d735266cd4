"""torchvision's raft_small with random weights: the reference for ours."""

import functools
import importlib.util
import pathlib

import pytest


@functools.cache
def _import_torchvision():
  """Imports torchvision, even if its compiled part is for another build of PyTorch."""
  torch = pytest.importorskip("torch")
  spec = importlib.util.find_spec("torchvision")
  if spec is None:
    pytest.skip("torchvision is not installed: it is in the test extra")
  (library,) = pathlib.Path(spec.origin).parent.glob("_C*.so")
  try:
    torch.ops.load_library(str(library))
  except OSError:
    # Its Python part declares shapes of these operators, which RAFT does not use.
    fragment = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
      fragment.define(f"{name}(Tensor dets, Tensor scores, float threshold) -> Tensor")
    import torchvision

    torchvision.kept = fragment  # Its operators go when it does.


def raft_small():
  """torchvision's RAFT in evaluation mode, with the same weights each time.

  Convolutions are made to do more than at the start of training, so that the flow
  moves by pixels.
  """
  _import_torchvision()
  import torch
  from torchvision.models import optical_flow

  torch.manual_seed(0)
  model = optical_flow.raft_small().eval()
  with torch.no_grad():
    for name, value in model.named_parameters():
      if name.endswith("bias"):
        value.normal_(0, 0.1)
    model.update_block.flow_head.conv2.weight.mul_(20)
  return model


def tensors(model):
  """A network's state dict as NumPy arrays."""
  return {name: value.numpy() for name, value in model.state_dict().items()}
