"""Keypoint noise as a JSON file, as `config.keypoints.noise_file` names it."""

import dataclasses
import json
import os
import pathlib
from typing import Any

from ml_collections import ConfigDict

from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic, untrusted
from mhmr_jax.keypoints.noise import SHIFTED, KeypointNoise

_MOST = 1e6
_MAX_BYTES = 1 << 20
_FIELDS = tuple(field.name for field in dataclasses.fields(KeypointNoise))
# The fields that may be above 1: a length in frames, factors, deviations of logs.
_UNBOUNDED = ("run", "occluded", "quality", "score_power", "score_gamma")


def write(path: pathlib.Path, noise: KeypointNoise) -> None:
  """Writes all fields to three digits.

  Raises:
    InputError: the file cannot be written.
  """
  values = {name: float(f"{getattr(noise, name):.3g}") for name in _FIELDS}
  content = json.dumps(values, indent=2) + "\n"
  atomic.write(path, content, "name another file by --out")


def read(path: str | os.PathLike[str]) -> KeypointNoise:
  """Reads the fields that the file has; the others keep their defaults.

  Raises:
    InputError: the file is not a JSON object of possible values for some fields.
  """
  values = untrusted.read_json(pathlib.Path(path).expanduser(), _MAX_BYTES)
  if not isinstance(values, dict):
    raise InputError(
      f"{path} is not a JSON object of noise parameters: write it with "
      "mhmr_jax.keypoints.fit_noise."
    )
  for name, value in values.items():
    if name not in _FIELDS:
      raise InputError(f"{path} has {name[:40]!r}: use some of {', '.join(_FIELDS)}.")
    if not _is_possible(name, value):
      raise InputError(f"{path} has {name} = {repr(value)[:40]}: {_wanted(name)}.")
  numbers = {name: float(value) for name, value in values.items()}
  return dataclasses.replace(KeypointNoise(), **numbers)


def from_config(config: ConfigDict) -> KeypointNoise | None:
  """The noise that `config.keypoints` describes; None for no noise."""
  if not config.keypoints.noise:
    return None
  path = config.keypoints.get("noise_file", "")
  if path:
    return read(path)
  # Clips of the shifted domain are seen by another detector too.
  return SHIFTED if config.data.variant == "shifted" else KeypointNoise()


def _is_possible(name: str, value: Any) -> bool:
  if isinstance(value, bool) or not isinstance(value, int | float):
    return False
  least = {"run": 1.0, "score_error": 1e-6}.get(name, 0.0)
  return least <= value <= (_MOST if name in _UNBOUNDED else 1)


def _wanted(name: str) -> str:
  if name == "run":
    return "give a number of frames from 1"
  return "give a number from 0" + ("" if name in _UNBOUNDED else " to 1")
