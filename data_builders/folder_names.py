"""Names of datasets' folders, which tell datasets with different settings apart."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence

import tensorflow_datasets as tfds


def complete(config: tfds.core.BuilderConfig, paths: Sequence[str], shown: str) -> None:
  """Makes a config's paths absolute, and names it by all settings of its own.

  Args:
    config: a dataclass; a name that it has already stays.
    paths: the names of its fields that are paths.
    shown: the readable part of the name.
  """
  for path in paths:
    setattr(config, path, absolute(getattr(config, path)))
  own = {field.name for field in dataclasses.fields(config)}
  own -= {field.name for field in dataclasses.fields(tfds.core.BuilderConfig)}
  settings = {name: getattr(config, name) for name in own}
  config.name = config.name or of_settings(shown, settings)


def of_settings(shown: str, settings: Mapping[str, str | int | float]) -> str:
  """Returns a readable part, and a digest of all settings."""
  text = json.dumps(settings, sort_keys=True)
  return f"{shown}_{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def absolute(path: str) -> str:
  """Returns the path in the form that folder names depend on; '' stays ''."""
  return os.path.abspath(os.path.expanduser(path)) if path else ""
