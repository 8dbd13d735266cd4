"""The one interface to motion: a folder of motion capture, or procedural motion."""

import abc
import collections
import dataclasses
import hashlib
import pathlib
import re
from collections.abc import Iterator

import numpy as np
from absl import logging

from mhmr_jax.errors import InputError
from mhmr_jax.files import untrusted
from mhmr_jax.motion import amass, bvh, cmu, procedural
from mhmr_jax.motion.pose_sequence import PoseSequence

FPS = 30.0
SPLITS = ("train", "test")
_TEST_PART = 0.2
_ENOUGH_GROUPS = 5  # With fewer subjects (or files), none is held out as a whole.
_CACHED_MOTIONS = 128
_CMU_NAME = re.compile(r"(\d+)_\d+")  # Subject and motion.
# Half an hour stands for all of procedural motion where all motions are asked for.
_PROCEDURAL_MOTIONS = 180
_PROCEDURAL_FRAMES = 300


class MotionSource(abc.ABC):
  """A source of motion for clips, whose train and test splits share nothing."""

  @abc.abstractmethod
  def motions(self, split: str) -> Iterator[PoseSequence]:
    """Yields all motions of a split at 30 fps; unreadable files are left out."""

  @abc.abstractmethod
  def split(self, name: str) -> list[str]:
    """Names the sources of the split 'train' or 'test', such as files."""

  @abc.abstractmethod
  def sample(self, rng: np.random.Generator, split: str, frames: int) -> PoseSequence:
    """Draws a motion at 30 fps, which depends on the generator's state alone.

    Args:
      rng: the random generator.
      split: 'train' or 'test'.
      frames: how many frames to draw.

    Raises:
      InputError: the split has no readable motion that long.
    """


def open_motions(path: str) -> MotionSource:
  """Opens a folder of motion capture: files of one or several formats, at any depth.

  CMU's `.amc` files, with the `.asf` of the subject beside them, `.bvh` files of any
  skeleton, and AMASS's `.npz` files are read. A subject's motions are in one split. The
  subject is the number in CMU's file names (`NN_MM.amc`, `NN_MM.bvh`), and the folder
  of other files.

  Args:
    path: the folder; procedural motion if it is empty.

  Raises:
    InputError: the folder holds no motion.
  """
  return _Files(pathlib.Path(path).expanduser()) if path else _Procedural()


def _check_split(name: str) -> None:
  if name not in SPLITS:
    raise ValueError(f"split is one of {SPLITS}, not '{name}'")


class _Procedural(MotionSource):
  """Procedural motion: train draws even seeds, test odd ones."""

  def split(self, name: str) -> list[str]:
    _check_split(name)
    return [f"procedural/{name}"]

  def motions(self, split: str) -> Iterator[PoseSequence]:
    """Yields a fixed number of motions: there is no end of them."""
    _check_split(split)
    for number in range(_PROCEDURAL_MOTIONS):
      yield procedural.generate(
        2 * number + SPLITS.index(split), _PROCEDURAL_FRAMES, FPS
      )

  def sample(self, rng: np.random.Generator, split: str, frames: int) -> PoseSequence:
    _check_split(split)
    seed = 2 * int(rng.integers(2**61)) + SPLITS.index(split)
    return procedural.generate(seed, frames, FPS)


@dataclasses.dataclass(frozen=True)
class _File:
  """A motion file, and the part of its time that a split may draw from."""

  path: pathlib.Path
  skeleton: pathlib.Path | None
  subject: str
  size: int
  part: tuple[float, float] = (0.0, 1.0)

  def read(self) -> PoseSequence:
    # Whatever one file is, the others of the folder can be read.
    with untrusted.reading(self.path, "a motion"):
      if self.skeleton is not None:
        return cmu.read(self.skeleton, self.path, FPS)
      read = bvh.read if self.path.suffix.lower() == ".bvh" else amass.read
      return read(self.path, FPS)


