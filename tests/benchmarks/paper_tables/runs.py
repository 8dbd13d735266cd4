"""The configs of a table's rows, and their trainings.

A run trains in a work directory of its own, so that it goes on where it stopped. Rows
that several tables have are trained once.
"""

import importlib
import json
import pathlib
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
from etils import epath
from ml_collections import ConfigDict

from configs import flow_flownets
from mhmr_jax import train, train_flow
from mhmr_jax.body import smpl
from mhmr_jax.data import config_paths
from mhmr_jax.runtime import config_check, config_keys, sharding
from mhmr_jax.training import steps
from tests.benchmarks.paper_tables.tables import Entry

ROOT = pathlib.Path(__file__).parents[3]
SIZES = ("small", "paper")
# Minutes, to see that all goes through: it says nothing about the methods.
QUICK: dict[str, Any] = {
  "train.steps": 3,
  "train.batch_size": 4,
  "train.warmup_steps": 1,
  "data.num_clips": 6,
  "data.test_fraction": 0.34,
  "data.clip_frames": 10,
  "data.frame_size": 64,
  "data.window": 4,
  "data.size": 32,
  "data.processes": 1,
  "data.workers": 0,
  "model.encoder.stage_widths": (8,),
  "model.encoder.stem_width": 8,
  "model.encoder.features": 16,
  "model.encoder.pool_grid": 4,
  "model.lstm_features": 16,
  "model.regressor.hidden": (32, 32),
  "model.regressor.rounds": 1,
}
_QUICK_FLOW: dict[str, Any] = {
  "train.steps": 2,
  "train.batch_size": 2,
  "train.warmup_steps": 1,
  "model.width": 0.1,
  "data.size": 64,
}
# What decides which clips there are, and how they are made and read.
_CLIPS = (
  *("variant", "people", "seed", "num_clips", "test_fraction"),
  *("clip_frames", "frame_size", "processes", "workers"),
)


class Options(NamedTuple):
  """What all runs of a call have in common.

  Attributes:
    size: one of SIZES.
    quick: whether they are tiny.
    folder: of the work directories and, unless `paths` say another, of the clips.
    paths: of this machine's data, by dotted key.
    raft_weights: a file of RAFT's; "" if there is none.
  """

  size: str
  quick: bool
  folder: pathlib.Path
  paths: Mapping[str, str]
  raft_weights: str = ""


class Run(NamedTuple):
  """A training: its row, its seed, its config and its work directory."""

  entry: Entry
  seed: int
  config: ConfigDict
  workdir: pathlib.Path

  @property
  def name(self) -> str:
    """The run's name, which its folder and its results have."""
    return f"{self.entry.run}_seed{self.seed}"


def of_entry(entry: Entry, seed: int, options: Options) -> Run:
  """The run of a row with a seed; nothing is made yet."""
  module = importlib.import_module(f"configs.{entry.config}")
  config = module.get_config(options.size)
  values = dict(entry.changes)
  if options.quick:
    values = _shrunk(values, has_memory=config.model.lstm_features > 0)
  values |= {"seed": seed, "data.dir": str(options.folder / "data")}
  if values.get("flow.source") == "raft":
    values["flow.weights"] = options.raft_weights
  if values.get("flow.source") == "flownets":
    values["flow.weights"] = str(_flow_workdir(options))
  config.update_from_flattened_dict({**values, **options.paths})
  run = Run(entry, seed, config, pathlib.Path())
  return run._replace(workdir=options.folder / run.name)


def _shrunk(changes: dict[str, Any], has_memory: bool) -> dict[str, Any]:
  """The changes of a tiny run: a table's own values are cut to the tiny clips."""
  values = {**QUICK, **changes}
  if not has_memory:
    del values["model.lstm_features"]
  for key in ("data.clip_frames", "data.num_clips", "train.batch_size"):
    values[key] = QUICK[key]
  values["data.window"] = min(values["data.window"], values["data.clip_frames"])
  return values


