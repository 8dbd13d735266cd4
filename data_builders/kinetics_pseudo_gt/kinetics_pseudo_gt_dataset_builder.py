"""SMPL poses that were fitted to Kinetics videos: real people without 3D truth."""

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Iterator
from typing import Any, ClassVar

import tensorflow_datasets as tfds
from absl import logging
from tqdm import tqdm

from data_builders import filmed, sharded
from data_builders.kinetics_pseudo_gt import kinetics_reader
from mhmr_jax.errors import InputError
from mhmr_jax.schema import Clip

_SHOWN = 10


@dataclasses.dataclass(eq=False, kw_only=True)
class KineticsPseudoGtConfig(tfds.core.BuilderConfig):
  """What to read; all of it decides the data and its folder.

  Attributes:
    labels: the folder of the pickles.
    videos: the folder of the videos, at any depth.
    body: the file of the neutral SMPL model.
    regressor: the file of the labels' own joint regressor; empty: the body's own
      keypoints check the labels, less strictly.
    min_frames: shorter clips are left out.
    test_fraction: share of the videos in the test split, by a hash of their ids.
    person: the person's size in pixels that is kept at least, where the video has it.
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
    for field in ("labels", "videos", "body", "regressor"):
      setattr(self, field, filmed.absolute(getattr(self, field)))
    fields = [field.name for field in dataclasses.fields(KineticsPseudoGtConfig)]
    inherited = [field.name for field in dataclasses.fields(tfds.core.BuilderConfig)]
    settings = {f: getattr(self, f) for f in fields if f not in inherited}
    shown = f"min{self.min_frames}frames"
    self.name = self.name or filmed.folder_name(shown, settings)


class Builder(sharded.ShardedBuilder):
  """Clips of Kinetics with the labels of Temporal-3D-Pose-Kinetics."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES: ClassVar = {"1.0.0": "Clips whose video is there."}
  BUILDER_CONFIGS: ClassVar = [KineticsPseudoGtConfig(name="default")]

  builder_config: KineticsPseudoGtConfig

  def _info(self) -> tfds.core.DatasetInfo:
    floats = ("pose", "betas", "joints_camera", "keypoints_image", "camera_image")
    features = {
      "frames": tfds.features.Sequence(tfds.features.Text()),
      **filmed.features(*floats),
    }
    return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

  def _split_generators(
    self, dl_manager: tfds.download.DownloadManager
  ) -> dict[str, Iterator[tuple[str, Clip]]]:
    del dl_manager
    config = self.builder_config
    person = kinetics_reader.LabelBody.load(config.body, config.regressor)
    labels = kinetics_reader.find_labels(pathlib.Path(config.labels))
    videos = kinetics_reader.find_videos(pathlib.Path(config.videos))
    if not labels:
      raise InputError(
        f"{config.labels} has no file named <id>_<start>_<end>.pkl: name the folder "
        "that Temporal-3D-Pose-Kinetics was unpacked in."
      )
    with_video: dict[str, list[kinetics_reader.ClipName]] = {"train": [], "test": []}
    left_out = {}
    for name in labels:
      if name in videos:
        with_video[self._split_of(name)].append(name)
      else:
        left_out[name] = f"{config.videos} has no video of that name"
    if not any(with_video.values()):
      raise InputError(
        f"{config.videos} has no video of the {len(labels)} labelled clips, "
        f"{next(iter(labels))} for one: name the folder of the videos "
        "<id>_<start>_<end>.mp4."
      )
    self._report(left_out, len(labels))
    return {
      split: self._generate_examples(split, names, labels, videos, person)
      for split, names in with_video.items()
      if names
    }

  def _split_of(self, name: kinetics_reader.ClipName) -> str:
    """By the video, so that no two parts of one are in different splits."""
    digest = hashlib.sha256(name.video.encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return "test" if share < self.builder_config.test_fraction else "train"

  def _generate_examples(
    self,
    split: str,
    names: list[kinetics_reader.ClipName],
    labels: dict[kinetics_reader.ClipName, pathlib.Path],
    videos: dict[kinetics_reader.ClipName, pathlib.Path],
    person: kinetics_reader.LabelBody,
  ) -> Iterator[tuple[str, Clip]]:
    config = self.builder_config
    read = functools.partial(
      _read_or_say_why,
      labels=labels,
      videos=videos,
      person=person,
      min_frames=config.min_frames,
      size=config.person,
    )
    left_out, yielded = {}, 0
    clips = tqdm(filmed.in_order(read, names), f"{split} clips", len(names))
    for name, clip in zip(names, clips, strict=True):
      if isinstance(clip, str):
        left_out[name] = clip
      else:
        yielded += 1
        yield str(name), clip
    self._report(left_out, len(names))
    if not yielded:
      reasons = "; ".join(list(left_out.values())[:_SHOWN])
      raise InputError(
        f"No clip of the {split} split can be used ({reasons}): mend their files, or "
        "take them away."
      )

  def _report(self, left_out: dict[kinetics_reader.ClipName, str], count: int) -> None:
    """Counts and names the clips left out: some in the log, all beside the data."""
    if not left_out:
      return
    some = [f"{name} ({reason})" for name, reason in left_out.items()][:_SHOWN]
    if len(left_out) > _SHOWN:
      some.append("...")
    logging.warning(
      "%d of %d clips are left out: %s", len(left_out), count, "; ".join(some)
    )
    with open(os.path.join(self.data_path, "left_out.txt"), "a") as file:
      file.writelines(f"{name}\t{reason}\n" for name, reason in left_out.items())


def _read_or_say_why(
  name: kinetics_reader.ClipName,
  labels: dict[kinetics_reader.ClipName, pathlib.Path],
  videos: dict[kinetics_reader.ClipName, pathlib.Path],
  **options: Any,
) -> Clip | str:
  """A clip, or the reason why there is none."""
  try:
    return kinetics_reader.read_clip(name, labels[name], videos[name], **options)
  except InputError as error:
    return str(error)
