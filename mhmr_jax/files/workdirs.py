"""Reads the config and checkpoints that a training run leaves in its work directory.

No model is known here: callers say what shapes they expect.
"""

import json
from typing import Any, cast

import jax
from etils import epath
from jax.sharding import Sharding
from ml_collections import ConfigDict
from orbax.checkpoint import v1 as ocp

from mhmr_jax.errors import InputError
from mhmr_jax.runtime import config_check

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
    workdir: of the run.
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
    latest = checkpointer.latest
    if latest is None:
      raise InputError(f"{folder} has no whole checkpoint: train it first.")
    restored = load(checkpointer, latest.step, {"model": abstract}, folder)
  return cast(dict[str, Any], restored["model"]), latest.step


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


def load(
  checkpointer: ocp.training.Checkpointer,
  step: int,
  abstract: dict[str, Any],
  folder: epath.Path,
) -> dict[str, Any]:
  """Reads one checkpoint into the shapes and shardings of `abstract`.

  Raises:
    InputError: the checkpoint cannot be read.
  """
  try:
    return cast(dict[str, Any], checkpointer.load_checkpointables(step, abstract))
  # Orbax raises many kinds of errors for damaged files.
  except Exception as error:
    reason = (str(error).strip().splitlines() or [repr(error)])[0][:200]
    raise InputError(
      f"The checkpoint {folder / str(step)} cannot be read ({reason}): delete it to "
      "use the one before."
    ) from error
