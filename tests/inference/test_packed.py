"""Packed weights, and those that come with the package."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy

from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.errors import InputError
from mhmr_jax.geometry import pinhole
from mhmr_jax.inference import packed, streaming
from mhmr_jax.inference.trained import TrainedRun
from mhmr_jax.keypoints.tracking import Track
from mhmr_jax.models import motion_hmr
from tests import drawn, tiny
from tests.keypoints import people


@pytest.fixture(scope="module")
def run():
  config = tiny.config(name="kp", keypoints__form="coordinates")
  shapes = motion_hmr.input_shapes(config)
  model = motion_hmr.from_config(config)
  variables = drawn.variables(lambda key: motion_hmr.init_variables(model, key, shapes))
  return TrainedRun(config, variables, 20)


def test_a_packed_run_is_read_again(run, tmp_path):
  path = tmp_path / "weights.safetensors"
  packed.write(run, path)
  again = packed.read(path)
  assert again.step == 20
  assert again.config.model.to_dict() == json.loads(
    json.dumps(run.config.model.to_dict())
  )
  assert jax.tree.structure(again.variables) == jax.tree.structure(run.variables)
  for ours, theirs in zip(
    jax.tree.leaves(again.variables), jax.tree.leaves(run.variables), strict=True
  ):
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)


def test_folders_of_the_training_machine_are_left_out(run, tmp_path):
  path = tmp_path / "weights.safetensors"
  run.config.data.motion = "/somebody/motion"
  packed.write(run, path)
  assert b"/somebody" not in path.read_bytes()


def test_weights_that_are_too_large_are_one_sentence(run, tmp_path):
  variables = jax.tree.map(lambda leaf: leaf + 1e6, run.variables)
  with pytest.raises(InputError, match=r"not finite in float16"):
    packed.write(run._replace(variables=variables), tmp_path / "weights.safetensors")
  assert not list(tmp_path.iterdir())


def test_another_models_weights_are_one_sentence(run, tmp_path):
  path = tmp_path / "weights.safetensors"
  packed.write(run, path)
  header = {"config": json.dumps(run.config.to_dict()), "step": "1"}
  tensors = safetensors.numpy.load_file(path)
  tensors.popitem()
  path.write_bytes(safetensors.numpy.save(tensors, header))
  with pytest.raises(InputError, match="does not hold the model of its config"):
    packed.read(path)


def _with_header(run, path, config, **changed_tensors):
  packed.write(run, path)
  tensors = safetensors.numpy.load_file(path) | changed_tensors
  header = {"config": json.dumps(config), "step": "1"}
  path.write_bytes(safetensors.numpy.save(tensors, header))


def _changed(config, name, value):
  section, _, key = name.rpartition(".")
  values = json.loads(json.dumps(config.to_dict()))
  inner = values
  for part in section.split("."):
    inner = inner[part]
  inner[key] = value
  return values


@pytest.mark.parametrize(
  ("name", "value", "sentence"),
  [
    ("model.dtype", "float3", "config.model.dtype is 'float3': give one of"),
    ("model.lstm_features", -1, "config.model.lstm_features is -1: give a whole"),
    ("data.size", 10**9, "config.data.size is 1000000000: give a whole number"),
    ("model.regressor.nosuch", 1, "There is no config.model.regressor.nosuch"),
    ("model.inputs", "keypoints", "config.model.inputs is 'keypoints': give"),
  ],
)
def test_a_config_in_the_file_is_held_to_the_table_of_keys(
  run, tmp_path, name, value, sentence
):
  path = tmp_path / "weights.safetensors"
  _with_header(run, path, _changed(run.config, name, value))
  with pytest.raises(InputError) as caught:
    packed.read(path)
  assert str(caught.value).startswith(
    f"The config in {path} cannot be used ({sentence}"
  )


@pytest.mark.parametrize("config", [{}, [], None, "text", {"model": 1}])
def test_no_config_in_the_file_is_one_sentence(run, tmp_path, config):
  path = tmp_path / "weights.safetensors"
  _with_header(run, path, config)
  with pytest.raises(InputError, match=str(path)):
    packed.read(path)


def test_a_config_of_a_flow_network_is_one_sentence(run, tmp_path):
  from configs import flow_raft

  path = tmp_path / "weights.safetensors"
  _with_header(run, path, flow_raft.get_config().to_dict())
  with pytest.raises(InputError, match="a network that estimates flow"):
    packed.read(path)


def test_weights_that_are_not_finite_are_one_sentence(run, tmp_path):
  path = tmp_path / "weights.safetensors"
  packed.write(run, path)
  name, value = next(iter(safetensors.numpy.load_file(path).items()))
  for wrong in (np.full_like(value, np.nan), np.zeros(value.shape, np.int32)):
    _with_header(run, path, run.config.to_dict(), **{name: wrong})
    with pytest.raises(InputError, match=f"{name} in "):
      packed.read(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 100])
def test_a_damaged_file_is_one_sentence(content, tmp_path):
  path = tmp_path / "weights.safetensors"
  path.write_bytes(content)
  with pytest.raises(InputError, match="packed weights") as caught:
    packed.read(path)
  assert "\n" not in str(caught.value)


def test_the_shipped_weights_are_those_of_their_model(tmp_path):
  shipped = packed.read()
  copy = tmp_path / "weights.safetensors"
  copy.write_bytes(packed.SHIPPED.read_bytes())
  checked = packed.read(copy)
  assert jax.tree.structure(shipped) == jax.tree.structure(checked)
  for ours, theirs in zip(
    jax.tree.leaves(shipped.variables), jax.tree.leaves(checked.variables), strict=True
  ):
    np.testing.assert_array_equal(ours, theirs)


def test_the_shipped_weights_see_a_person_who_walks(caplog):
  shipped = packed.read()
  spec = InputSpec.from_config(shipped.config).for_video()
  keypoints = people.movement(0)
  track = Track(np.arange(len(keypoints)), keypoints)
  chunks = streaming.plan(
    track, np.arange(len(track.frame_index)) / 30, spec, (400, 320)
  )
  intrinsics = pinhole.centred_intrinsics(400, 320)
  batches = list(streaming.make_batches(chunks, None, spec, intrinsics))

  def see(run):
    step, carry = streaming.make_step(run.config, run.variables, mirrored=True)
    return streaming.join(streaming.run(chunks, batches, step, carry), chunks)

  outputs = see(shipped)
  assert np.isfinite(outputs.camera).all()
  # The person stands upright before the camera: the body's y points up in the image.
  assert np.all(outputs.rotations[:, 0, 1, 1] < -0.5)
  assert packed.SHIPPED.stat().st_size < 10e6
  # What is compiled for a network serves whoever reads it again.
  with jax.log_compiles():
    again = see(packed.read())
  assert "run_mirrored" not in caplog.text
  np.testing.assert_array_equal(again.rotations, outputs.rotations)
