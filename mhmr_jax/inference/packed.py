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
from ml_collections import ConfigDict

from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic, untrusted
from mhmr_jax.inference.trained import TrainedRun
from mhmr_jax.models import motion_hmr

SHIPPED = pathlib.Path(__file__).parents[1] / "weights" / "kp.safetensors"

# Keys that name folders of the machine on which the run was trained.
_LOCAL_KEYS = ("data.motion", "data.backgrounds", "surreal.dir", "threedpw.dir")


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
    InputError: the file is missing or damaged, or holds other variables than its
      config's model has.
  """
  with untrusted.reading(path, "a file of packed weights", untrusted.MAX_BYTES):
    with safetensors.safe_open(path, framework="numpy") as file:
      header = file.metadata() or {}
      tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    config = ConfigDict(json.loads(header["config"]))
    step = int(header["step"])
  # To know what the model has, it is traced, which takes a second: the package's own
  # file is known to be right.
  if path != SHIPPED:
    tensors = _checked(tensors, config, path)
  variables = {
    name: jax.numpy.asarray(value, jax.numpy.float32) for name, value in tensors.items()
  }
  tree = flax.traverse_util.unflatten_dict(variables, sep="/")
  # A model may have no statistics, and the file then nothing of the group.
  return TrainedRun(config, {"batch_stats": {}} | tree, step)


def _checked(
  tensors: dict[str, Any], config: ConfigDict, path: pathlib.Path
) -> dict[str, Any]:
  """Those of the tensors that the config's model has; InputError if one is missing."""
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
        "another shape; pack it again by mhmr_jax.inference.pack_weights."
      )
  return {name: tensors[name] for name in expected}
