"""Reads the config and checkpoints that a training run leaves in its work directory.

This module knows no model: callers say what shapes they expect.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

import jax
import numpy as np
from absl import logging
from etils import epath
from jax.sharding import Sharding
from ml_collections import ConfigDict
from orbax.checkpoint import v1 as ocp

from mhmr_jax.errors import InputError
from mhmr_jax.files import array_digests, damage
from mhmr_jax.runtime import config_check, processes

# The name of a checkpoint's digests, which lie beside its other parts.
DIGESTS = "digests"
_LARGEST_CONFIG = 2**20  # Bytes.


def load_config(workdir: epath.Path) -> ConfigDict:
  """Reads the config that a work directory was made with.

  Raises:
    InputError: there is no such directory or config, or it is damaged: a key is
      missing or unknown, or a value is not one that the key can have.
  """
  path = workdir / "config.json"
  try:
    # A pipe would have no end.
    if path.exists() and not path.is_file():
      raise OSError("it is no file")
    if path.exists() and path.stat().length > _LARGEST_CONFIG:
      raise ValueError("it is too large for a config")
    values = json.loads(path.read_text())
  except OSError as error:
    raise InputError(
      f"{workdir} is not a work directory of a training run: it has no readable "
      "config.json; name the --workdir that was trained."
    ) from error
  except (ValueError, RecursionError) as error:
    reason = str(error)[:200]
    raise InputError(f"{path} is not JSON ({reason}): restore or retrain.") from error
  if not isinstance(values, dict):
    raise InputError(f"{path} does not hold a config: restore it or train again.")
  problem = config_check.problem(values)
  if problem is not None:
    raise InputError(
      f"{path} cannot be used ({problem}): restore it or train again in another "
      "--workdir."
    )
  return ConfigDict(values)


def restore_variables(
  workdir: epath.Path, abstract: dict[str, Any]
) -> tuple[dict[str, Any], int]:
  """Reads the model's variables in the latest checkpoint.

  Args:
    workdir: the work directory of the run.
    abstract: the shapes of the model's variables.

  Returns:
    The variables, and the step of the checkpoint.

  Raises:
    InputError: there is no whole checkpoint, or it is another model's.
  """
  folder = workdir / "checkpoints"
  if not folder.is_dir():
    raise InputError(f"{workdir} has no checkpoints yet: train it first.")
  # With a sharding Orbax does not look up the one at the time of saving (and warn).
  sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  abstract = placed(abstract, sharding)
  with ocp.training.Checkpointer(folder) as checkpointer:
    if checkpointer.latest is None:
      raise InputError(f"{folder} has no whole checkpoint: train it first.")
    restored, step, _ = load_latest(checkpointer, {"model": abstract}, folder)
  return cast(dict[str, Any], restored["model"]), step


def placed(abstract: Any, shardings: Any) -> Any:
  """Adds shardings to shapes: one for each leaf, or the same for all."""
  if isinstance(shardings, Sharding):
    shardings = jax.tree.map(lambda _: shardings, abstract)
  return jax.tree.map(
    lambda leaf, sharding: jax.ShapeDtypeStruct(
      leaf.shape, leaf.dtype, sharding=sharding
    ),
    abstract,
    shardings,
  )


def load_latest(
  checkpointer: ocp.training.Checkpointer, abstract: dict[str, Any], folder: epath.Path
) -> tuple[dict[str, Any], int, list[int]]:
  """Reads the latest checkpoint that is not damaged, and warns of those that are.

  Args:
    checkpointer: the checkpointer of the folder; it has at least one checkpoint.
    abstract: the shapes and shardings of what to read, by the names on disk.
    folder: the folder of the checkpoints, for messages.

  Returns:
    What was read, the checkpoint's step, and the steps of damaged later ones.

  Raises:
    InputError: the latest cannot be read, for another reason than damage; or all are
      damaged.
  """
  steps = [each.step for each in reversed(checkpointer.checkpoints)]
  errors: list[DamagedError] = []
  for step in steps:
    try:
      restored = _load(checkpointer, step, abstract, folder)
    except DamagedError as error:
      errors.append(error)
      continue
    for damaged in errors:
      logging.warning("%s Going on from the one of step %d.", damaged.finding, step)
    return restored, step, steps[: len(errors)]
  raise errors[0]


class DamagedError(InputError):
  """A checkpoint is damaged; `finding` is the sentence that says so."""

  def __init__(self, finding: str):
    super().__init__(
      f"{finding[:-1]}: delete it to use the one before, or to start anew."
    )
    self.finding = finding


def _load(
  checkpointer: ocp.training.Checkpointer,
  step: int,
  abstract: dict[str, Any],
  folder: epath.Path,
) -> dict[str, Any]:
  """Reads one checkpoint, and compares it with its digests.

  Raises:
    DamagedError: what it holds cannot be read, or is not what was saved.
    InputError: it cannot be read for another reason.
  """
  path = folder / str(step)
  wanted = dict(abstract)
  if (path / DIGESTS).exists():  # Runs of earlier versions have none.
    wanted[DIGESTS] = None
  failure: Exception | None = None
  try:
    restored = cast(dict[str, Any], checkpointer.load_checkpointables(step, wanted))
  # Orbax raises many kinds of errors for damaged files.
  except Exception as error:
    failure = error
  # If one process cannot read its part, none of them goes on with this checkpoint.
  if failure is None and processes.any_of_all(False):
    raise DamagedError(f"The checkpoint {path} cannot be read in another process.")
  if failure is not None:
    processes.any_of_all(True)
    raise _unreadable(path, failure) from failure
  saved = restored.pop(DIGESTS, None)
  found = digests(restored)
  if saved is not None and any(saved.get(name) != found[name] for name in found):
    raise DamagedError(
      f"The checkpoint {path} is damaged (it does not hold what was saved)."
    )
  return restored


def _unreadable(path: epath.Path, error: Exception) -> InputError:
  reason = (str(error).strip().splitlines() or [repr(error)])[0][:200]
  finding = f"The checkpoint {path} cannot be read ({reason})."
  if damage.is_damage(error):
    return DamagedError(finding)
  return InputError(
    f"{finding[:-1]}, which does not mean that it is damaged: mend that and run again."
  )


def digests(checkpoint: Mapping[str, Any]) -> dict[str, str]:
  """The digests of a checkpoint's parts, which are arrays or JSON, by their names."""
  return {
    name: array_digests.digest(part)
    if any(isinstance(leaf, jax.Array | np.ndarray) for leaf in jax.tree.leaves(part))
    else hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:16]
    for name, part in checkpoint.items()
  }
