"""The flow training, run as its users run it; its steps by their shapes."""

import functools
import importlib
import json

import jax
import numpy as np
import pytest
from etils import epath

from configs import flow_raft
from mhmr_jax import train_flow
from mhmr_jax.errors import InputError
from mhmr_jax.flow import learned
from mhmr_jax.training import flow_step, train_step
from tests import tiny

OVERRIDES = {
  "train.steps": 3,
  "train.batch_size": 2,
  "train.warmup_steps": 1,
  "train.checkpoint_every": 2,
  "data.num_clips": 2,
  "data.clip_frames": 4,
  "data.frame_size": 64,
  "data.test_fraction": 0.5,
  "data.variant": "plain",
  "data.processes": 1,
  "data.workers": 0,
}


def _run(name, data_dir, workdir, *more):
  flags = [f"--config.{key}={value}" for key, value in OVERRIDES.items()]
  return tiny.run(
    "train_flow",
    f"--config=configs/{name}.py",
    f"--config.data.dir={data_dir}",
    f"--workdir={workdir}",
    *flags,
    *more,
  )


@pytest.mark.parametrize("name", ["flow_flownets", "flow_raft"])
def test_the_papers_training_step_has_shapes(name):
  # The default's differ in sizes alone.
  config = importlib.import_module(f"configs.{name}").get_config("paper")
  model = learned.from_config(config.model)
  optimizer = train_step.make_optimizer(config.train)
  lead = (2, config.data.size, config.data.size)
  shapes = {"first": (3, "uint8"), "second": (3, "uint8"), "flow": (2, "float32")}
  batch = {
    key: jax.ShapeDtypeStruct((*lead, channels), dtype)
    for key, (channels, dtype) in shapes.items()
  } | {"valid": jax.ShapeDtypeStruct(lead, bool)}
  parts = {"model": model, "optimizer": optimizer}
  key = jax.random.key(0)
  state = jax.eval_shape(functools.partial(flow_step.init_state, **parts), key)
  step = functools.partial(flow_step.step, **parts)
  after, scalars = jax.eval_shape(step, state, batch, key)
  assert jax.tree.structure(after) == jax.tree.structure(state)
  assert all(scalar.shape == () for scalar in scalars.values())
  assert scalars.keys() == {"loss", "grad_norm", "epe_px"}


def test_end_point_error_is_of_valid_pixels():
  flow = np.zeros((1, 2, 2, 2), np.float32)
  target = np.array([[[[3, 4], [0, 1]], [[np.nan, 0], [9, 9]]]], np.float32)
  valid = np.array([[[True, True], [False, False]]])
  error = jax.jit(flow_step.end_point_error)(flow, target, valid)
  assert error == pytest.approx(3)


def test_distortion_is_nearly_the_same_in_both_frames():
  images = np.random.default_rng(1).uniform(-1, 1, (16, 8, 8, 3)).astype(np.float32)
  distort = jax.jit(flow_step.distort)
  first, second = map(np.asarray, distort(jax.random.key(0), images, images))
  assert np.abs(first).max() <= 1
  between = np.abs(first - second).mean()
  assert 0.01 < between < 0.5 * np.abs(first - images).mean()


@pytest.mark.slow
def test_trains_resumes_and_is_read_back(tmp_path):
  workdir = tmp_path / "run"
  small = ("--config.model.width=0.05", "--config.data.size=64")
  status, _, errors = _run("flow_flownets", tmp_path / "data", workdir, *small)
  assert status == 0, errors
  assert "end-point error" in errors
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  records = [json.loads(line) for line in lines]
  assert [record["step"] for record in records] == [1, 2, 3]
  assert all(np.isfinite(record["epe_px"]) for record in records)

  estimator = learned.load("flownets", str(workdir))
  assert estimator.model.width == 0.05
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(estimator.variables))
  with pytest.raises(InputError, match="holds flownets, not raft"):
    learned.load("raft", str(workdir))


def test_sizes_that_the_network_cannot_take_are_refused(tmp_path):
  config = flow_raft.get_config()
  config.data.update(dir=str(tmp_path / "data"), size=64)
  with pytest.raises(InputError, match=r"config\.data\.size is 64"):
    train_flow.train(config, epath.Path(tmp_path / "run"))
  assert not list(tmp_path.iterdir())
