"""Checkpoints of a training run: model, optimiser and position in the data.

A work directory holds `config.json` and `checkpoints/<step>/`. A run resumes from the
latest complete checkpoint of its own work directory; without one it starts anew. A
process that is killed while it writes leaves a temporary folder, which does not count.
"""

import contextlib
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from etils import epath
from ml_collections import ConfigDict
from orbax.checkpoint import v1 as ocp

from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic, locks, workdirs
from mhmr_jax.runtime import processes
from mhmr_jax.training.train_step import TrainState

_KEEP = 2
_ADVICE = "name another folder by --workdir"
# The keys that may change between two runs in one work directory: the result does not
# depend on them.
_FREE_KEYS = (
  "data.workers",
  "data.processes",
  "data.dir",
  "mesh.fsdp",
  "mesh.fsdp_min_size",
  "train.checkpoint_every",
  "train.print_every",
)


@runtime_checkable
class Positioned(Protocol):
  """An iterator that can go to a position in its data."""

  def get_state(self) -> dict[str, int]:
    """Returns the position."""

  def set_state(self, state: dict[str, int]) -> None:
    """Goes to a position that `get_state` returned."""


class Checkpoints:
  """Writes and reads the checkpoints of one training run; the latest two are kept."""

  def __init__(self, workdir: epath.Path):
    """Opens the folder of checkpoints, and clears away those that are half written.

    Raises:
      InputError: it cannot be made.
    """
    self._folder = workdir / "checkpoints"
    with self._reported():
      self._checkpointer = ocp.training.Checkpointer(
        self._folder,
        preservation_policy=ocp.training.preservation_policies.LatestN(_KEEP),
        cleanup_tmp_directories=True,
      )

  def save(self, state: TrainState, position: dict[str, int]) -> None:
    """Starts to write a checkpoint; the one before is complete when this returns.

    Args:
      state: the training state; its `step` names the checkpoint.
      position: the data iterator's state after that step.

    Raises:
      InputError: a checkpoint cannot be written, for example on a full disk.
    """
    self.wait()
    parts = _checkpointables(state, position)
    with self._reported():
      self._checkpointer.save_checkpointables_async(
        int(state.step), {**parts, workdirs.DIGESTS: workdirs.digests(parts)}
      )

  def wait(self) -> None:
    """Returns when all checkpoints are on disk; raises as `save` does."""
    with self._reported():
      self._checkpointer.wait()

  @contextlib.contextmanager
  def _reported(self) -> Iterator[None]:
    """Turns errors of writing into an `InputError`."""
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
    iterator: Positioned,
    shardings: Any,
  ) -> TrainState | None:
    """Restores the latest whole checkpoint and sets the iterator to its position.

    Later checkpoints, which are damaged, are moved into the folder `damaged`, and
    named.

    Args:
      abstract_state: the shapes of the state.
      iterator: the run's data.
      shardings: where the state goes on the devices, which need not be where it was
        when it was saved: one for each leaf, or one for all.

    Returns:
      The state; None if there is no checkpoint.

    Raises:
      InputError: all checkpoints are damaged, or of other shapes.
    """
    if self._checkpointer.latest is None:
      return None
    abstract = workdirs.placed(abstract_state, shardings)
    wanted = _checkpointables(abstract, iterator.get_state())
    restored, _, damaged = workdirs.load_latest(
      self._checkpointer, wanted, self._folder
    )
    if damaged:
      self._move_away(damaged)
    iterator.set_state(restored["data"])
    return abstract_state.replace(**restored["model"], **restored["optimizer"])

  def _move_away(self, steps: Sequence[int]) -> None:
    """Makes room for the checkpoints that this run writes again."""
    with self._reported():
      if processes.is_first():
        for step in steps:
          place = self._folder.parent / "damaged" / str(step)
          if place.exists():
            place.rmtree()
          place.parent.mkdir(exist_ok=True)
          (self._folder / str(step)).rename(place)
      processes.wait_for_all("damaged checkpoints")
      self._checkpointer.reload()

  def keep_failed(self, state: TrainState, position: dict[str, int]) -> epath.Path:
    """Writes the state before a failing step beside the checkpoints.

    Returns:
      The folder that holds it.
    """
    folder = self._folder.parent / "not_finite"
    with self._reported():
      self.wait()
      ocp.save_checkpointables(
        folder, _checkpointables(state, position), overwrite=True
      )
    return folder

  def close(self) -> None:
    """Waits as `wait` does, and releases the threads in any case."""
    with self._reported():
      try:
        self._checkpointer.wait()
      finally:
        self._checkpointer.close()


def _checkpointables(state: TrainState, position: dict[str, int]) -> dict[str, Any]:
  """The parts of a checkpoint by their names on disk."""
  return {
    "model": {"params": state.params, "batch_stats": state.batch_stats},
    "optimizer": {
      "step": state.step,
      "opt_state": state.opt_state,
      "finite": state.finite,
    },
    "data": position,
  }


@contextlib.contextmanager
def claimed(workdir: epath.Path) -> Iterator[Callable[[], None]]:
  """Locks the work directory against other runs while the block lasts.

  The first process of a run holds the lock for all of them. In a bucket nothing
  excludes other runs.

  Yields:
    A function that raises InputError where the work directory was removed meanwhile.

  Raises:
    InputError: another run trains there, or nothing can be written there.
  """
  refusal = ""
  is_there: Callable[[], bool] = lambda: True
  with contextlib.ExitStack() as stack:
    if processes.is_first() and "://" not in str(workdir):
      claim = locks.claimed(pathlib.Path(workdir), _ADVICE)
      try:
        is_there = stack.enter_context(claim)
      except InputError as error:
        refusal = str(error)
    if processes.any_of_all(bool(refusal)):
      raise InputError(refusal or f"Another run trains in {workdir}: {_ADVICE}.")

    def check() -> None:
      if not is_there():
        raise InputError(
          f"The work directory {workdir} was removed or replaced while this run "
          "trained in it: run the same command again to start anew."
        )

    yield check


def prepare_workdir(workdir: epath.Path, config: ConfigDict) -> None:
  """Makes the work directory, or checks that it belongs to this config.

  The first of several processes writes the config, and all of them check it.

  Raises:
    InputError: the directory belongs to another config, or cannot be written.
  """
  path = workdir / "config.json"
  atomic.make_folder(workdir, _ADVICE)
  if processes.is_first() and not path.exists():
    atomic.write(path, json.dumps(config.to_dict(), indent=2) + "\n", _ADVICE)
  processes.wait_for_all("config.json")
  stored = _flatten(workdirs.load_config(workdir))
  current = _flatten(config)
  for key in sorted(stored.keys() | current.keys()):
    if key not in _FREE_KEYS and stored.get(key) != current.get(key):
      raise InputError(
        f"The work directory {workdir} was made with config.{key} = "
        f"{stored.get(key)!r}, not {current.get(key)!r}: name another by --workdir, or "
        "set the key back."
      )


def _flatten(config: ConfigDict) -> dict[str, Any]:
  """The config's values by dotted key."""
  leaves: dict[str, Any] = {}

  def visit(prefix: str, value: Any) -> None:
    if isinstance(value, dict):
      for key, item in value.items():
        visit(f"{prefix}.{key}" if prefix else key, item)
    else:
      leaves[prefix] = value

  # JSON makes tuples lists, so that both compare equal.
  visit("", json.loads(json.dumps(config.to_dict())))
  return leaves
