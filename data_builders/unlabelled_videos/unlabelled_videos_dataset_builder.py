"""Builds clips of the people in a folder of videos, for training without labels."""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from data_builders import clip_features, folder_names, left_out, sharded, video_files
from data_builders.unlabelled_videos import reader
from mhmr_jax.errors import InputError
from mhmr_jax.files import video
from mhmr_jax.keypoints.source import KeypointSource
from mhmr_jax.schema import Clip


@dataclasses.dataclass(eq=False, kw_only=True)
class UnlabelledVideosConfig(tfds.core.BuilderConfig):
  """What to read; all settings decide the data and the name of its folder.

  Attributes:
    videos: the folder of the videos, at any depth.
    weights: the file of the detector's weights; empty: it downloads its own.
    min_frames: a person is seen in at least so many frames of a clip.
    person: at least so many pixels of the person's longer side are kept, where the
      video has them.
  """

  name: str = ""
  videos: str = ""
  weights: str = ""
  min_frames: int = 8
  person: int = 256

  def __post_init__(self) -> None:
    shown = f"min{self.min_frames}frames"
    folder_names.complete(self, ("videos", "weights"), shown)


class Builder(sharded.ShardedBuilder):
  """Makes clips of everybody whom a detector finds in a folder of videos."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES: ClassVar = {"1.0.0": "Everybody who is followed; no labels."}
  BUILDER_CONFIGS: ClassVar = [UnlabelledVideosConfig(name="default")]

  builder_config: UnlabelledVideosConfig

  def _info(self) -> tfds.core.DatasetInfo:
    features = {
      "frames": clip_features.files(),
      **clip_features.of_clips("keypoints_image"),
      "keypoints_detected": np.bool_,
    }
    return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

  def _split_generators(
    self, dl_manager: tfds.download.DownloadManager
  ) -> dict[str, Iterator[tuple[str, Clip]]]:
    del dl_manager
    folder = pathlib.Path(self.builder_config.videos)
    paths = list(video_files.below(folder))
    if not paths:
      raise InputError(
        f"{folder} has no video ({', '.join(video_files.SUFFIXES)}): name a folder of "
        "videos by --config.videos.dir."
      )
    return {"train": self._generate_examples(folder, paths)}

  def _generate_examples(
    self, folder: pathlib.Path, paths: Sequence[pathlib.Path]
  ) -> Iterator[tuple[str, Clip]]:
    config = self.builder_config
    weights = pathlib.Path(config.weights) if config.weights else None
    source = KeypointSource(weights=weights)
    reasons: dict[str, str] = {}
    for path in tqdm(paths, "videos"):
      name = path.relative_to(folder).as_posix()
      try:
        info = video.probe(path)
      except InputError as error:
        reasons[name] = str(error).rstrip(".")
        continue
      # If the detector cannot be used, it cannot be used for any other video.
      found = source.find_people(path, info)
      stretches = reader.follow(found, info, config.min_frames)
      if not stretches:
        reasons[name] = f"nobody is followed for {config.min_frames} frames"
        continue
      for clip in reader.clips(path, info, stretches, name, config.person):
        yield f"{clip['sequence']}_{clip['frame_index'][0]}", clip
    if len(reasons) == len(paths):
      problems = [f"{name}: {reason}" for name, reason in reasons.items()]
      raise InputError(
        f"No video of {folder} can be used ({left_out.few(problems)}): name a folder "
        "of videos that show people by --config.videos.dir."
      )
    left_out.LeftOut("videos", pathlib.Path(self.data_path)).add(reasons, len(paths))
