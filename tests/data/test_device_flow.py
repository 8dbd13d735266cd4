"""Flow by a network in training, evaluation and prediction: made from the same."""

import json

import numpy as np
import pytest

from mhmr_jax.data import device_flow, lanes, pipeline, transforms
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.errors import InputError
from mhmr_jax.files import jpeg
from mhmr_jax.inference import streaming
from mhmr_jax.keypoints.tracking import Track
from mhmr_jax.models import motion_hmr
from tests import tiny
from tests.data.clips import make_source
from tests.flow import untrained


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


def test_evaluation_and_a_video_give_the_same_inputs(config):
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
def test_programs_run_with_it_on_two_devices(weights, tmp_path):
  workdir = tmp_path / "run"
  module = "tests.data.train_and_evaluate"
  process = tiny.start_module(module, str(workdir), str(weights), devices=2)
  _, errors = process.communicate(timeout=600)
  assert process.returncode == 0, errors
  out = workdir / "evaluation" / "synthetic_clips"
  assert json.loads((out / "metrics.json").read_text())["pa_mpjpe_mm"] > 0
  assert "flow (hue" in (out / "report.html").read_text()
