"""Opens the stored clips that a config names; makes the synthetic ones if need be."""

import functools
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from absl import logging
from ml_collections import ConfigDict

from mhmr_jax.errors import InputError
from mhmr_jax.files import frame_files
from mhmr_jax.schema import Clip

# TFDS warns of every configuration that is not built in, and each worker process
# that Grain starts would say so again.
logging.get_absl_logger().addFilter(
  lambda record: "Using custom data configuration" not in str(record.msg)
)

NAMES = ("synthetic_clips", "threedpw", "kinetics_pseudo_gt")
# What each dataset is read from.
_NEEDED = {
  "synthetic_clips": (),
  "threedpw": ("threedpw.dir", "body.male", "body.female"),
  "kinetics_pseudo_gt": ("kinetics.dir", "kinetics.pseudo_gt", "body.path"),
}
# Where data lies on this machine, for a run may have been trained on another one, and
# which clips to make, for it may be tested on others. Each with what it is where
# nothing was said.
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


class ClipSource:
  """Random access to the clips of one split.

  Raises:
    InputError: from `source[i]`, where the record is missing or damaged.
  """

  def __init__(
    self,
    name: str,
    records: Sequence[Any],
    folder: str,
    open_frames: Callable[[dict[str, Any]], Sequence[bytes]] | None = None,
    split: str = "all",
  ):
    """`open_frames` finds the frames of records that do not hold them."""
    self.name = name
    self.split = split
    self._records = records
    self._folder = folder
    self._open_frames = open_frames

  def __len__(self) -> int:
    return len(self._records)

  @property
  def folder(self) -> str:
    """Where the records lie: <dataset>/<configuration>/<version> last."""
    return self._folder

  def __repr__(self) -> str:
    return f"ClipSource({self.name}, {len(self)} clips)"

  def __getitem__(self, index: int) -> Clip:
    try:
      record = dict(self._records[index])
      for key in ("sequence", "gender", "frames_place"):
        if isinstance(record.get(key), bytes):  # As TFDS hands text over.
          record[key] = record[key].decode()
      if self._open_frames is not None:
        record["frames"] = self._open_frames(record)
      clip = cast(Clip, record)
      _check(clip)
    # Whatever a damaged record makes the readers below raise, the user needs
    # to know the same thing: which record, where, and what to do.
    except Exception as error:
      raise InputError(
        f"Clip {index} of {self._folder} cannot be read ({_sentence(error)}): delete "
        "that folder and run again to make it anew."
      ) from error
    return clip


def _sentence(error: Exception) -> str:
  text = (str(error) or type(error).__name__).strip().splitlines()[0]
  return text.rstrip(".")[:200]


_PER_FRAME = (
  *("pose", "transl", "joints_camera", "keypoints_image", "visibility", "valid"),
  *("box", "camera_image", "frame_index"),
)


def _check(clip: Clip) -> None:
  length = len(clip["frames"])
  if not length:
    raise ValueError("it has no frames")
  for key, value in clip.items():
    if key not in _PER_FRAME:
      continue
    rows = cast(np.ndarray, value)
    if len(rows) != length:
      raise ValueError(f"{key} has {len(rows)} rows for {length} frames")
    if not np.isfinite(rows).all():
      raise ValueError(f"{key} is not finite")


def data_dir(config: ConfigDict) -> pathlib.Path:
  """Where generated data goes."""
  return pathlib.Path(os.path.expanduser(config.data.dir)).absolute()


def check_paths(config: ConfigDict) -> None:
  """Raises InputError, naming all paths that the config needs and lacks."""
  if config.data.people not in ("rendered", "surreal"):
    raise InputError(
      f"config.data.people is {config.data.people!r}: use 'rendered' or 'surreal'."
    )
  names = [*shares(config), *filter(None, [_target(config)])]
  needed = {key for name in names for key in _NEEDED[name]}
  if config.body.path:
    needed.add("body.path")
  if config.data.people == "surreal":
    needed |= {"body.path", "surreal.dir", "kinetics.dir"}
  _check_there(config, needed)


