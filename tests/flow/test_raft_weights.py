import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.files import tensor_files
from mhmr_jax.flow import raft, raft_weights
from tests.flow import torchvision_raft

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def reference():
  return torchvision_raft.raft_small()


# How names of the authors' network differ from torchvision's.
_RENAMED = [
  (r"^fnet", "feature_encoder"),
  (r"^cnet", "context_encoder"),
  (r"encoder\.conv1", "encoder.convnormrelu.0"),
  (r"encoder\.conv2", "encoder.conv"),
  (r"(layer\d\.\d)\.conv(\d)", r"\1.convnormrelu\2.0"),
  (r"block\.encoder", "block.motion_encoder"),
  (r"convc1", "convcorr1.0"),
  (r"convf(\d)", r"convflow\1.0"),
  (r"motion_encoder\.conv\.", "motion_encoder.conv.0."),
  (r"gru\.", "recurrent_block.convgru1."),
]


def _torchvision_name(name: str) -> str:
  for pattern, other in _RENAMED:
    name = re.sub(pattern, other, name)
  return name


def test_the_authors_file_gives_torchvisions_flow(tmp_path):
  from tests.flow import authors_raft

  torch.manual_seed(0)
  authors = authors_raft.RaftSmall().eval()
  with torch.no_grad():
    authors.update_block.flow_head.conv2.weight.mul_(40)
  path = tmp_path / "raft-small.pth"
  released = torch.nn.DataParallel(authors).state_dict()
  assert next(iter(released)) == "module.fnet.conv1.weight"
  torch.save(released, path, _use_new_zipfile_serialization=False)

  theirs = torchvision_raft.raft_small()
  renamed = {_torchvision_name(k): v for k, v in authors.state_dict().items()}
  theirs.load_state_dict(renamed, strict=True)
  images = np.random.default_rng(0).uniform(-1, 1, (2, 1, 3, 128, 136))
  first, second = torch.tensor(images.astype(np.float32))
  with torch.no_grad():
    flows = authors(first, second, 3)
    expected = torch.stack(theirs(first, second, num_flow_updates=3))
  assert expected.abs().max() > 5
  np.testing.assert_allclose(flows, expected, atol=1e-3)
  # The network with torchvision's variables is compared with torchvision's flow in
  # test_raft.
  jax.tree.map(
    np.testing.assert_array_equal,
    raft_weights.raft_small(tensor_files.read(path), path),
    raft_weights.raft_small(torchvision_raft.tensors(theirs), "memory"),
  )


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_give_the_same_variables(reference, tmp_path, suffix):
  path = tmp_path / f"raft{suffix}"
  if suffix == ".pth":
    torch.save(reference.state_dict(), path)
  else:
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file(torchvision_raft.tensors(reference), path)
  from_file = raft_weights.raft_small(tensor_files.read(path), path)
  jax.tree.map(
    np.testing.assert_array_equal,
    from_file,
    raft_weights.raft_small(torchvision_raft.tensors(reference), path),
  )


def test_weights_begin_as_large_as_torchvision_s(reference):
  tensors = torchvision_raft.tensors(reference)
  # The reference's flow head was made to do more.
  name = "update_block.flow_head.conv2.weight"
  tensors[name] = tensors[name] / 20  # Its memory is the reference's.
  theirs = raft_weights.raft_small(tensors, "memory")
  image = jnp.zeros((1, 8, 8, 3))
  ours = jax.jit(raft.RaftSmall(updates=1).init)(jax.random.key(0), image, image)

  def compare(own, their):
    if own.ndim == 4:
      own, their = np.asarray(own), np.asarray(their)
      np.testing.assert_allclose(own.std(), their.std(), rtol=0.15)

  jax.tree.map(compare, ours, theirs)


def test_weights_of_another_network_are_refused(reference):
  tensors = torchvision_raft.tensors(reference)
  name = "update_block.flow_head.conv2.weight"
  for wrong in (tensors[name][:1], tensors[name] * np.nan):
    with pytest.raises(InputError, match=f"{name} of FILE"):
      raft_weights.raft_small({**tensors, name: wrong}, "FILE")
  del tensors[name]
  with pytest.raises(InputError, match=f"FILE has no {name}"):
    raft_weights.raft_small(tensors, "FILE")
  authors = {"module.fnet.conv1.weight": np.zeros((32, 3, 7, 7), np.float32)}
  with pytest.raises(InputError, match=r"FILE has no cnet\.conv2\.bias"):
    raft_weights.raft_small(authors, "FILE")
