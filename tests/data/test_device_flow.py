"""Flow by a network in training, evaluation and prediction: made from the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from mhmr_jax import train
from mhmr_jax.body import smpl
from mhmr_jax.body.gendered import Bodies
from mhmr_jax.data import device_flow, lanes, pipeline, sources, transforms
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.errors import InputError
from mhmr_jax.files import jpeg
from mhmr_jax.inference import eval_step, sequences, streaming
from mhmr_jax.keypoints import smooth_paths
from mhmr_jax.keypoints.tracking import Track
from mhmr_jax.models import motion_hmr
from mhmr_jax.runtime import sharding
from mhmr_jax.training import steps
from mhmr_jax.visualize import gallery
from tests import tiny
from tests.data.clips import as_found, make_source
from tests.flow import untrained
from tests.training import toy


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
  return untrained.flownets(tmp_path_factory.mktemp("weights") / "flownets")


@pytest.fixture
def config(weights, tmp_path):
  return tiny.config(
    tmp_path,
    flow__source="flownets",
    flow__weights=str(weights),
    keypoints__noise=False,
  )


def test_host_sends_frames_and_gets_flow_back(config):
  iterator = pipeline.training_iterator(make_source([10] * 4), config)
  batch = next(iterator)
  iterator.close()
  assert "flow" not in batch
  np.testing.assert_array_equal(batch["rgb_before"], batch["rgb"][:, 0])
  after = device_flow.make(config)(batch)
  assert after.keys() == (batch.keys() - {"rgb", "rgb_before", "flow_scale"} | {"flow"})
  wanted = motion_hmr.input_shapes(config)["flow"]
  assert (after["flow"].shape, after["flow"].dtype) == (wanted.shape, wanted.dtype)
  # Of clips at 25 frames a second it is that of a thirtieth of a second too.
  slower = {**batch, "flow_scale": np.full(len(batch["rgb"]), 25 / 30, np.float32)}
  expected = np.asarray(after["flow"], np.float32) * 25 / 30
  scaled = device_flow.make(config)(slower)["flow"]
  np.testing.assert_allclose(scaled, expected, rtol=2e-3, atol=1e-3)
  assert not after["flow"][:, 0].any()
  assert np.abs(after["flow"][:, 1:]).max() > 0.1


def test_frames_stay_where_the_network_sees_them_too(config):
  config.model.inputs = ("rgb", "flow")
  iterator = pipeline.training_iterator(make_source([10] * 4), config)
  batch = next(iterator)
  iterator.close()
  after = device_flow.make(config)(batch)
  assert {"rgb", "flow"} <= after.keys()
  assert not {"rgb_before", "keypoints"} & after.keys()


def test_other_flow_is_left_alone(tmp_path):
  batch = {"flow": np.zeros((1, 2, 4, 4, 2))}
  for overrides in ({}, {"flow__source": "raft", "model__inputs": ("keypoints",)}):
    assert device_flow.make(tiny.config(tmp_path, **overrides))(batch) is batch


def test_evaluation_and_a_video_give_the_same_inputs(config, monkeypatch):
  monkeypatch.setattr(smooth_paths, "positions", as_found)
  source = make_source([10])
  clip = source[0]
  spec = InputSpec.from_config(config)
  (group,) = lanes.evaluation_groups(source, config, 1)
  evaluated = [chunk.batch for chunk in group]
  frames = np.arange(10)
  track = Track(frames, clip["keypoints_image"])
  chunks = streaming.plan(track, np.arange(len(track.frame_index)) / 30, spec, (64, 64))
  video = [jpeg.decode(frame, colour=True) for frame in clip["frames"]]
  streamed = list(streaming.make_batches(chunks, iter(video), spec, clip["intrinsics"]))
  assert len(evaluated) == len(streamed) == 3
  for left, right in zip(evaluated, streamed, strict=True):
    for key in ("rgb", "rgb_before", "keypoints"):
      np.testing.assert_array_equal(left[key], right[key])
  # The frame before a later chunk is the last of the chunk before, in its window.
  first, second = evaluated[:2]
  np.testing.assert_array_equal(first["rgb_before"], first["rgb"][:, 0])
  assert (second["rgb_before"] != second["rgb"][:, 0]).any()


def test_mirrored_clips_have_the_frame_before_mirrored():
  rng = np.random.default_rng(0)
  batch = {
    "rgb": rng.integers(0, 255, (2, 32, 32, 3), np.uint8),
    "rgb_before": rng.integers(0, 255, (32, 32, 3), np.uint8),
  }
  flipped = transforms.flip(batch, 32)
  np.testing.assert_array_equal(flipped["rgb"], batch["rgb"][:, :, ::-1])
  np.testing.assert_array_equal(flipped["rgb_before"], batch["rgb_before"][:, ::-1])


def test_weights_are_asked_for_before_anything_is_made(tmp_path):
  for cached in (False, True):
    config = tiny.config(tmp_path, flow__source="raft", flow__cache=cached)
    with pytest.raises(InputError, match=r"config\.flow\.weights"):
      device_flow.make(config)


@pytest.mark.slow
def test_two_devices_divide_the_clips(weights):
  process = tiny.start_module("tests.data.flow_on_devices", str(weights), devices=2)
  status, _, errors = tiny.end(process)
  assert status == 0, errors


def test_training_hands_flow_to_the_network(config, monkeypatch, tmp_path):
  """A step in the network's place sees what the network would."""
  seen = []

  def step(state, batch, key, body):
    del body
    seen.append(batch)
    number = jnp.zeros(toy.BATCH_SIZE)
    state, scalars = toy.step(state, {"number": number}, key)
    return state, {**scalars, "pa_mpjpe_mm": 90.0}

  def make_train_step(config, mesh):
    shapes = jax.eval_shape(toy.init, jax.random.key(0))
    return steps.TrainStep(toy.init, step, shapes, sharding.replicated(mesh))

  source = make_source([10] * 4)
  monkeypatch.setattr(steps, "make_train_step", make_train_step)
  monkeypatch.setattr(sources, "open_training", lambda config: source)
  config.train.steps = 2
  train.train(config, epath.Path(tmp_path / "run"))
  assert len(seen) == 2
  wanted = steps.batch_shapes(config)
  for batch in seen:
    assert batch.keys() == wanted.keys()
    assert np.abs(batch["flow"][:, 1:]).max() > 0.1


def test_evaluation_predicts_with_it_and_shows_it(config, monkeypatch):
  seen = []

  def predict(variables, batch, carry):
    seen.append(batch)
    lead = batch["flow"].shape[:2]
    shapes = {"betas": (*lead, 10), "camera": (*lead, 3)}
    zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    identity = np.broadcast_to(np.eye(3, dtype=np.float32), (*lead, 24, 3, 3))
    return {**zeros, "rotations": identity}, carry

  monkeypatch.setattr(eval_step, "make", lambda config, mesh: predict)
  source = make_source([10])
  predictions = list(sequences.predict(config, {}, source, [10], sharding.make_mesh()))
  assert len(seen) == 3
  for batch in seen:
    assert not {"rgb", "rgb_before"} & batch.keys()
    assert np.abs(batch["flow"]).max() > 0.1
  row = {"sequence": "clip0", "pa_mpjpe_mm": 90.0}
  shown = gallery.Gallery(Bodies(smpl.load()), config, source, predictions, [row])
  (picture,) = shown.pictures(examples=1, worst=1).inputs
  assert "flow (hue" in picture.caption
  # Between the frames and the heatmaps.
  middle = len(picture.image) // 2
  assert np.ptp(picture.image[middle - 40 : middle + 40]) > 20
