"""Work directories as training leaves them, each made once in a test run."""

import json
import pathlib
import shutil
from collections.abc import Callable

import jax
import numpy as np
from etils import epath
from ml_collections import ConfigDict

from mhmr_jax.data import pipeline, sources
from mhmr_jax.files import locks
from mhmr_jax.runtime import sharding
from mhmr_jax.training import checkpoints, steps
from tests import drawn, tiny

STEP = 7  # The step of the untrained run.


def trained() -> pathlib.Path:
  """The tiny `flow_kp` run after its last step, not to write in."""

  def train(workdir: pathlib.Path) -> None:
    flags = [*tiny.flags(), f"--workdir={workdir}", "--config.data.workers=1"]
    status, _, errors = tiny.end(tiny.start_alone("mhmr_jax.train", *flags))
    assert status == 0, errors
    assert "leaked" not in errors  # Of the memory that is shared with the loader.

  return _once("trained", train)


def evaluated() -> pathlib.Path:
  """The untrained run after its evaluation, not to write in.

  What the program printed is in `output.txt`, beside it.
  """

  def evaluate(workdir: pathlib.Path) -> None:
    make_untrained(workdir)
    sources.open_source(tiny.config(), "train")  # A training would have made them.
    status, output, errors = tiny.run(
      "evaluate", f"--workdir={workdir}", "--dataset=synthetic_clips"
    )
    assert status == 0, errors
    (workdir.parent / "output.txt").write_text(output)

  return _once("evaluated", evaluate)


def shown() -> pathlib.Path:
  """The sheets and pages of the tiny clips, not to write in.

  What the program printed is in `output.txt`, beside it.
  """

  def show(out: pathlib.Path) -> None:
    status, output, errors = tiny.run(
      "visualize.clips",
      *(*tiny.flags(), f"--out={out}"),
      *("--count=2", "--most_read=3", "--variants=alone,plain"),
    )
    assert status == 0, errors
    (out.parent / "output.txt").write_text(output)

  return _once("shown", show)


def make_untrained(workdir: pathlib.Path, data_dir: pathlib.Path = tiny.DATA) -> None:
  """Makes the tiny `flow_kp` run with its initial parameters, as of step `STEP`.

  Args:
    workdir: the folder to make.
    data_dir: where its config has the clips made.
  """
  shutil.copytree(_once("untrained", _make_untrained), workdir)
  config = json.loads((workdir / "config.json").read_text())
  config["data"]["dir"] = str(data_dir)
  (workdir / "config.json").write_text(json.dumps(config))


def losses(workdir: pathlib.Path) -> dict[int, float]:
  """The loss of every step."""
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  return {record["step"]: record["loss"] for record in map(json.loads, lines)}


def saved_steps(workdir: pathlib.Path) -> list[int]:
  """The steps that there are complete checkpoints of."""
  folders = (workdir / "checkpoints").iterdir()
  return sorted(int(folder.name) for folder in folders if folder.name.isdigit())


def _once(name: str, make: Callable[[pathlib.Path], None]) -> pathlib.Path:
  """A folder that the first to ask for it makes; other processes wait for that one."""
  folder = tiny.RUN / name
  with locks.exclusive(folder):
    if not (folder / "complete").exists():
      make(folder / "run")
      (folder / "complete").touch()
  return folder / "run"


def write_initial(workdir: pathlib.Path, config: ConfigDict, step: int = 0) -> None:
  """Makes the run of a config with untrained parameters, as of that step."""
  made = steps.make_train_step(config, sharding.make_mesh(jax.devices()[:1]))
  state = drawn.state(made.state_shapes)
  checkpoints.prepare_workdir(epath.Path(workdir), config)
  saved = checkpoints.Checkpoints(epath.Path(workdir))
  state = jax.device_put(state.replace(step=np.int32(step)), made.state_shardings)
  saved.save(state, {pipeline.POSITION: 4 * step})
  saved.close()


def _make_untrained(workdir: pathlib.Path) -> None:
  write_initial(workdir, tiny.config(), STEP)
  lines = [
    {"step": step, "loss": 1 / step, "pa_mpjpe_mm": 90.0} for step in range(1, STEP + 1)
  ]
  (workdir / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
