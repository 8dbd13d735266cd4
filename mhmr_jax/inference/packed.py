"""A trained run as one small file: its config and its variables, in half precision.

The file is a .safetensors file. The variables' names are their paths, joined by "/";
the header holds the config as JSON and the step.
"""

import json
import pathlib
from typing import Any

import flax.traverse_util
import jax
import numpy as np
import safetensors
import safetensors.numpy
from etils import epath
from ml_collections import ConfigDict

from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic, untrusted
from mhmr_jax.inference import trained
from mhmr_jax.inference.trained import TrainedRun
from mhmr_jax.models import motion_hmr
from mhmr_jax.runtime import config_check

SHIPPED = pathlib.Path(__file__).parents[1] / "weights" / "kp.safetensors"

_ADVICE = "pack it again by mhmr_jax.inference.pack_weights"
# Keys that name folders of the machine on which the run was trained.
_LOCAL_KEYS = (
  "data.motion",
  "data.backgrounds",
  "surreal.dir",
  "threedpw.dir",
  "train.start",
)


def write(run: TrainedRun, path: pathlib.Path) -> None:
  """Packs a run.

  Raises:
    InputError: the file cannot be written, or a variable is not finite in float16.
  """
  config = ConfigDict(run.config.to_dict())
  config.data.dir = "~/.cache/mhmr_jax"
  for key in _LOCAL_KEYS:
    section, name = key.split(".")
    config[section][name] = ""
  variables = flax.traverse_util.flatten_dict(run.variables, sep="/")
  with np.errstate(over="ignore"):  # What overflows is reported below.
    tensors = {
      name: np.asarray(value).astype(np.float16) for name, value in variables.items()
    }
  for name, value in tensors.items():
    if not np.isfinite(value).all():
      raise InputError(
        f"{name} of the run is not finite in float16: it cannot be packed."
      )
  header = {"config": json.dumps(config.to_dict()), "step": str(run.step)}
  atomic.write(
    path, safetensors.numpy.save(tensors, header), "name another file by --out"
  )


def read(path: pathlib.Path = SHIPPED) -> TrainedRun:
  """Unpacks a run; the variables are float32 again.

  Raises:
    InputError: the file is missing or damaged, its config has a key or value that
      configs cannot have, or it holds other variables than its config's model has.
  """
  with untrusted.reading(path, "a file of packed weights", untrusted.MAX_BYTES):
    with safetensors.safe_open(path, framework="numpy") as file:
      header = file.metadata() or {}
      tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    values = dict(json.loads(header["config"]))
    step = int(header["step"])
  problem = config_check.problem(values)
  if problem is None and "kind" in values["model"]:
    problem = "it is of a network that estimates flow"
  if problem is not None:
    raise InputError(f"The config in {path} cannot be used ({problem}): {_ADVICE}.")
  config = ConfigDict(values)
  # To know what the model has, it is traced, which takes a second: the package's own
  # file is known to be right.
  if path != SHIPPED:
    tensors = _checked(tensors, config, path)
  # JAX would compile a program for each shape.
  variables = {name: value.astype(np.float32) for name, value in tensors.items()}
  tree = flax.traverse_util.unflatten_dict(variables, sep="/")
  # A model may have no statistics, and the file then nothing of the group.
  return TrainedRun(config, {"batch_stats": {}} | tree, step)


def open_run(place: epath.Path) -> TrainedRun:
  """Reads a run from its work directory, or from a file of packed weights.

  Raises:
    InputError: it is neither, or cannot be read.
  """
  if place.is_dir():
    return trained.restore(place)
  return read(pathlib.Path(place))


def _checked(
  tensors: dict[str, Any], config: ConfigDict, path: pathlib.Path
) -> dict[str, Any]:
  """Those of the tensors that the config's model has.

  Raises:
    InputError: one is missing, or is not of finite numbers.
  """
  abstract = jax.eval_shape(
    lambda key: motion_hmr.init_variables(
      motion_hmr.from_config(config), key, motion_hmr.input_shapes(config)
    ),
    jax.random.key(0),
  )
  expected = flax.traverse_util.flatten_dict(abstract, sep="/")
  for name, shape in expected.items():
    if name not in tensors or tensors[name].shape != shape.shape:
      raise InputError(
        f"{path} does not hold the model of its config: {name} is missing or has "
        f"another shape; {_ADVICE}."
      )
    if tensors[name].dtype.kind != "f" or not np.isfinite(tensors[name]).all():
      raise InputError(
        f"{name} in {path} has numbers that are not finite, or no fractions: {_ADVICE}."
      )
  return {name: tensors[name] for name in expected}
