"""Checkpoints: model, optimiser and data position; resuming; weights for inference.

A work directory holds `config.json` and `checkpoints/<step>/`. A run resumes from
the latest whole checkpoint of its own work directory, else it starts anew; one that
was killed while it wrote is not whole, and the one before it counts.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import Any, cast

import grain.experimental
import jax
from etils import epath
from jax.sharding import Sharding
from ml_collections import ConfigDict
from orbax.checkpoint import v1 as ocp

from mhmr_jax import processes
from mhmr_jax.batch import Batch
from mhmr_jax.errors import InputError
from mhmr_jax.models import motion_hmr
from mhmr_jax.train_step import TrainState, Variables, init_variables

_KEEP = 2
# What may change between the runs of one work directory: nothing that the result
# depends on.
_FREE_KEYS = (
  "data.workers",
  "data.processes",
  "data.dir",
  "mesh.fsdp",
  "mesh.fsdp_min_size",
  "train.checkpoint_every",
  "train.print_every",
)


class Checkpoints:
  """The checkpoints of one training run."""

  def __init__(self, workdir: epath.Path):
    self._folder = workdir / "checkpoints"
    self._checkpointer = ocp.training.Checkpointer(
      self._folder,
      preservation_policy=ocp.training.preservation_policies.LatestN(_KEEP),
      cleanup_tmp_directories=True,
    )

  def save(self, state: TrainState, position: dict[str, int]) -> None:
    """Starts to write the state; the one before is whole when this returns.

    Args:
      state: after its last step.
      position: the data iterator's state after that step.

    Raises:
      InputError: the checkpoint cannot be written, for want of room, say.
    """
    self.wait()
    with self._reported():
      self._checkpointer.save_checkpointables_async(
        int(state.step), _checkpointables(state, position)
      )

  def wait(self) -> None:
    """Returns when what `save` started is on disk; raises as `save` does."""
    with self._reported():
      self._checkpointer.wait()

  @contextlib.contextmanager
  def _reported(self) -> Iterator[None]:
    try:
      yield
    except (OSError, ValueError, RuntimeError) as error:
      if processes.is_loss(error):
        raise
      reason = str(error).strip().splitlines()[-1][:200] if str(error) else repr(error)
      raise InputError(
        f"A checkpoint cannot be written to {self._folder} ({reason}): make room or "
        "mend the folder and run again; earlier checkpoints are intact."
      ) from error

  def resume(
    self,
    abstract_state: TrainState,
    iterator: grain.experimental.ElasticIterator,
    shardings: Any,
  ) -> TrainState | None:
    """Restores the latest checkpoint and sets the iterator; None if there is none.

    Args:
      abstract_state: its shapes.
      iterator: of the run.
      shardings: how the state shall lie, however it lay: of each leaf, or of all.
    """
    latest = self._checkpointer.latest
    if latest is None:
      return None
    abstract = _placed(abstract_state, shardings)
    wanted = _checkpointables(abstract, iterator.get_state())
    restored = _load(self._checkpointer, latest.step, wanted, self._folder)
    iterator.set_state(restored["data"])
    return abstract_state.replace(**restored["model"], **restored["optimizer"])

  def keep_failed(self, state: TrainState, position: dict[str, int]) -> epath.Path:
    """Writes the state before a failing step beside the checkpoints."""
    folder = self._folder.parent / "not_finite"
    with self._reported():
      self.wait()
      ocp.save_checkpointables(
        folder, _checkpointables(state, position), overwrite=True
      )
    return folder

  def close(self) -> None:
    """Waits and releases the threads, also where the wait fails."""
    with self._reported():
      try:
        self._checkpointer.wait()
      finally:
        self._checkpointer.close()


def _checkpointables(state: TrainState, data: dict[str, int]) -> dict[str, Any]:
  return {
    "model": {"params": state.params, "batch_stats": state.batch_stats},
    "optimizer": {
      "step": state.step,
      "opt_state": state.opt_state,
      "finite": state.finite,
    },
    "data": data,
  }


def _placed(abstract: Any, shardings: Any) -> Any:
  """Shapes with how they lie: of each leaf, or the same of all."""
  if isinstance(shardings, Sharding):
    shardings = jax.tree.map(lambda _: shardings, abstract)
  return jax.tree.map(
    lambda leaf, sharding: jax.ShapeDtypeStruct(
      leaf.shape, leaf.dtype, sharding=sharding
    ),
    abstract,
    shardings,
  )


def _load(
  checkpointer: ocp.training.Checkpointer,
  step: int,
  abstract: dict[str, Any],
  folder: epath.Path,
) -> dict[str, Any]:
  try:
    return cast(dict[str, Any], checkpointer.load_checkpointables(step, abstract))
  # Orbax raises many kinds of errors for damaged files.
  except Exception as error:
    reason = (str(error).strip().splitlines() or [repr(error)])[0][:200]
    raise InputError(
      f"The checkpoint {folder / str(step)} cannot be read ({reason}): delete it to "
      "use the one before."
    ) from error


def prepare_workdir(workdir: epath.Path, config: ConfigDict) -> None:
  """Makes the work directory, or checks that it belongs to this config.

  Of several processes, the first one makes it, and all must see it.

  Raises:
    InputError: the directory is another config's, or cannot be written.
  """
  path = workdir / "config.json"
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    if processes.is_first() and not path.exists():
      partial = path.with_suffix(".partial")
      partial.write_text(json.dumps(config.to_dict(), indent=2) + "\n")
      partial.replace(path)
  except OSError as error:
    raise InputError(
      f"The work directory {workdir} cannot be written ({error.strerror}): name "
      "another by --workdir."
    ) from error
  processes.wait_for_all("config.json")
  stored = _flatten(load_config(workdir))
  ours = _flatten(config)
  for key in sorted(stored.keys() | ours.keys()):
    if key not in _FREE_KEYS and stored.get(key) != ours.get(key):
      raise InputError(
        f"The work directory {workdir} was made with config.{key} = "
        f"{stored.get(key)!r}, not {ours.get(key)!r}: name another by --workdir, or "
        "set the key back."
      )


def _flatten(config: ConfigDict) -> dict[str, Any]:
  # Through JSON, so that tuples and lists compare equal.
  leaves: dict[str, Any] = {}

  def visit(prefix: str, value: Any) -> None:
    if isinstance(value, dict):
      for key, item in value.items():
        visit(f"{prefix}.{key}" if prefix else key, item)
    else:
      leaves[prefix] = value

  visit("", json.loads(json.dumps(config.to_dict())))
  return leaves


def load_config(workdir: epath.Path) -> ConfigDict:
  """The config that a work directory was made with.

  Raises:
    InputError: there is no such directory or config, or it is damaged.
  """
  path = workdir / "config.json"
  try:
    values = json.loads(path.read_text())
  except OSError as error:
    raise InputError(
      f"{workdir} is not a work directory of a training run: it has no readable "
      "config.json; name the --workdir that was trained."
    ) from error
  except ValueError as error:
    raise InputError(f"{path} is not JSON ({error}): restore or retrain.") from error
  if not isinstance(values, dict):
    raise InputError(f"{path} does not hold a config: restore it or train again.")
  return ConfigDict(values)


def restore_for_inference(workdir: epath.Path) -> tuple[ConfigDict, Variables, int]:
  """The config, the model's variables and the step of the latest checkpoint.

  Raises:
    InputError: the directory is not a run's, or has no whole checkpoint.
  """
  config = load_config(workdir)
  model = motion_hmr.from_config(config.model, config.data.size)
  abstract = jax.eval_shape(
    lambda key: init_variables(model, key, input_shapes(config)), jax.random.key(0)
  )
  variables, step = restore_variables(workdir, abstract)
  return config, variables, step


def restore_variables(
  workdir: epath.Path, abstract: Variables
) -> tuple[Variables, int]:
  """The variables, shaped as `abstract`, and the step of the latest checkpoint.

  Raises:
    InputError: there is no whole checkpoint, or it is another model's.
  """
  folder = workdir / "checkpoints"
  if not folder.is_dir():
    raise InputError(f"{workdir} has no checkpoints yet: train it first.")
  # Told where to put the arrays, Orbax need not look up where they were (and warn).
  sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  abstract = _placed(abstract, sharding)
  with ocp.training.Checkpointer(folder) as checkpointer:
    latest = checkpointer.latest
    if latest is None:
      raise InputError(f"{folder} has no whole checkpoint: train it first.")
    restored = _load(checkpointer, latest.step, {"model": abstract}, folder)
  return cast(Variables, restored["model"]), latest.step


def input_shapes(config: ConfigDict) -> Batch:
  """Shapes of the network's inputs for one batch of the config."""
  lead = (config.train.batch_size, config.data.window)
  size = config.data.size
  shapes = {
    "rgb": ((size, size, 3), "uint8"),
    "flow": ((size, size, 2), "float16"),
    "keypoints": ((17, 3), "float32"),
  }
  return cast(
    Batch,
    {
      name: jax.ShapeDtypeStruct(lead + shapes[name][0], shapes[name][1])
      for name in config.model.inputs
    },
  )
