"""Builds 3DPW from its official release; a record is one person in one sequence."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from data_builders import clip_features, folder_names, sharded, threads
from data_builders.cutout import Cutout
from data_builders.threedpw import reader
from mhmr_jax.body import smpl
from mhmr_jax.errors import InputError
from mhmr_jax.files import frame_files

FRAMES = ("stored", "referenced")


@dataclasses.dataclass(eq=False, kw_only=True)
class ThreedpwConfig(tfds.core.BuilderConfig):
  """What to read; all settings decide the data and the name of its folder.

  Attributes:
    source: the folder that holds imageFiles and sequenceFiles.
    male: the file of the male SMPL model.
    female: the file of the female SMPL model.
    frames: "stored" stores cut-outs of the people; "referenced" reads the release's own
      images whenever they are needed.
    person: stored frames keep at least so many pixels of the person's longer side,
      where the image has them.
  """

  name: str = ""
  source: str = ""
  male: str = ""
  female: str = ""
  frames: str = "stored"
  person: int = 256

  def __post_init__(self) -> None:
    if self.frames not in FRAMES:
      raise InputError(
        f"config.threedpw.frames is {self.frames!r}: use 'stored' or 'referenced'."
      )
    folder_names.complete(self, ("source", "male", "female"), self.frames)


class Builder(sharded.ShardedBuilder):
  """Makes tracks of people in 3DPW, in the camera's frame."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES: ClassVar = {"1.0.0": "Every split, every person a track."}
  BUILDER_CONFIGS: ClassVar = [ThreedpwConfig(name="default")]

  builder_config: ThreedpwConfig

  def _info(self) -> tfds.core.DatasetInfo:
    features = {
      **clip_features.of_people_on_video(
        *("pose", "betas", "transl", "joints_camera", "keypoints_image", "box"),
        "intrinsics",
      ),
      # The place of the track's frames, relative to `frames_root`.
      "frames_place": tfds.features.Text(),
    }
    return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

  def frames_root(self) -> pathlib.Path:
    """The folder that each record's `frames_place` is relative to."""
    config = self.builder_config
    folder = self.data_path if config.frames == "stored" else config.source
    return pathlib.Path(os.fspath(folder))

  def _split_generators(
    self, dl_manager: tfds.download.DownloadManager
  ) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
    del dl_manager
    config = self.builder_config
    source = pathlib.Path(config.source)
    bodies = {"male": smpl.load(config.male), "female": smpl.load(config.female)}
    # All sequences are read before anything is written.
    splits = {
      split: reader.read_split(source, split, bodies)
      for split in reader.SPLITS
      if reader.sequence_files(source, split)
    }
    if not splits:
      raise InputError(
        f"{source} has no sequenceFiles/test/*.pkl, nor other splits: name the folder "
        "that 3DPW's two archives are unpacked in."
      )
    return {
      split: self._generate_examples(split, tracks) for split, tracks in splits.items()
    }

  def _generate_examples(
    self, split: str, tracks: list[reader.PersonClip]
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    for track in tqdm(tracks, f"{split} tracks", unit="track"):
      stored = self.builder_config.frames == "stored"
      yield track.clip["sequence"], self._store(track) if stored else self._refer(track)

  def _store(self, track: reader.PersonClip) -> dict[str, Any]:
    """Writes a track's frames, cut out around the person; returns its record."""
    clip = track.clip
    cutout = Cutout.around(clip["box"], track.image_size, self.builder_config.person)
    place = f"frames/{clip['sequence']}{frame_files.SUFFIX}"
    cut = functools.partial(_read_image, self._folder(track), track.image_size, cutout)
    frames = threads.in_order(cut, clip["frame_index"])
    with sharded.writing(self.frames_root() / place):
      frame_files.write(self.frames_root() / place, frames)
    return {
      **clip,
      "frames_place": place,
      "keypoints_image": cutout.keypoints(clip["keypoints_image"]),
      "box": cutout.boxes(clip["box"]),
      "intrinsics": cutout.intrinsics(clip["intrinsics"]),
    }

  def _refer(self, track: reader.PersonClip) -> dict[str, Any]:
    """Checks all images of a track; returns its record, which refers to them."""
    check = functools.partial(_read_image, self._folder(track), track.image_size, None)
    for _ in threads.in_order(check, track.clip["frame_index"]):
      pass
    return {**track.clip, "frames_place": track.folder}

  def _folder(self, track: reader.PersonClip) -> pathlib.Path:
    return pathlib.Path(self.builder_config.source) / track.folder


def _read_image(
  folder: pathlib.Path, size: tuple[int, int], cutout: Cutout | None, number: np.int32
) -> bytes:
  """Cuts the person out of one image; without a cutout the image is only checked."""
  path = folder / frame_files.image_name(int(number))
  image = reader.decode(path.read_bytes(), path, size)
  return b"" if cutout is None else cutout.jpeg(image)
