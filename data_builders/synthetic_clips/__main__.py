"""Makes synthetic clips without training on them.

python -m data_builders.synthetic_clips --num_clips=200 --variant=full --size=224

Training and evaluation use these clips if `config.data` has the same settings. The
README describes all settings, and how to use many machines.
"""

import dataclasses
import shlex
from collections.abc import Callable
from typing import Any

import tensorflow_datasets as tfds
from absl import flags

from data_builders.synthetic_clips import synthetic_clips_dataset_builder as synthetic
from mhmr_jax.errors import InputError
from mhmr_jax.runtime import program

_NUM_CLIPS = flags.DEFINE_integer("num_clips", 1600, "Clips of both splits together.")
_TEST_FRACTION = flags.DEFINE_float(
  "test_fraction", 0.05, "The share of the clips in the test split."
)
_DATA_DIR = flags.DEFINE_string(
  "data_dir", "~/.cache/mhmr_jax", "The folder that datasets are stored in."
)
_BEAM_RUNNER = flags.DEFINE_string(
  "beam_runner", None, "The Beam runner that makes the clips; none: this machine."
)
_BEAM_OPTIONS = flags.DEFINE_string(
  "beam_options", None, "The Beam pipeline's options, as one string of flags."
)


def _settings() -> dict[str, flags.FlagHolder]:
  """Defines a flag for each of the builder's settings, except for the counts."""
  define: dict[type, Callable[..., Any]] = {
    int: flags.DEFINE_integer,
    str: flags.DEFINE_string,
  }
  own = dataclasses.fields(synthetic.SyntheticClipsConfig)
  inherited = dataclasses.fields(tfds.core.BuilderConfig)
  known = {"num_train", "num_test", *(field.name for field in inherited)}
  config = synthetic.SyntheticClipsConfig()
  return {
    field.name: define[type(default)](field.name, default, "See the README.")
    for field in own
    if field.name not in known
    for default in [getattr(config, field.name)]
  }


_SETTINGS = _settings()


def main(argv: list[str]) -> None:
  """Makes the clips unless they exist, and prints their folder."""
  del argv
  num_train, num_test = synthetic.split_counts(_NUM_CLIPS.value, _TEST_FRACTION.value)
  config = synthetic.SyntheticClipsConfig(
    num_train=num_train,
    num_test=num_test,
    **{name: flag.value for name, flag in _SETTINGS.items()},
  )
  builder = synthetic.Builder(config=config, data_dir=_DATA_DIR.value)
  builder.download_and_prepare(download_config=_download_config())
  print(builder.data_path)


def _download_config() -> tfds.download.DownloadConfig:
  if _BEAM_RUNNER.value is None and _BEAM_OPTIONS.value is None:
    return tfds.download.DownloadConfig()
  try:
    from apache_beam.options.pipeline_options import PipelineOptions
  except ImportError as error:
    raise InputError(
      "Apache Beam is not installed: pip install 'mhmr_jax[beam]'."
    ) from error
  options = PipelineOptions(shlex.split(_BEAM_OPTIONS.value or ""))
  return tfds.download.DownloadConfig(
    beam_runner=_BEAM_RUNNER.value, beam_options=options
  )


if __name__ == "__main__":
  program.run(main)
