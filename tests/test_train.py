"""The training program: run as its users run it, or called in this process."""

import pathlib
import shutil
import sys

import jax
import numpy as np
import pytest
from etils import epath
from orbax.checkpoint import v1 as ocp

from mhmr_jax import train
from mhmr_jax.errors import InputError
from mhmr_jax.motion import library
from mhmr_jax.training import steps
from tests import tiny, workdirs
from tests.data_builders import walkers

# The tests read checkpoints without saying where on the devices they go.
pytestmark = [
  pytest.mark.filterwarnings("ignore:Sharding info not provided"),
  pytest.mark.usefixtures("little_to_collect"),
]
STEPS = tiny.OVERRIDES["train.steps"]


@pytest.fixture
def _one_compilation(monkeypatch):
  """Gives all runs of a test, which have one config, the same compiled step.

  PyTorch, which TensorBoard's writer would import, takes seconds too.
  """
  made = []
  make = steps.make_train_step

  def make_once(config, mesh):
    if not made:
      made.append((config.to_json(), mesh, make(config, mesh)))
    ((text, devices, step),) = made
    assert (text, devices) == (config.to_json(), mesh)
    return step

  monkeypatch.setattr(steps, "make_train_step", make_once)
  monkeypatch.setitem(sys.modules, "tensorboardX", None)


def final_arrays(workdir: pathlib.Path) -> list[np.ndarray]:
  last = workdirs.saved_steps(workdir)[-1]
  restored = ocp.load_checkpointables(workdir / "checkpoints" / str(last))
  assert restored["data"] == {"global_next_index": 4 * last}
  return jax.tree.leaves((restored["model"], restored["optimizer"]))


