"""The miniature Kinetics set through builder, training and evaluation; mixtures."""

import functools
import os
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import flow_kp_kinetics
from mhmr_jax import train
from mhmr_jax.body import smpl
from mhmr_jax.data import config_paths, pipeline, sources
from mhmr_jax.errors import InputError
from mhmr_jax.geometry import metrics
from mhmr_jax.inference import sequences
from mhmr_jax.models import motion_hmr
from mhmr_jax.runtime import sharding
from mhmr_jax.training import train_step
from tests import tiny
from tests.data_builders import miniature

NAME = "kinetics_pseudo_gt"


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
  return miniature.write_kinetics(tmp_path_factory.mktemp("kinetics"), smpl.load())


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  return tmp_path_factory.mktemp("data")


def make_config(paths, data_dir, **overrides):
  config = tiny.config(data_dir)
  with config.unlocked():
    config.data.mixture = flow_kp_kinetics.get_config().data.mixture
  # By their hashes, one of the three videos is for testing.
  settings = {"data.test_fraction": 0.4, "data.source": NAME, **paths}
  config.update_from_flattened_dict({**settings, **overrides})
  return config


def clips(config, split):
  source = sources.open_source(config, split, NAME)
  return {
    clip["sequence"]: clip for clip in map(source.__getitem__, range(len(source)))
  }


def test_clips_with_a_video_are_there_and_others_named(paths, data_dir, caplog):
  config = make_config(paths, data_dir)
  train_clips, test_clips = clips(config, "train"), clips(config, "test")
  assert sorted(train_clips | test_clips) == sorted(
    [f"{miniature.CLIP}_12_22", "third_1_11", "zzz_7_3_13"]
  )
  assert not train_clips.keys() & test_clips.keys()
  assert train_clips
  assert test_clips
  assert "1 of 4 clips are left out: gone_0_10" in caplog.text
  (left_out,) = data_dir.rglob("left_out.txt")
  assert left_out.read_text().startswith("gone_0_10\t")
  clip = (train_clips | test_clips)[f"{miniature.CLIP}_12_22"]
  assert len(clip["frames"]) == len(clip["valid"]) == 11
  assert clip["gender"] == "neutral"
  assert not clip["keypoints_detected"]
  assert "intrinsics" not in clip


class Witness:
  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return os.system, (f"touch {self.path}",)


def test_bad_clips_are_left_out_by_name_and_good_ones_stay(tmp_path, caplog):
  paths = miniature.write_kinetics(tmp_path, smpl.load())
  labels = tmp_path / "labels"
  hostile = pickle.dumps({"time": Witness(tmp_path / "ran")}, 2)
  (labels / "third_000001_000011.pkl").write_bytes(hostile)
  (tmp_path / "videos" / "zzz_7_3_13.mp4").write_bytes(b"\0" * 500)
  config = make_config(paths, tmp_path / "data", **{"data.test_fraction": 0.0})
  assert list(clips(config, "train")) == [f"{miniature.CLIP}_12_22"]
  assert not (tmp_path / "ran").exists()
  assert "2 of 3 clips are left out" in caplog.text
  (left_out,) = (tmp_path / "data").rglob("left_out.txt")
  reasons = dict(line.split("\t") for line in left_out.read_text().splitlines())
  assert sorted(reasons) == ["gone_0_10", "third_1_11", "zzz_7_3_13"]
  assert "system" in reasons["third_1_11"]
  assert "not a video" in reasons["zzz_7_3_13"]
  with pytest.raises(InputError, match="no split 'test': use train"):
    clips(config, "test")


def test_nothing_is_half_built(tmp_path):
  paths = miniature.write_kinetics(tmp_path, smpl.load())
  for path in (tmp_path / "labels").glob("*.pkl"):
    path.write_bytes(b"nothing")
  config = make_config(paths, tmp_path / "data", **{"data.test_fraction": 0.0})
  with pytest.raises(InputError, match="No clip of the train split can be used"):
    clips(config, "train")
  assert not list((tmp_path / "data").rglob("dataset_info.json"))
  for path in (tmp_path / "videos").rglob("*.mp4"):
    path.unlink()
  with pytest.raises(InputError, match="no video of the 4 labelled clips"):
    clips(config, "train")
  for path in (tmp_path / "labels").glob("*.pkl"):
    path.unlink()
  with pytest.raises(InputError, match=r"no file named <id>_<start>_<end>\.pkl"):
    clips(config, "train")
  config.kinetics.dir = ""
  with pytest.raises(InputError, match=r"config\.kinetics\.dir \(not set\)"):
    clips(config, "train")


@pytest.mark.slow
def test_trains_alone_and_is_evaluated(paths, data_dir, tmp_path):
  config = make_config(paths, data_dir, **{"train.steps": 2, "train.batch_size": 2})
  with config.unlocked():
    config.data.mixture = {}
  config_paths.check_paths(config)
  state = train.train(config, tmp_path / "run")
  assert bool(state.finite)
  source = sources.open_source(config, "test", NAME)
  labels = list(sequences.labels(source))
  lengths = [len(clip["valid"]) for clip in labels]
  mesh = sharding.make_mesh()
  said = sequences.predict(config, state.variables, source, lengths, mesh)
  body = smpl.load()
  for clip, prediction in zip(labels, said, strict=True):
    joints = smpl.joints_from_matrices(
      body,
      jnp.asarray(prediction.rotations),
      jnp.asarray(prediction.betas),
      jnp.zeros(3),
    )
    error = metrics.pa_mpjpe(joints, jnp.asarray(clip["joints_camera"]))
    assert np.isfinite(np.asarray(error)[clip["valid"]]).all()


@pytest.mark.slow
def test_trains_mixed_with_synthetic_clips(paths, data_dir):
  config = make_config(paths, data_dir)
  config_paths.check_paths(config)
  mixture = sources.open_training(config)
  assert [source.name for source in mixture.sources] == [NAME, "synthetic_clips"]
  iterator = pipeline.training_iterator(mixture, config)
  batch = next(iterator)
  iterator.close()
  # Of either kind there are two of four, and Kinetics' joints are about the pelvis.
  at_pelvis = ~batch["joints_camera"][:, :, 0].any((1, 2))
  assert at_pelvis.sum() == 2
  assert batch["valid"].any(1).all()
  model = motion_hmr.from_config(config.model, config.data.size)
  optimizer = train_step.make_optimizer(config.train)
  init = functools.partial(
    train_step.init_state,
    batch=motion_hmr.input_shapes(config),
    model=model,
    optimizer=optimizer,
  )
  state = jax.jit(init)(jax.random.key(0))
  step = functools.partial(
    train_step.train_step,
    model=model,
    optimizer=optimizer,
    loss_weights=config.loss.to_dict(),
  )
  state, scalars = jax.jit(step)(state, batch, jax.random.key(1), smpl.load())
  assert bool(state.finite)
  assert float(scalars["joints_2d"]) > 0
