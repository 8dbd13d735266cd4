"""Opens the stored clips that a config names, and makes them if they are missing."""

import functools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from absl import logging
from ml_collections import ConfigDict

from mhmr_jax.data import config_paths
from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic, damage, frame_files
from mhmr_jax.schema import Clip

# TFDS warns of every configuration that is not built in, once in each worker process
# that Grain starts.
logging.get_absl_logger().addFilter(
  lambda record: "Using custom data configuration" not in str(record.msg)
)


class ClipSource:
  """Random access to the clips of one split.

  `source[index]` raises InputError where the record is missing or damaged.
  """

  def __init__(
    self,
    name: str,
    records: Sequence[Any],
    folder: str,
    open_frames: Callable[[dict[str, Any]], Sequence[bytes]] | None = None,
    split: str = "all",
  ):
    """Wraps the records of a split.

    Args:
      name: the name of the dataset.
      records: one record for each clip, with the fields of `Clip`.
      folder: where the records lie.
      open_frames: finds the frames of a record that does not hold them.
      split: its name.
    """
    self.name = name
    self.split = split
    self._records = records
    self._folder = folder
    self._open_frames = open_frames

  def __len__(self) -> int:
    return len(self._records)

  @property
  def folder(self) -> str:
    """Where the records lie; the path ends in <dataset>/<configuration>/<version>."""
    return self._folder

  def __repr__(self) -> str:
    return f"ClipSource({self.name}, {len(self)} clips)"

  def __getitem__(self, index: int) -> Clip:
    try:
      record = dict(self._records[index])
      for key in ("sequence", "gender", "frames_place"):
        if isinstance(record.get(key), bytes):  # TFDS gives text as bytes.
          record[key] = record[key].decode()
      if self._open_frames is not None:
        record["frames"] = self._open_frames(record)
      clip = cast(Clip, record)
      _check(clip)
    # A damaged record makes the readers raise errors of many kinds; the user needs to
    # know which record it is, where it lies and what to do.
    except Exception as error:
      raise InputError(
        f"Clip {index} of {self._folder} cannot be read ({_sentence(error)}): "
        f"{_advice(error)}."
      ) from error
    return clip


def _advice(error: Exception) -> str:
  if damage.is_damage(error):
    return "delete that folder and run again to make it anew"
  return "mend that and run again; it does not mean that the folder is damaged"


def _sentence(error: Exception) -> str:
  text = (str(error) or type(error).__name__).strip().splitlines()[0]
  return text.rstrip(".")[:200]


_PER_FRAME = (
  *("pose", "transl", "joints_camera", "keypoints_image", "visibility", "valid"),
  *("box", "camera_image", "frame_index"),
)
_ALWAYS_FINITE = ("valid", "frame_index")


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
    if key not in _ALWAYS_FINITE and not np.isfinite(rows).all():
      raise ValueError(f"{key} is not finite")


class Mixture(NamedTuple):
  """Several sources, and their shares of the examples, which need not sum to 1."""

  sources: list[ClipSource]
  weights: list[float]


class Generated(NamedTuple):
  """Examples that are made on the device; only their numbers come from the host."""

  seed: int


def open_training(config: ConfigDict) -> ClipSource | Mixture | Generated:
  """What a config trains on: clips, or examples that are made on the device.

  Raises:
    InputError: as `open_training_clips` does.
  """
  if config_paths.GENERATED in config_paths.shares(config):
    return Generated(config.data.seed)
  return open_training_clips(config)


def open_training_clips(config: ConfigDict) -> ClipSource | Mixture:
  """The stored clips that a config trains on.

  Raises:
    InputError: as `config_paths.shares` and `open_source` do.
  """
  shares = config_paths.shares(config)
  opened = [open_source(config, "train", name) for name in shares]
  return opened[0] if len(opened) == 1 else Mixture(opened, list(shares.values()))


def open_target(config: ConfigDict) -> ClipSource | None:
  """The clips of the target domain; None if there is none.

  They need no labels, and those that they have are not used.

  Raises:
    InputError: as `open_source` does.
  """
  name = config_paths.target_dataset(config)
  if name is None:
    return None
  if name == config_paths.UNLABELLED:
    config_paths.check_dataset_paths(config, name)
    builder = _builder(name, config)
    records = _records(name, builder, "train")
    return ClipSource(name, records, str(builder.data_path), split="train")
  changed = ConfigDict(config.to_dict())
  changed.data.variant = config.target.get("variant", "alone")
  return open_source(changed, "train", name)


