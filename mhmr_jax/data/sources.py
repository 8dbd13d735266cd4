"""Opens the stored clips that a config names; makes the synthetic ones if need be."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from absl import logging
from ml_collections import ConfigDict

from mhmr_jax.batch import Clip
from mhmr_jax.errors import InputError

# TFDS warns of every configuration that is not built in, and each worker process
# that Grain starts would say so again.
logging.get_absl_logger().addFilter(
  lambda record: "Using custom data configuration" not in str(record.msg)
)

NAMES = ("synthetic_clips",)


class ClipSource:
  """Random access to the clips of one split.

  Raises:
    InputError: from `source[i]`, where the record is missing or damaged.
  """

  def __init__(self, name: str, records: Sequence[Any], folder: str):
    self.name = name
    self._records = records
    self._folder = folder

  def __len__(self) -> int:
    return len(self._records)

  def __repr__(self) -> str:
    return f"ClipSource({self.name}, {len(self)} clips)"

  def __getitem__(self, index: int) -> Clip:
    try:
      record = dict(self._records[index])
      if isinstance(record["sequence"], bytes):  # As TFDS hands text over.
        record["sequence"] = record["sequence"].decode()
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


def _check(clip: Clip) -> None:
  length = len(clip["frames"])
  if not length:
    raise ValueError("it has no frames")
  for key in ("pose", "keypoints_image", "joints_camera", "visibility", "valid"):
    if key in clip and len(clip[key]) != length:
      raise ValueError(f"{key} has {len(clip[key])} rows for {length} frames")
    if key in clip and not np.isfinite(clip[key]).all():
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
  needed = {"config.body.path": config.body.path} if config.body.path else {}
  if config.data.people == "surreal":
    needed |= {
      "config.body.path": config.body.path,
      "config.surreal.dir": config.surreal.dir,
      "config.kinetics.dir": config.kinetics.dir,
    }
  missing = [
    f"{key} ({value or 'not set'})"
    for key, value in sorted(needed.items())
    if not value or not pathlib.Path(os.path.expanduser(value)).exists()
  ]
  if missing:
    raise InputError(
      f"This config reads data that is not there: {', '.join(missing)}; the README "
      "says where to get it, then set each path by --KEY=PATH."
    )
  if config.data.people == "surreal":
    raise InputError(
      "This version does not read SURREAL's clips yet: train on its own, by "
      "--config.data.people=rendered."
    )


def open_source(config: ConfigDict, split: str, name: str | None = None) -> ClipSource:
  """Opens a split of the dataset `name` (default: the config's own).

  Raises:
    InputError: for an unknown dataset, or paths that the config needs and lacks.
  """
  name = name or config.data.source
  if name == "synthetic_clips":
    return _synthetic_clips(config, split)
  raise InputError(f"There is no dataset {name!r}: choose one of {', '.join(NAMES)}.")


def _synthetic_clips(config: ConfigDict, split: str) -> ClipSource:
  # TFDS takes seconds to import, and only this function needs it.
  from data_builders.synthetic_clips import synthetic_clips_dataset_builder as synthetic

  if split not in ("train", "test"):
    raise InputError(f"synthetic_clips has no split {split!r}: use train or test.")
  num_test = max(1, round(config.data.num_clips * config.data.test_fraction))
  if config.data.num_clips <= num_test:
    raise InputError(
      f"config.data.num_clips is {config.data.num_clips}: it must be at least 2, "
      "one clip for each split."
    )
  settings = synthetic.SyntheticClipsConfig(
    num_train=config.data.num_clips - num_test,
    num_test=num_test,
    frames=config.data.clip_frames,
    size=config.data.frame_size,
    seed=config.data.seed,
    motion=config.data.motion,
    backgrounds=config.data.backgrounds,
    body=config.body.path,
    processes=config.data.processes or os.cpu_count() or 1,
  )
  builder = synthetic.Builder(config=settings, data_dir=data_dir(config))
  if not builder.data_path.exists():
    logging.info("Making %d clips in %s", config.data.num_clips, builder.data_path)
    builder.download_and_prepare(file_format="array_record")
  folder = str(builder.data_path)
  try:
    records = builder.as_data_source(split=split)
  except Exception as error:
    raise InputError(
      f"The clips in {folder} cannot be opened ({_sentence(error)}): delete that "
      "folder and run again to make them anew."
    ) from error
  return ClipSource("synthetic_clips", records, folder)
