"""Work directories as training leaves them, each made once in a test run."""

import json
import pathlib
import shutil
from collections.abc import Callable

import jax

from mhmr_jax.files import locks
from mhmr_jax.models import motion_hmr
from mhmr_jax.training import checkpoints, train_step
from tests import tiny

STEP = 7  # Of the untrained one.


def trained(devices: int = 1) -> pathlib.Path:
  """The tiny `flow_kp` run of so many devices after its last step; not to write in."""

  def train(workdir: pathlib.Path) -> None:
    status, _, errors = tiny.run(
      "train", *tiny.flags(), f"--workdir={workdir}", devices=devices
    )
    assert status == 0, errors

  return _once(f"trained_{devices}", train)


def make_untrained(workdir: pathlib.Path, data_dir: pathlib.Path = tiny.DATA) -> None:
  """Makes the tiny `flow_kp` run with its initial parameters, as of step `STEP`.

  Args:
    workdir: the folder to make.
    data_dir: where its config has the clips made.
  """
  shutil.copytree(_once("untrained", _initialise), workdir)
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


def _initialise(workdir: pathlib.Path) -> None:
  config = tiny.config()
  model = motion_hmr.from_config(config.model, config.data.size)
  optimizer = train_step.make_optimizer(config.train)
  state = train_step.init_state(
    jax.random.key(0), motion_hmr.input_shapes(config), model, optimizer
  )
  checkpoints.prepare_workdir(workdir, config)
  saved = checkpoints.Checkpoints(workdir)
  saved.save(state.replace(step=state.step + STEP), {"global_next_index": 4 * STEP})
  saved.close()
  steps = range(1, STEP + 1)
  lines = [{"step": step, "loss": 1 / step, "pa_mpjpe_mm": 90.0} for step in steps]
  (workdir / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