def open_source(config: ConfigDict, split: str, name: str | None = None) -> ClipSource:
  """Opens a split of the dataset `name` (default: the config's own).

  Raises:
    InputError: there is no such dataset or split, the dataset has no labels, the config
      lacks paths that it is read from, or its files are damaged.
  """
  name = name or config.data.source
  config_paths.check_name(name)
  if name == config_paths.GENERATED:
    raise InputError(
      f"{name} are made on the device and not stored: name another dataset."
    )
  config_paths.check_dataset_paths(config, name)
  # These clips have no split "all", and an unknown one is refused before they are made.
  if name == "synthetic_clips" and split not in ("train", "test"):
    raise InputError(f"synthetic_clips has no split {split!r}: use train or test.")
  builder = _builder(name, config)
  if name == "synthetic_clips" and split == "test" and not builder.data_path.exists():
    # To test, no clips to train on are made, which are many times as many.
    builder = _synthetic(config, only_test=True)
  records = _records(name, builder, split)
  open_frames = None
  if name == "threedpw":
    open_frames = functools.partial(_frames_of, builder.frames_root())
  return ClipSource(name, records, str(builder.data_path), open_frames, split)


def _builder(name: str, config: ConfigDict) -> Any:
  """The builder of a dataset, which reads `dataset_info.json` where it was made."""
  try:
    return _BUILDERS[name](config)
  except InputError:
    raise
  except Exception as error:  # TFDS raises errors of many kinds for damage.
    raise InputError(
      f"A folder of clips in {config_paths.data_dir(config) / name} cannot be opened "
      f"({_sentence(error)}): {_advice(error)}."
    ) from error


def _records(name: str, builder: Any, split: str) -> Sequence[Any]:
  """The records of a split; builds the dataset if it is missing."""
  if not builder.data_path.exists():
    logging.info("Writing the clips of %s to %s", name, builder.data_path)
    try:
      builder.download_and_prepare()
    except OSError as error:
      advice = "make room there, or name another folder by --config.data.dir"
      raise atomic.not_writable(builder.data_path, error, advice) from error
  splits = builder.info.splits  # None where the folder is damaged.
  if splits and split not in (*splits, "all"):
    raise InputError(f"{name} has no split {split!r}: use {' or '.join(splits)}.")
  try:
    source = builder.as_data_source(split=split)
    # TFDS takes seconds to import.
    from mhmr_jax.data import records

    return records.Records(source.data_source, builder.info.features)
  except Exception as error:
    raise InputError(
      f"The clips in {builder.data_path} cannot be opened ({_sentence(error)}): "
      f"{_advice(error)}."
    ) from error


def training_is_here(config: ConfigDict) -> bool:
  """Whether `open_training_clips` would find all clips, and make none."""
  try:
    config_paths.check_paths(config)
  except InputError:
    return False
  names = config_paths.shares(config)
  if config_paths.GENERATED in names:
    return False
  return all(_builder(name, config).data_path.exists() for name in names)


# The builders are imported where they are needed: TFDS takes seconds to import.


def _threedpw(config: ConfigDict) -> Any:
  from data_builders.threedpw import threedpw_dataset_builder as threedpw

  settings = threedpw.ThreedpwConfig(
    source=config.threedpw.dir,
    male=config.body.male,
    female=config.body.female,
    frames=config.threedpw.frames,
  )
  return threedpw.Builder(config=settings, data_dir=config_paths.data_dir(config))


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
  return kinetics.Builder(config=settings, data_dir=config_paths.data_dir(config))


def _unlabelled(config: ConfigDict) -> Any:
  from data_builders.unlabelled_videos import (
    unlabelled_videos_dataset_builder as unlabelled,
  )

  settings = unlabelled.UnlabelledVideosConfig(
    videos=config.videos.dir,
    weights=config.videos.detector_weights,
    min_frames=config.data.window,
  )
  return unlabelled.Builder(config=settings, data_dir=config_paths.data_dir(config))


def _synthetic(config: ConfigDict, only_test: bool = False) -> Any:
  from data_builders.synthetic_clips import synthetic_clips_dataset_builder as synthetic

  num_train, num_test = synthetic.split_counts(
    config.data.num_clips, config.data.test_fraction
  )
  filmed = config.data.people == "surreal"
  settings = synthetic.SyntheticClipsConfig(
    num_train=0 if only_test else num_train,
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
  return synthetic.Builder(config=settings, data_dir=config_paths.data_dir(config))


_BUILDERS: dict[str, Callable[[ConfigDict], Any]] = {
  "synthetic_clips": _synthetic,
  "threedpw": _threedpw,
  "kinetics_pseudo_gt": _kinetics,
  config_paths.UNLABELLED: _unlabelled,
}
