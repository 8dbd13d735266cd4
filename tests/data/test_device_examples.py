"""Keypoint examples of a config: what they are made of, and that they fit the step."""

import functools

import jax
import numpy as np
import pytest

from mhmr_jax.body import posed_keypoints, smpl
from mhmr_jax.data import device_examples
from mhmr_jax.errors import InputError
from mhmr_jax.motion import library
from mhmr_jax.runtime import sharding
from mhmr_jax.synth.keypoint_examples import examples
from mhmr_jax.training import steps
from tests import tiny


@pytest.fixture(autouse=True)
def few_motions(monkeypatch):
  """Two procedural motions of a second in place of half an hour."""
  monkeypatch.setattr(library, "_PROCEDURAL_MOTIONS", 2)
  monkeypatch.setattr(library, "_PROCEDURAL_FRAMES", 30)


@pytest.fixture
def config(tmp_path):
  return tiny.config(tmp_path, "kp_video")


def _write_captured(folder, frames):
  rng = np.random.default_rng(0)
  np.savez(
    folder / "only.npz",
    poses=rng.normal(0, 0.3, (frames, 156)),
    trans=rng.normal(0, 1, (frames, 3)),
    mocap_framerate=30.0,
  )


def test_stored_clips_stay_as_they_are(tmp_path):
  batch = {"keypoints": np.zeros((4, 4, 17, 3), np.float32)}
  assert (
    device_examples.make(tiny.config(tmp_path, "kp"), sharding.make_mesh())(batch)
    is batch
  )


def test_examples_have_the_shapes_that_the_step_is_compiled_for(config):
  bank, body = device_examples.open_bank(config, "train"), smpl.load()
  made = jax.eval_shape(
    functools.partial(examples.make_batch, device_examples.example_spec(config)),
    bank,
    body,
    posed_keypoints.moments(body),
    jax.random.key_data(jax.random.key(0)),
    np.arange(config.train.batch_size, dtype=np.uint32),
  )
  expected = steps.batch_shapes(config)
  shapes = lambda batch: {k: (v.shape, v.dtype) for k, v in batch.items()}
  assert shapes(made) == shapes(expected)


def test_without_captured_motion_all_is_procedural(config):
  bank = device_examples.open_bank(config, "train")
  assert bank.lengths.tolist() == [30, 30]
  np.testing.assert_allclose(bank.cumulative, [0.5, 1])
  other = device_examples.open_bank(config, "test")
  assert np.abs(np.asarray(bank.transl) - np.asarray(other.transl)).max() > 0


@pytest.mark.parametrize("share", [0.0, 0.35, 1.0])
def test_procedural_motion_has_its_share_beside_captured_one(config, tmp_path, share):
  _write_captured(tmp_path, 50)
  config.data.motion = str(tmp_path)
  config.keypoint_examples.procedural = share
  bank = device_examples.open_bank(config, "train")
  # Four fifths of a single file are for training.
  lengths = {0.0: [40], 0.35: [30, 30, 40], 1.0: [30, 30]}[share]
  assert bank.lengths.tolist() == lengths
  cumulative = {0.0: [1], 0.35: [0.175, 0.35, 1], 1.0: [0.5, 1]}[share]
  np.testing.assert_allclose(bank.cumulative, cumulative, rtol=1e-6)


def test_motion_that_is_not_there_is_refused(config, tmp_path):
  config.data.motion = str(tmp_path / "nowhere")
  with pytest.raises(InputError, match="nowhere"):
    device_examples.make(config, sharding.make_mesh())


def test_the_spec_is_the_configs(config):
  spec = device_examples.example_spec(config)
  assert (spec.frames, spec.size, spec.window_scale) == (4, 32, 1.25)
  assert spec.noise is not None
  assert spec.viewpoints.pitch == "broad"
  assert spec.variety.bent > 0
  config.keypoint_examples.update(varied=False, cameras="level")
  config.keypoints.noise = False
  plain = device_examples.example_spec(config)
  assert plain.noise is None
  assert plain.viewpoints.pitch == "level"
  assert (plain.variety.speed, plain.variety.bent, plain.variety.offset) == (1, 0, 0)
