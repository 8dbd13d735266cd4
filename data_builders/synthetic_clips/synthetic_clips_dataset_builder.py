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

from mhmr_jax.batch import Clip
from mhmr_jax.synth import clips


@dataclasses.dataclass(eq=False, kw_only=True)
class SyntheticClipsConfig(tfds.core.BuilderConfig):
  """What to make; everything but `processes` decides the data and its folder.

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
    processes: workers that make clips side by side.
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
  variant: str = "alone"
  processes: int = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)

  def __post_init__(self) -> None:
    for field in ("motion", "backgrounds", "body", "textures"):
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


class Builder(tfds.core.GeneratorBasedBuilder):
  """Renders people in motion before moving backgrounds, with all labels exact."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES: ClassVar = {
    "1.0.0": "Rendered people, moving cameras and backgrounds."
  }
  BUILDER_CONFIGS: ClassVar = [SyntheticClipsConfig(name="default")]

  builder_config: SyntheticClipsConfig

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

  def download_and_prepare(self, **kwargs: Any) -> None:
    """As TFDS's own, with one pool of worker processes for all splits."""
    with clips.workers(self.builder_config.processes) as self._pool:
      super().download_and_prepare(**kwargs)

  def _split_generators(
    self, dl_manager: tfds.download.DownloadManager
  ) -> dict[str, Iterator[tuple[str, Clip]]]:
    del dl_manager
    # One bar that says how fast clips are made says more than TFDS's several.
    tfds.disable_progress_bar()
    config = self.builder_config
    return {
      "train": self._generate_examples("train", config.num_train),
      "test": self._generate_examples("test", config.num_test),
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