class _Files(MotionSource):
  """Motion capture, split by subject, or by file or time where there are too few."""

  def __init__(self, folder: pathlib.Path):
    files, self._skipped = _find(folder)
    if not files:
      raise InputError(
        f"{folder}: no motion capture here; give a folder of CMU's .asf and .amc "
        "files, .bvh files or AMASS's .npz files, or leave the path empty for "
        "procedural motion."
      )
    self._folder = folder
    self._splits = _divide(files)
    self._lengths: dict[pathlib.Path, int] = {}
    self._cache: collections.OrderedDict[pathlib.Path, PoseSequence]
    self._cache = collections.OrderedDict()

  def split(self, name: str) -> list[str]:
    _check_split(name)
    return [
      str(file.path.relative_to(self._folder))
      + ("" if file.part == (0, 1) else f"[{file.part[0]:.0%}-{file.part[1]:.0%}]")
      for file in self._splits[name]
    ]

  def motions(self, split: str) -> Iterator[PoseSequence]:
    _check_split(split)
    for file in self._splits[split]:
      first, last = _usable(file, self._length(file))
      if last > first:
        yield self._read(file).slice(first, last)

  def sample(self, rng: np.random.Generator, split: str, frames: int) -> PoseSequence:
    _check_split(split)
    files = self._splits[split]
    # An order drawn without replacement, in proportion to the files' sizes (Gumbel
    # top-k). Unlike lengths, sizes are known before a file is read, so that the draw
    # does not depend on which files this process has read.
    chance = np.log([file.size for file in files]) + rng.gumbel(size=len(files))
    place = rng.random()
    for index in np.argsort(-chance):
      file = files[index]
      first, last = _usable(file, self._length(file))
      if last - first >= frames:
        start = first + int(place * (last - first - frames + 1))
        return self._read(file).slice(start, start + frames)
    raise InputError(
      f"{self._folder}: no motion of the {split} split has {frames} frames at "
      f"{FPS:.0f} a second ({len(files)} files tried); ask for shorter clips."
    )

  def _length(self, file: _File) -> int:
    if file.path not in self._lengths:
      try:
        self._lengths[file.path] = len(self._read(file))
      except InputError as error:
        self._lengths[file.path] = 0
        self._skipped += 1
        logging.warning("Skipped a motion file (%d so far): %s", self._skipped, error)
    return self._lengths[file.path]

  def _read(self, file: _File) -> PoseSequence:
    if file.path in self._cache:
      self._cache.move_to_end(file.path)
    else:
      self._cache[file.path] = file.read()
      if len(self._cache) > _CACHED_MOTIONS:
        self._cache.popitem(last=False)
    return self._cache[file.path]


def _usable(file: _File, length: int) -> tuple[int, int]:
  first, last = (round(part * length) for part in file.part)
  return first, last


def _find(folder: pathlib.Path) -> tuple[list[_File], int]:
  """The motion files of a folder, and how many cannot be opened."""
  files, skipped = [], 0
  for path in sorted(folder.rglob("*")):
    if path.suffix != ".amc" and path.suffix.lower() not in (".bvh", ".npz"):
      continue
    try:
      with untrusted.reading(path, "a motion"):
        size = path.stat().st_size
    except InputError as error:
      skipped += 1
      logging.warning("Skipped a motion file (%d so far): %s", skipped, error)
      continue
    if path.suffix == ".amc":
      subject = path.stem.split("_")[0]
      files.append(_File(path, path.with_name(f"{subject}.asf"), subject, size))
    else:
      numbered = path.suffix != ".npz" and _CMU_NAME.fullmatch(path.stem)
      subject = numbered[1] if numbered else str(path.parent.relative_to(folder))
      files.append(_File(path, None, subject, size))
  return [file for file in files if file.size], skipped


def _divide(files: list[_File]) -> dict[str, list[_File]]:
  """Divides files into train and test, in the same way wherever the folder lies."""
  # A recording in two formats is one motion, named as the first of its files.
  names = {file.path.stem: file.path.name for file in reversed(files)}
  stems = [names[file.path.stem] for file in files]
  for key in ([file.subject for file in files], stems):
    groups = sorted(set(key), key=lambda name: hashlib.sha256(name.encode()).digest())
    if len(groups) >= _ENOUGH_GROUPS:
      held_out = set(groups[: round(_TEST_PART * len(groups))])
      pairs = list(zip(files, key, strict=True))
      return {
        "train": [file for file, group in pairs if group not in held_out],
        "test": [file for file, group in pairs if group in held_out],
      }
  border = 1 - _TEST_PART
  return {
    "train": [dataclasses.replace(file, part=(0.0, border)) for file in files],
    "test": [dataclasses.replace(file, part=(border, 1.0)) for file in files],
  }
