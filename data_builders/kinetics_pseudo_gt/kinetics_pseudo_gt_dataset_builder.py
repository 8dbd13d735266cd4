"""Builds Temporal-3D-Pose-Kinetics: Kinetics videos with SMPL fitted to people."""

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import ClassVar

import tensorflow_datasets as tfds
from tqdm import tqdm

from data_builders import clip_features, folder_names, left_out, sharded, threads
from data_builders.kinetics_pseudo_gt import reader
from mhmr_jax.errors import InputError
from mhmr_jax.schema import Clip

Files = Mapping[reader.ClipName, pathlib.Path]


@dataclasses.dataclass(eq=False, kw_only=True)
class KineticsPseudoGtConfig(tfds.core.BuilderConfig):
  """What to read; all settings decide the data and the name of its folder.

  Attributes:
    labels: the folder of the pickles.
    videos: the folder of the videos, at any depth.
    body: the file of the neutral SMPL model.
    regressor: the file of the labels' own joint regressor; empty: the body's own
      keypoints check the labels, less strictly.
    min_frames: shorter clips are left out.
    test_fraction: share of the videos in the test split, by a hash of their ids.
    person: at least so many pixels of the person's longer side are kept, where the
      video has them.
  """

  name: str = ""
  labels: str = ""
  videos: str = ""
  body: str = ""
  regressor: str = ""
  min_frames: int = 8
  test_fraction: float = 0.05
  person: int = 256

  def __post_init__(self) -> None:
    paths = ("labels", "videos", "body", "regressor")
    folder_names.complete(self, paths, f"min{self.min_frames}frames")


class Builder(sharded.ShardedBuilder):
  """Makes clips of Kinetics with the labels of Temporal-3D-Pose-Kinetics."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES: ClassVar = {"1.0.0": "Clips whose video is there."}
  BUILDER_CONFIGS: ClassVar = [KineticsPseudoGtConfig(name="default")]

  builder_config: KineticsPseudoGtConfig

  def _info(self) -> tfds.core.DatasetInfo:
    floats = ("pose", "betas", "joints_camera", "keypoints_image", "camera_image")
    features = {
      "frames": clip_features.files(),
      **clip_features.of_people_on_video(*floats),
    }
    return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

  def _split_generators(
    self, dl_manager: tfds.download.DownloadManager
  ) -> dict[str, Iterator[tuple[str, Clip]]]:
    del dl_manager
    config = self.builder_config
    self._left_out = left_out.LeftOut("clips", pathlib.Path(self.data_path))
    body = reader.LabelBody.load(config.body, config.regressor)
    labels = reader.find_labels(pathlib.Path(config.labels))
    videos = reader.find_videos(pathlib.Path(config.videos))
    if not labels:
      raise InputError(
        f"{config.labels} has no file named <id>_<start>_<end>.pkl: name the folder "
        "that Temporal-3D-Pose-Kinetics was unpacked in."
      )
    with_video: dict[str, list[reader.ClipName]] = {"train": [], "test": []}
    reasons = {}
    for name in labels:
      if name in videos:
        with_video[self._split_of(name)].append(name)
      else:
        reasons[str(name)] = f"{config.videos} has no video of that name"
    if not any(with_video.values()):
      raise InputError(
        f"{config.videos} has no video of the {len(labels)} labelled clips, such as "
        f"{next(iter(labels))}: name the folder of the videos <id>_<start>_<end>.mp4."
      )
    self._left_out.add(reasons, len(labels))
    return {
      split: self._generate_examples(split, names, labels, videos, body)
      for split, names in with_video.items()
      if names
    }

  def _split_of(self, name: reader.ClipName) -> str:
    """Assigns all clips of one video to the same split."""
    digest = hashlib.sha256(name.video.encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return "test" if share < self.builder_config.test_fraction else "train"

  def _generate_examples(
    self,
    split: str,
    names: list[reader.ClipName],
    labels: Files,
    videos: Files,
    body: reader.LabelBody,
  ) -> Iterator[tuple[str, Clip]]:
    config = self.builder_config
    read = functools.partial(
      _read_or_explain,
      labels=labels,
      videos=videos,
      body=body,
      min_frames=config.min_frames,
      size=config.person,
    )
    reasons, yielded = {}, 0
    clips = tqdm(threads.in_order(read, names), f"{split} clips", len(names))
    for name, clip in zip(names, clips, strict=True):
      if isinstance(clip, str):
        reasons[str(name)] = clip
      else:
        yielded += 1
        yield str(name), clip
    self._left_out.add(reasons, len(names))
    if not yielded:
      raise InputError(
        f"No clip of the {split} split can be used ({left_out.few(reasons.values())}): "
        "mend their files, or take them away."
      )


def _read_or_explain(
  name: reader.ClipName,
  labels: Files,
  videos: Files,
  body: reader.LabelBody,
  min_frames: int,
  size: int,
) -> Clip | str:
  """Reads a clip, or returns the reason why it cannot be read."""
  try:
    return reader.read_clip(name, labels[name], videos[name], body, min_frames, size)
  except InputError as error:
    return str(error)