def assert_all_learns(workdir: pathlib.Path) -> None:
  """Between the checkpoints every parameter array has changed."""
  before, after = (
    ocp.load_checkpointables(workdir / "checkpoints" / str(step))["model"]["params"]
    for step in (STEPS // 2, STEPS)
  )
  differ = lambda *arrays: not np.array_equal(*map(np.asarray, arrays))
  changed = jax.tree.map(differ, before, after)
  assert all(jax.tree.leaves(changed)), changed


def assert_same_run(left: pathlib.Path, right: pathlib.Path) -> None:
  """Both have the same losses, and the same bits in their last checkpoint."""
  assert workdirs.losses(left) == workdirs.losses(right)
  ours, theirs = final_arrays(left), final_arrays(right)
  assert len(ours) > 50
  for one, other in zip(ours, theirs, strict=True):
    np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_every_step_is_written_and_the_network_learns():
  curve = workdirs.losses(workdirs.trained())
  assert list(curve) == list(range(1, STEPS + 1))
  assert_all_learns(workdirs.trained())
  assert np.mean([curve[step] for step in range(STEPS - 3, STEPS)]) < curve[1]


@pytest.mark.slow
@pytest.mark.usefixtures("_one_compilation")
def test_training_against_a_domain_classifier_resumes_to_the_same_bits(tmp_path):
  whole, resumed = epath.Path(tmp_path / "whole"), epath.Path(tmp_path / "resumed")
  config = tiny.config(name="dann")
  train.train(config, whole)
  shutil.copytree(whole, resumed)
  shutil.rmtree(resumed / "checkpoints" / str(STEPS))
  train.train(config, resumed)
  text = (resumed / "metrics.jsonl").read_text()
  for name in ("domain_loss", "domain_accuracy", "domain_lambda"):
    assert text.count(name) == STEPS
  assert_same_run(resumed, whole)
  assert_all_learns(whole)


@pytest.mark.slow
@pytest.mark.usefixtures("_one_compilation")
def test_training_against_a_folder_of_videos_without_labels(tmp_path, monkeypatch):
  walkers.replace_detector(monkeypatch, tmp_path / "cache")
  walkers.write(tmp_path / "videos" / "walk.mp4", [True] * 20, companion=True)
  config = tiny.config(
    name="dann",
    target__dataset="unlabelled_videos",
    videos__dir=str(tmp_path / "videos"),
  )
  train.train(config, epath.Path(tmp_path / "run"))
  curve = workdirs.losses(tmp_path / "run")
  assert list(curve) == list(range(1, STEPS + 1))
  assert np.isfinite(list(curve.values())).all()
  assert (tmp_path / "run" / "metrics.jsonl").read_text().count("domain_loss") == STEPS
  assert_all_learns(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.usefixtures("_one_compilation")
def test_examples_made_on_the_device_resume_to_the_same_bits(tmp_path, monkeypatch):
  monkeypatch.setattr(library, "_PROCEDURAL_MOTIONS", 4)
  whole, resumed = epath.Path(tmp_path / "whole"), epath.Path(tmp_path / "resumed")
  steps = 2 * STEPS  # No two batches have a body in common: the loss is noisy.
  overrides = {"train__hold": 0.3, "train__steps": steps}
  config = tiny.config(tmp_path / "data", "kp_video", **overrides)
  train.train(config, whole)
  shutil.copytree(whole, resumed)
  shutil.rmtree(resumed / "checkpoints" / str(steps))
  train.train(config, resumed)
  assert_same_run(resumed, whole)
  curve = workdirs.losses(whole)
  assert list(curve) == list(range(1, steps + 1))
  assert np.mean([curve[step] for step in range(steps - 3, steps)]) < curve[1]
  assert not (tmp_path / "data").exists()  # Nothing was stored.


@pytest.mark.slow
def test_damaged_clips_are_named(tmp_path):
  workdirs.trained()  # The clips are there.
  copy = tmp_path / "data"
  shutil.copytree(tiny.DATA, copy)
  records = list(copy.rglob("*train.array_record*"))
  assert records
  for record in records:
    content = bytearray(record.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4096] = bytes(4096)
    record.write_bytes(content)
  with pytest.raises(InputError, match=str(copy)):
    train.train(tiny.config(copy), epath.Path(tmp_path / "run"))


@pytest.mark.slow
def test_a_bad_flag_ends_in_one_sentence(tmp_path):
  workdir = tmp_path / "run"
  status, output, errors = tiny.run(
    "train", "--config=configs/flow_kp.py:papper", f"--workdir={workdir}"
  )
  assert status == 1
  assert "papper" in errors.strip().splitlines()[-1]
  assert "Traceback" not in output + errors
  assert not workdir.exists()


@pytest.mark.parametrize(
  ("key", "value", "words"),
  [
    ("train__batch_size", 0, "batch_size"),
    ("flow__source", "magic", "magic"),
    ("model__inputs", ("depth",), "depth"),
    ("data__people", "statues", "statues"),
  ],
)
def test_bad_values_are_named_and_nothing_is_made(key, value, words, tmp_path):
  config = tiny.config(tmp_path / "data", **{key: value})
  with pytest.raises(InputError, match=words):
    train.train(config, epath.Path(tmp_path / "run"))
  assert not list(tmp_path.iterdir())


def test_paper_without_data_names_the_paths_and_makes_nothing(tmp_path):
  config = tiny.experiment("flow_kp", "paper")
  with pytest.raises(InputError) as caught:
    train.train(config, epath.Path(tmp_path / "paper"))
  for key in ("config.body.path", "config.surreal.dir", "config.kinetics.dir"):
    assert key in str(caught.value)
  assert not list(tmp_path.iterdir())


def test_another_configs_workdir_is_refused(tmp_path):
  workdir = tmp_path / "run"
  workdirs.make_untrained(workdir)
  before = (workdir / "metrics.jsonl").read_bytes()
  with pytest.raises(InputError, match=r"config.train.learning_rate = 0.001, not 0.5"):
    train.train(tiny.config(train__learning_rate=0.5), epath.Path(workdir))
  assert (workdir / "metrics.jsonl").read_bytes() == before
