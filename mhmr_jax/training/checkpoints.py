"""Checkpoints: model, optimiser and data position; resuming; weights for inference.

A work directory holds `config.json` and `checkpoints/<step>/`. A run resumes from
the latest whole checkpoint of its own work directory, else it starts anew; one that
was killed while it wrote is not whole, and the one before it counts.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import grain.experimental
from etils import epath
from ml_collections import ConfigDict
from orbax.checkpoint import v1 as ocp

from mhmr_jax.errors import InputError
from mhmr_jax.files import workdirs
from mhmr_jax.runtime import processes
from mhmr_jax.training.train_step import TrainState

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
    abstract = workdirs.placed(abstract_state, shardings)
    wanted = _checkpointables(abstract, iterator.get_state())
    restored = workdirs.load(self._checkpointer, latest.step, wanted, self._folder)
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
  stored = _flatten(workdirs.load_config(workdir))
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
