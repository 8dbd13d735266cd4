import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.files import tensor_files
from mhmr_jax.flow import raft, torchvision_weights
from tests.flow import torchvision_raft

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def reference():
  return torchvision_raft.raft_small()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_give_the_same_variables(reference, tmp_path, suffix):
  path = tmp_path / f"raft{suffix}"
  if suffix == ".pth":
    torch.save(reference.state_dict(), path)
  else:
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file(torchvision_raft.tensors(reference), path)
  from_file = torchvision_weights.raft_small(tensor_files.read(path), path)
  jax.tree.map(
    np.testing.assert_array_equal,
    from_file,
    torchvision_weights.raft_small(torchvision_raft.tensors(reference), path),
  )


def test_weights_begin_as_large_as_torchvision_s(reference):
  tensors = torchvision_raft.tensors(reference)
  # The reference's flow head was made to do more.
  name = "update_block.flow_head.conv2.weight"
  tensors[name] = tensors[name] / 20  # Its memory is the reference's.
  theirs = torchvision_weights.raft_small(tensors, "memory")
  image = jnp.zeros((1, 8, 8, 3))
  ours = jax.jit(raft.RaftSmall(updates=1).init)(jax.random.key(0), image, image)

  def compare(own, their):
    if own.ndim == 4:
      np.testing.assert_allclose(own.std(), their.std(), rtol=0.15)

  jax.tree.map(compare, ours, theirs)


def test_weights_of_another_network_are_refused(reference):
  tensors = torchvision_raft.tensors(reference)
  name = "update_block.flow_head.conv2.weight"
  for wrong in (tensors[name][:1], tensors[name] * np.nan):
    with pytest.raises(InputError, match=f"{name} of FILE"):
      torchvision_weights.raft_small({**tensors, name: wrong}, "FILE")
  del tensors[name]
  with pytest.raises(InputError, match=f"FILE has no {name}"):
    torchvision_weights.raft_small(tensors, "FILE")
