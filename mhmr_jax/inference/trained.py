"""Opens a trained run for inference."""

from typing import NamedTuple

import jax
from etils import epath
from ml_collections import ConfigDict

from mhmr_jax.models import motion_hmr
from mhmr_jax.models.motion_hmr import Variables


class TrainedRun(NamedTuple):
  """A run's config, and the variables and step of its latest checkpoint."""

  config: ConfigDict
  variables: Variables
  step: int


def restore(workdir: epath.Path) -> TrainedRun:
  """Reads a run from its work directory.

  Raises:
    InputError: the directory is not a run's, or has no whole checkpoint.
  """
  # Orbax takes seconds to import, and `--help` does without it.
  from mhmr_jax.files import workdirs

  config = workdirs.load_config(workdir)
  model = motion_hmr.from_config(config)
  abstract = jax.eval_shape(
    lambda key: motion_hmr.init_variables(model, key, motion_hmr.input_shapes(config)),
    jax.random.key(0),
  )
  variables, step = workdirs.restore_variables(workdir, abstract)
  return TrainedRun(config, variables, step)
