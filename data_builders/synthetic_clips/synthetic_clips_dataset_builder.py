"""Clips of rendered people, made on the spot: nothing to download."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from data_builders import sharded
from mhmr_jax.errors import InputError
from mhmr_jax.schema import Clip
from mhmr_jax.synth import clips, variants


@dataclasses.dataclass(eq=False, kw_only=True)
class SyntheticClipsConfig(tfds.core.BuilderConfig):
  """What to make; all but the last two decide the data and its folder.

  Attributes:
    num_train: clips in the train split.
    num_test: clips in the test split; they share no motion, shape, texture or
      background with those of the train split.
    frames: frames a clip, at 30 a second.
    size: pixels of the square frames' side.
    seed: of everything random.
    motion: a folder of motion capture (CMU or AMASS); empty: procedural motion.
    backgrounds: a folder of pictures and videos; empty: generated scenes.
    body: the file of a body model in SMPL's form; empty: the free body.
    textures: a folder of pictures of cloth; empty: generated cloth.
    variant: what the clips have: a name of `mhmr_jax.synth.variants.VARIANTS`.
    surreal: SURREAL's folder, whose people are filmed; empty: rendered people.
    processes: workers that make clips side by side.
    beam_folder: where the workers of a Beam pipeline leave finished shards, such as
      gs://BUCKET/FOLDER; empty: in the dataset's own folder, which all must share.
  """

  name: str = ""
  num_train: int = 1000
  num_test: int = 100
  frames: int = 32
  size: int = 128
  seed: int = 0
  motion: str = ""
  backgrounds: str = ""
  body: str = ""
  textures: str = ""
  variant: str = "full"
  surreal: str = ""
  processes: int = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)
  beam_folder: str = ""

  def __post_init__(self) -> None:
    for field in ("motion", "backgrounds", "body", "textures", "surreal"):
      if value := getattr(self, field):
        setattr(self, field, os.path.abspath(os.path.expanduser(value)))
    self.name = self.name or self._folder_name()

  @property
  def spec(self) -> clips.ClipSpec:
    """What all clips have in common."""
    fields = [field.name for field in dataclasses.fields(clips.ClipSpec)]
    return clips.ClipSpec(**{name: getattr(self, name) for name in fields})

  def _folder_name(self) -> str:
    """The main settings to read, and a digest of all of them to tell apart."""
    settings = {
      **dataclasses.asdict(self.spec),
      "num_train": self.num_train,
      "num_test": self.num_test,
    }
    text = json.dumps(settings, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    counts = f"{self.num_train}+{self.num_test}_clips"
    return (
      f"{self.variant}_{counts}_{self.frames}x{self.size}px_seed{self.seed}_{digest}"
    )


def split_counts(num_clips: int, test_fraction: float) -> tuple[int, int]:
  """How many of `num_clips` are for training, and how many for testing.

  Raises:
    InputError: when that leaves a split without any.
  """
  num_test = max(1, round(num_clips * test_fraction))
  if num_clips <= num_test:
    raise InputError(
      f"num_clips is {num_clips}, of which {num_test} to test with: there must be at "
      "least one clip for each split."
    )
  return num_clips - num_test, num_test


class Builder(sharded.ShardedBuilder):
  """Renders people in motion before moving backgrounds, with all labels exact.

  With Beam options in `DownloadConfig`, the workers of a Beam pipeline make the clips:
  the same files.
  """

  VERSION = tfds.core.Version("1.1.0")
  RELEASE_NOTES: ClassVar = {
    "1.0.0": "Rendered people, occluders, moving cameras and backgrounds.",
    "1.1.0": "The same motions and bodies before other scenes and noise, made faster.",
  }
  BUILDER_CONFIGS: ClassVar = [
    SyntheticClipsConfig(name=name, variant=name) for name in variants.VARIANTS
  ]

  builder_config: SyntheticClipsConfig

  @property
  def _counts(self) -> dict[str, int]:
    config = self.builder_config
    return {"train": config.num_train, "test": config.num_test}

  def _info(self) -> tfds.core.DatasetInfo:
    frames = self.builder_config.frames
    tensor = tfds.features.Tensor
    # Text holds any bytes: Image would need the codec's shape, and Video needs more.
    features = {
      "frames": tfds.features.Sequence(tfds.features.Text()),
      "flow": tfds.features.Sequence(tfds.features.Text()),
      "mask": tfds.features.Sequence(tfds.features.Text()),
      **{
        # Any other encoding is an order of magnitude slower to read.
        name: tensor(shape=shape, dtype=np.float32, encoding="bytes")
        for name, shape in _float_shapes(frames).items()
      },
      "valid": tensor(shape=(frames,), dtype=np.bool_, encoding="bytes"),
      "frame_index": tensor(shape=(frames,), dtype=np.int32, encoding="bytes"),
      "fps": np.float32,
      "sequence": tfds.features.Text(),
    }
    return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

  def _generate_splits(
    self, dl_manager: tfds.download.DownloadManager, download_config: Any
  ) -> list[Any]:
    options, runner = download_config.beam_options, download_config.beam_runner
    if options is None and runner is None:
      # One pool for all splits.
      with clips.workers(self.builder_config.processes) as self._pool:
        return super()._generate_splits(dl_manager, download_config)
    # Beam is an extra, and slow to import.
    from data_builders.synthetic_clips import on_beam

    config, folder = self.builder_config, str(self.data_path)
    writer = sharded.ShardWriter(self.info.features)
    lengths = {split: sharded.lengths(count) for split, count in self._counts.items()}
    shards = [
      shard
      for split, parts in lengths.items()
      for shard in on_beam.shards(split, self._shard_names(split, len(parts)), parts)
    ]
    handover = on_beam.handover(config.beam_folder, config.name, str(self.version))
    job = on_beam.Job(config.spec, writer, handover or folder)
    on_beam.make(job, shards, folder, options, runner)
    return [self._split_info(split, parts) for split, parts in lengths.items()]

  def _split_generators(
    self, dl_manager: tfds.download.DownloadManager
  ) -> dict[str, Iterator[tuple[str, Clip]]]:
    del dl_manager
    return {
      split: self._generate_examples(split, count)
      for split, count in self._counts.items()
    }

  def _generate_examples(self, split: str, count: int) -> Iterator[tuple[str, Clip]]:
    config = self.builder_config
    ahead = 3 * config.processes
    made = clips.generate(self._pool, config.spec, split, range(count), ahead)
    for index, clip in tqdm(made, f"{split} clips", count, unit="clip"):
      yield f"{index:06d}", clip


def _float_shapes(frames: int) -> dict[str, tuple[int, ...]]:
  return {
    "pose": (frames, 24, 3),
    "betas": (10,),
    "transl": (frames, 3),
    "joints_camera": (frames, 24, 3),
    "keypoints_image": (frames, 17, 3),
    "visibility": (frames, 24),
    "intrinsics": (3, 3),
  }
