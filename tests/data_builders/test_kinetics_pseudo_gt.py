"""The miniature Kinetics set through builder, training and evaluation; mixtures."""

import os
import pickle

import numpy as np
import pytest

from configs import flow_kp_kinetics
from mhmr_jax.body import smpl
from mhmr_jax.data import config_paths, pipeline, sources
from mhmr_jax.errors import InputError
from mhmr_jax.inference import sequences
from tests import tiny
from tests.data_builders import miniature
from tests.data_builders.tiny_model import TinyModel

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


def _batch(source, config):
  iterator = pipeline.training_iterator(source, config)
  batch = next(iterator)
  iterator.close()
  return batch


def _at_pelvis(batch) -> np.ndarray:
  """Which clips have their joints relative to the pelvis: those of Kinetics."""
  return ~batch["joints_camera"][:, :, 0].any((1, 2))


@pytest.fixture(scope="module")
def model(paths, data_dir):
  return TinyModel(make_config(paths, data_dir))


@pytest.mark.slow
def test_trains_alone_and_is_evaluated(paths, data_dir, model):
  config = make_config(paths, data_dir)
  with config.unlocked():
    config.data.mixture = {}
  config_paths.check_paths(config)
  source = sources.open_training(config)
  assert source.name == NAME
  batch = _batch(source, config)
  assert _at_pelvis(batch).all()
  state, scalars = model.step(batch)
  assert bool(state.finite)
  assert scalars["joints_2d"] > 0
  source = sources.open_source(config, "test", NAME)
  valid = {clip["sequence"]: clip["valid"] for clip in sequences.labels(source)}
  errors = model.errors(config, source)
  assert errors.keys() == valid.keys()
  for name, error in errors.items():
    assert np.isfinite(error[valid[name]]).all()


@pytest.mark.slow
def test_trains_mixed_with_synthetic_clips(paths, data_dir, model):
  config = make_config(paths, data_dir)
  config_paths.check_paths(config)
  mixture = sources.open_training(config)
  assert [source.name for source in mixture.sources] == [NAME, "synthetic_clips"]
  batch = _batch(mixture, config)
  assert _at_pelvis(batch).sum() == 2  # Half of the batch's four clips.
  assert batch["valid"].any(1).all()
  state, scalars = model.step(batch)
  assert bool(state.finite)
  assert scalars["joints_2d"] > 0
