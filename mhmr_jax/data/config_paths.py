"""The datasets and paths that a config names: checks them, and replaces paths.

This module opens nothing. `sources` opens what these keys name.
"""

import os
import pathlib
from collections.abc import Iterable

from ml_collections import ConfigDict

from mhmr_jax.errors import InputError
from mhmr_jax.runtime import config_check, config_keys

# Examples that are made on the device have no clips that could be opened.
GENERATED = config_keys.GENERATED
# It has no labels, and is no dataset to train on alone or to evaluate on.
UNLABELLED = config_keys.UNLABELLED
NAMES = (*config_keys.LABELLED, GENERATED)
# The paths that each dataset is read from.
_NEEDED = {
  "synthetic_clips": (),
  "threedpw": ("threedpw.dir", "body.male", "body.female"),
  "kinetics_pseudo_gt": ("kinetics.dir", "kinetics.pseudo_gt", "body.path"),
  UNLABELLED: ("videos.dir",),
  GENERATED: (),
}
# The keys that a trained run's config may take from the command line, and their
# defaults: the run may come from a machine with other paths, and may be tested on
# another variant of the clips.
_LOCAL = {
  "body.path": "",
  "body.male": "",
  "body.female": "",
  "body.h36m_regressor": "",
  "body.cocoplus_regressor": "",
  "data.dir": "",
  "data.variant": "alone",
  "flow.weights": "",
  "kinetics.dir": "",
  "kinetics.pseudo_gt": "",
  "kinetics.regressor": "",
  "threedpw.dir": "",
  "threedpw.frames": "stored",
}


def check_paths(config: ConfigDict, others: Iterable[str] = ()) -> None:
  """Checks everything that training reads, before anything starts.

  Args:
    config: the config of the training.
    others: more datasets to check, on which the run will be tested.

  Raises:
    InputError: paths are missing; all of them are in one sentence.
  """
  refuse(missing_paths(config, others))


def missing_paths(config: ConfigDict, others: Iterable[str] = ()) -> list[str]:
  """What training reads and is not there: keys with their values.

  Args:
    config: the config of the training.
    others: more datasets to check, on which the run will be tested.
  """
  names = [*shares(config), *filter(None, [target_dataset(config)]), *others]
  needed = {key for name in names for key in _NEEDED[name]}
  if config.body.path:
    needed.add("body.path")
  if UNLABELLED in names and config.videos.detector_weights:
    needed.add("videos.detector_weights")
  if config.data.people == "surreal":
    needed |= {"body.path", "surreal.dir", "kinetics.dir"}
  return _missing(config, needed)


def check_dataset_paths(config: ConfigDict, name: str) -> None:
  """Raises InputError, naming all paths that this dataset needs and lacks."""
  refuse(_missing(config, _NEEDED[name]))


def _missing(config: ConfigDict, keys: Iterable[str]) -> list[str]:
  missing = []
  for key in sorted(keys):
    section, name = key.split(".")
    value = config[section][name]
    if not value or not pathlib.Path(os.path.expanduser(value)).exists():
      missing.append(f"config.{key} ({value or 'not set'})")
  return missing


def refuse(missing: Iterable[str]) -> None:
  """Raises InputError if something is missing; see `missing_paths`."""
  if shown := ", ".join(missing):
    raise InputError(
      f"This config reads data that you don't have: {shown}; docs/data.md and "
      "docs/paper.md say where to get it, then set each path by --KEY=PATH."
    )


def shares(config: ConfigDict) -> dict[str, float]:
  """The datasets that a config trains on, and their shares of the examples."""
  mixture = dict(config.data.get("mixture", {})) or {config.data.source: 1.0}
  # In one order whatever the config was read from: the examples' order depends on it.
  return {name: float(share) for name, share in sorted(mixture.items()) if share}


def target_dataset(config: ConfigDict) -> str | None:
  """The dataset of the target domain, or None."""
  return str(config.target.dataset) if "target" in config else None


def check_name(name: str) -> None:
  """Raises InputError unless there is such a dataset, with labels."""
  if name == UNLABELLED:
    raise InputError(
      f"{name} have no labels to train or evaluate on: name them by "
      "--config.target.dataset, as configs/dann.py explains, or name another dataset."
    )
  if name not in NAMES:
    raise InputError(f"There is no dataset {name!r}: choose one of {', '.join(NAMES)}.")


def data_dir(config: ConfigDict) -> pathlib.Path:
  """The folder of generated data."""
  return pathlib.Path(os.path.expanduser(config.data.dir)).absolute()


def local_paths() -> ConfigDict:
  """The keys that `with_local_paths` replaces, all empty: the default of a flag."""
  sections: dict[str, dict[str, str]] = {}
  for key in _LOCAL:
    section, name = key.split(".")
    sections.setdefault(section, {})[name] = ""
  return ConfigDict(sections)


def with_local_paths(config: ConfigDict, paths: ConfigDict) -> ConfigDict:
  """Copies a run's config and replaces its paths by the non-empty ones of `paths`.

  Args:
    config: the config of the run; keys that it lacks, as one of an earlier version
      does, get defaults.
    paths: as `local_paths` makes them, some of them set.

  Raises:
    InputError: one of them is not what its key can be.
  """
  values, replacements = config.to_dict(), paths.to_dict()
  for key, default in _LOCAL.items():
    section, name = key.split(".")
    old = values.setdefault(section, {}).get(name)
    values[section][name] = replacements.get(section, {}).get(name) or old or default
  changed = ConfigDict(values)
  config_check.check(changed)
  return changed