def _check_there(config: ConfigDict, keys: Iterable[str]) -> None:
  """Raises InputError, naming all paths of these keys that are not there."""
  missing = []
  for key in sorted(keys):
    section, name = key.split(".")
    value = config[section][name]
    if not value or not pathlib.Path(os.path.expanduser(value)).exists():
      missing.append(f"config.{key} ({value or 'not set'})")
  if missing:
    raise InputError(
      f"This config reads data that is not there: {', '.join(missing)}; the README "
      "says where to get it, then set each path by --KEY=PATH."
    )


def local_paths() -> ConfigDict:
  """The keys of `_LOCAL`, empty: for flags."""
  sections: dict[str, dict[str, str]] = {}
  for key in _LOCAL:
    section, name = key.split(".")
    sections.setdefault(section, {})[name] = ""
  return ConfigDict(sections)


def with_local_paths(config: ConfigDict, paths: ConfigDict) -> ConfigDict:
  """A run's config with the given ones of `local_paths` in place of its own."""
  values, given = config.to_dict(), paths.to_dict()
  for key, default in _LOCAL.items():
    section, name = key.split(".")
    old = values.setdefault(section, {}).get(name)
    values[section][name] = given.get(section, {}).get(name) or old or default
  return ConfigDict(values)


class Mixture(NamedTuple):
  """Sources and the shares that they have of the examples, in proportion."""

  sources: list[ClipSource]
  weights: list[float]


def shares(config: ConfigDict) -> dict[str, float]:
  """The datasets that a config trains on, and the shares that they have.

  Raises:
    InputError: for an unknown dataset, a negative share, or no share at all.
  """
  mixture = dict(config.data.get("mixture", {})) or {config.data.source: 1.0}
  for name, share in sorted(mixture.items()):
    if name not in NAMES:
      raise _unknown(name)
    if not (isinstance(share, int | float) and 0 <= share < float("inf")):
      raise InputError(
        f"config.data.mixture.{name} is {share!r}: give a share, 0 or more."
      )
  # In one order whatever the config was read from: the examples' order depends on it.
  chosen = {name: float(share) for name, share in sorted(mixture.items()) if share}
  if not chosen:
    raise InputError("All shares of config.data.mixture are 0: give one that is not.")
  return chosen


def open_training(config: ConfigDict) -> ClipSource | Mixture:
  """What a config trains on; raises as `shares` and `open_source` do."""
  chosen = shares(config)
  opened = [open_source(config, "train", name) for name in chosen]
  return opened[0] if len(opened) == 1 else Mixture(opened, list(chosen.values()))


def _target(config: ConfigDict) -> str | None:
  """The dataset of the target domain; None if there is none.

  Raises:
    InputError: there is no such dataset.
  """
  if "target" not in config:
    return None
  if config.target.dataset not in NAMES:
    raise _unknown(config.target.dataset)
  return str(config.target.dataset)


def open_target(config: ConfigDict) -> ClipSource | None:
  """Clips of the domain that is seen without labels; raises as `open_source` does."""
  name = _target(config)
  if name is None:
    return None
  changed = ConfigDict(config.to_dict())
  changed.data.variant = config.target.get("variant", "alone")
  return open_source(changed, "train", name)


def _unknown(name: str) -> InputError:
  return InputError(f"There is no dataset {name!r}: choose one of {', '.join(NAMES)}.")


def open_source(config: ConfigDict, split: str, name: str | None = None) -> ClipSource:
  """Opens a split of the dataset `name` (default: the config's own).

  Raises:
    InputError: for an unknown dataset, or paths that the config needs and lacks.
  """
  name = name or config.data.source
  if name not in NAMES:
    raise _unknown(name)
  if name == "synthetic_clips":
    return _synthetic_clips(config, split)
  _check_there(config, _NEEDED[name])
  builder = _BUILDERS[name](config)
  records = _records(name, builder, split)
  find = None
  if name == "threedpw":
    find = functools.partial(_frames_of, builder.frames_root())
  return ClipSource(name, records, str(builder.data_path), find, split)


