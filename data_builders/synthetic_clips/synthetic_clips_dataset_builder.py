"""Builds synthetic clips, which are rendered here: nothing is downloaded."""

import dataclasses
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import tensorflow_datasets as tfds
from tqdm import tqdm

from data_builders import clip_features, folder_names, sharded
from mhmr_jax.errors import InputError
from mhmr_jax.schema import Clip
from mhmr_jax.synth import clips, variants

if TYPE_CHECKING:
  from apache_beam.options.pipeline_options import PipelineOptions


@dataclasses.dataclass(eq=False, kw_only=True)
class SyntheticClipsConfig(tfds.core.BuilderConfig):
  """What to make; all settings but the last two decide the data and its folder's name.

  Attributes:
    num_train: clips in the train split; 0 for a dataset without one.
    num_test: clips in the test split; they share no motion, shape, texture or
      background with those of the train split.
    frames: frames a clip, at 30 a second.
    size: pixels of the square frames' side.
    seed: the seed of all random streams.
    motion: a folder of motion capture (CMU, BVH or AMASS); '' means procedural motion.
    backgrounds: a folder of pictures and videos; '' means generated scenes.
    body: the file of a body model in SMPL's form; '' means the free body.
    textures: a folder of pictures of cloth; '' means generated cloth.
    variant: a name of `mhmr_jax.synth.variants.VARIANTS`.
    surreal: SURREAL's folder, to film its people; '' means rendered people.
    processes: worker processes that make clips.
    beam_folder: where the workers of a Beam pipeline leave finished shards, such as
      gs://BUCKET/FOLDER; '' means the dataset's own folder, which all must share.
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
      setattr(self, field, folder_names.absolute(getattr(self, field)))
    self.name = self.name or self._folder_name()

  @property
  def spec(self) -> clips.ClipSpec:
    """The settings that all clips share."""
    fields = [field.name for field in dataclasses.fields(clips.ClipSpec)]
    return clips.ClipSpec(**{name: getattr(self, name) for name in fields})

  def _folder_name(self) -> str:
    settings = {
      **dataclasses.asdict(self.spec),
      "num_train": self.num_train,
      "num_test": self.num_test,
    }
    counts = f"{self.num_train}+{self.num_test}_clips"
    shown = f"{self.variant}_{counts}_{self.frames}x{self.size}px_seed{self.seed}"
    return folder_names.of_settings(shown, settings)


def split_counts(num_clips: int, test_fraction: float) -> tuple[int, int]:
  """Splits a number of clips into clips for training and clips for testing.

  Raises:
    InputError: a split would have no clips.
  """
  num_test = max(1, round(num_clips * test_fraction))
  if num_clips <= num_test:
    raise InputError(
      f"num_clips is {num_clips}, and {num_test} of them are for testing: each split "
      "must have at least one clip."
    )
  return num_clips - num_test, num_test


class Builder(sharded.ShardedBuilder):
  """Renders people in motion in front of moving backgrounds, with exact labels.

  With Beam options in `DownloadConfig`, the workers of a Beam pipeline make the clips.
  The files are the same.
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
    counts = {"train": config.num_train, "test": config.num_test}
    return {split: count for split, count in counts.items() if count}

  def _info(self) -> tfds.core.DatasetInfo:
    features = {
      "frames": clip_features.files(),
      "flow": clip_features.files(),
      "mask": clip_features.files(),
      **clip_features.of_clips(
        *("pose", "betas", "transl", "joints_camera", "keypoints_image", "visibility"),
        "intrinsics",
        frames=self.builder_config.frames,
      ),
    }
    return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

  def _generate_splits(
    self,
    dl_manager: tfds.download.DownloadManager,
    download_config: tfds.download.DownloadConfig,
  ) -> list[tfds.core.SplitInfo]:
    options, runner = download_config.beam_options, download_config.beam_runner
    if options is None and runner is None:
      # All splits share one pool.
      with clips.workers(self.builder_config.processes) as self._pool:
        return super()._generate_splits(dl_manager, download_config)
    return self._generate_splits_on_beam(options, runner)

  def _generate_splits_on_beam(
    self, options: "PipelineOptions | None", runner: str | None
  ) -> list[tfds.core.SplitInfo]:
    # Beam is an optional dependency, and slow to import.
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
    numbered = clips.generate(self._pool, config.spec, split, range(count), ahead)
    for index, clip in tqdm(numbered, f"{split} clips", count, unit="clip"):
      yield f"{index:06d}", clip