def missing_data(run: Run, tests: Sequence[str]) -> list[str]:
  """The keys of what a run and its tests read and is not there, with their values.

  Raises:
    InputError: the run's config is bad.
  """
  config_check.check(run.config)
  others = ["threedpw"] if "3dpw" in tests else []
  missing = config_paths.missing_paths(run.config, others)
  if run.entry.changes.get("flow.source") == "raft" and not run.config.flow.weights:
    missing.append("raft_weights (not set)")
  return missing


def step_size(run: Run) -> int:
  """How many parameters a run's training step has, from its shapes alone."""
  made = steps.make_train_step(run.config, sharding.make_mesh(jax.devices()[:1]))
  key = jax.eval_shape(lambda: jax.random.key(0))
  body = smpl.load()
  batch = steps.batch_shapes(run.config)
  after, _ = jax.eval_shape(made.step, made.state_shapes, batch, key, body)
  return sum(leaf.size for leaf in jax.tree.leaves(after.params))


def fit(run: Run, options: Options) -> None:
  """Trains a run to its last step, from where it stopped.

  Raises:
    InputError: the config or the data cannot be used.
    RestartError: it was asked to stop.
  """
  if run.config.flow.source == "flownets":
    _fit_flow(run, options)
  train.train(run.config, epath.Path(run.workdir))


def _flow_workdir(options: Options) -> pathlib.Path:
  return options.folder / "flownets_seed0"


def _fit_flow(run: Run, options: Options) -> None:
  """Trains FlowNetS on the run's own clips, of whose flow the run learns."""
  config = flow_flownets.get_config("paper" if options.size == "paper" else "")
  values: dict[str, Any] = dict(_QUICK_FLOW) if options.quick else {}
  values |= {f"data.{key}": run.config.data[key] for key in _CLIPS}
  values["data.dir"] = str(options.folder / "data")
  config.update_from_flattened_dict({**values, **_shared(options.paths, config)})
  train_flow.train(config, epath.Path(_flow_workdir(options)))


def _shared(paths: Mapping[str, str], config: ConfigDict) -> dict[str, str]:
  known = dict(config_check.flattened(config.to_dict()))
  return {key: value for key, value in paths.items() if key in known}


def command(run: Run, options: Options) -> str:
  """The command that trains the same, without this machine's paths."""
  words = [
    "python -m mhmr_jax.train",
    f"--config=configs/{run.entry.config}.py:{options.size}",
    f"--workdir={run.name}",
    f"--config.seed={run.seed}",
  ]
  values = portable_config(run.config)
  for key in {**(QUICK if options.quick else {}), **run.entry.changes}:
    words.append(f"--config.{key}={values[key]}".replace(" ", ""))
  for key, path in (
    ("flow.weights", run.config.flow.weights),
    ("videos.dir", run.config.videos.dir),
  ):
    if path:
      words.append(f"--config.{key}={pathlib.Path(path).name}")
  return " ".join(words)


def portable_config(config: ConfigDict) -> dict[str, Any]:
  """The config's values by dotted key, without paths, as JSON has them."""
  values = {
    key: value
    for key, value in config_check.flattened(config.to_dict())
    if config_keys.MOTION[key].rule.wanted != "a path, or nothing"
  }
  loaded: dict[str, Any] = json.loads(json.dumps(values))
  return loaded


def commit() -> str:
  """The commit of the code, and whether files differ from it; "unknown" elsewhere.

  The page and the results, which these programs write, do not count.
  """
  described = _git("rev-parse", "--short=12", "HEAD")
  if not described:
    return "unknown"
  code = (".", ":(exclude)docs/paper", ":(exclude)docs/paper.md")
  changed = _git("status", "--porcelain", "--untracked-files=no", "--", *code)
  return f"{described}-dirty" if changed else described


def _git(*arguments: str) -> str:
  """What git prints; nothing outside of a clone."""
  ran = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
  return ran.stdout.strip()