def training_is_here(config: ConfigDict) -> bool:
  """Whether what a config trains on can be opened without making it first."""
  try:
    check_paths(config)
  except InputError:
    return False
  return all(_BUILDERS[name](config).data_path.exists() for name in shares(config))


def _threedpw(config: ConfigDict) -> Any:
  from data_builders.threedpw import threedpw_dataset_builder as threedpw

  settings = threedpw.ThreedpwConfig(
    source=config.threedpw.dir,
    male=config.body.male,
    female=config.body.female,
    frames=config.threedpw.frames,
  )
  return threedpw.Builder(config=settings, data_dir=data_dir(config))


def _frames_of(root: pathlib.Path, record: Mapping[str, Any]) -> Sequence[Any]:
  return frame_files.open_frames(root, record["frames_place"], record["frame_index"])


def _kinetics(config: ConfigDict) -> Any:
  from data_builders.kinetics_pseudo_gt import (
    kinetics_pseudo_gt_dataset_builder as kinetics,
  )

  settings = kinetics.KineticsPseudoGtConfig(
    labels=config.kinetics.pseudo_gt,
    videos=config.kinetics.dir,
    body=config.body.path,
    regressor=config.kinetics.regressor,
    min_frames=config.data.window,
    test_fraction=config.data.test_fraction,
  )
  return kinetics.Builder(config=settings, data_dir=data_dir(config))


def _records(name: str, builder: Any, split: str) -> Sequence[Any]:
  """The records of a split; builds the dataset if it is not there."""
  if not builder.data_path.exists():
    logging.info("Reading %s into %s", name, builder.data_path)
    builder.download_and_prepare()
  splits = builder.info.splits
  if split not in (*splits, "all"):
    raise InputError(f"{name} has no split {split!r}: use {' or '.join(splits)}.")
  try:
    return cast(Sequence[Any], builder.as_data_source(split=split))
  except Exception as error:
    raise _not_opened(str(builder.data_path), error) from error


def _synthetic(config: ConfigDict) -> Any:
  # TFDS takes seconds to import.
  from data_builders.synthetic_clips import synthetic_clips_dataset_builder as synthetic

  num_train, num_test = synthetic.split_counts(
    config.data.num_clips, config.data.test_fraction
  )
  filmed = config.data.people == "surreal"
  settings = synthetic.SyntheticClipsConfig(
    num_train=num_train,
    num_test=num_test,
    frames=config.data.clip_frames,
    size=config.data.frame_size,
    seed=config.data.seed,
    motion=config.data.motion,
    backgrounds=config.data.backgrounds or (config.kinetics.dir if filmed else ""),
    body=config.body.path,
    surreal=config.surreal.dir if filmed else "",
    variant=config.data.variant,
    processes=config.data.processes or os.cpu_count() or 1,
  )
  return synthetic.Builder(config=settings, data_dir=data_dir(config))


_BUILDERS: dict[str, Callable[[ConfigDict], Any]] = {
  "synthetic_clips": _synthetic,
  "threedpw": _threedpw,
  "kinetics_pseudo_gt": _kinetics,
}


def _synthetic_clips(config: ConfigDict, split: str) -> ClipSource:
  if split not in ("train", "test"):
    raise InputError(f"synthetic_clips has no split {split!r}: use train or test.")
  builder = _synthetic(config)
  if not builder.data_path.exists():
    logging.info("Making %d clips in %s", config.data.num_clips, builder.data_path)
    builder.download_and_prepare()
  folder = str(builder.data_path)
  try:
    records = builder.as_data_source(split=split)
  except Exception as error:
    raise _not_opened(folder, error) from error
  return ClipSource("synthetic_clips", records, folder, split=split)


def _not_opened(folder: str, error: Exception) -> InputError:
  return InputError(
    f"The clips in {folder} cannot be opened ({_sentence(error)}): delete that "
    "folder and run again to make them anew."
  )
