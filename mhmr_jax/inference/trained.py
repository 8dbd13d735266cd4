"""Opens a trained run for inference."""

import jax
from etils import epath
from ml_collections import ConfigDict

from mhmr_jax.models import motion_hmr
from mhmr_jax.models.motion_hmr import Variables


def restore(workdir: epath.Path) -> tuple[ConfigDict, Variables, int]:
  """Returns a run's config, and the variables and step of its latest checkpoint.

  Raises:
    InputError: the directory is not a run's, or has no whole checkpoint.
  """
  # Orbax takes seconds to import, which `--help` need not.
  from mhmr_jax.files import workdirs

  config = workdirs.load_config(workdir)
  model = motion_hmr.from_config(config.model, config.data.size)
  abstract = jax.eval_shape(
    lambda key: motion_hmr.init_variables(model, key, motion_hmr.input_shapes(config)),
    jax.random.key(0),
  )
  variables, step = workdirs.restore_variables(workdir, abstract)
  return config, variables, step
