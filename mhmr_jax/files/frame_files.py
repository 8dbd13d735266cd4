"""Frames beside the records: of a long track only those asked for are read."""

import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from array_record.python import array_record_module
from jaxtyping import Int

from mhmr_jax.errors import InputError

SUFFIX = ".array_record"
# One frame a chunk: any frame is read alone.
_OPTIONS = "group_size:1,uncompressed"


def image_name(number: int) -> str:
  """What 3DPW calls the image of a frame."""
  return f"image_{number:05d}.jpg"


def inside(root: pathlib.Path, relative: str) -> pathlib.Path:
  """A path below a folder; InputError for one that would leave it."""
  path = pathlib.PurePosixPath(relative)
  if not relative or path.is_absolute() or ".." in path.parts or "\\" in relative:
    raise InputError(f"The path {relative!r} leaves the folder {root}: it is refused.")
  return root / path


def open_frames(
  root: pathlib.Path, place: str, frame_index: Int[np.ndarray, "time"]
) -> Sequence[Any]:  # Of bytes; a checker of types must not read a frame to know it.
  """The frames of a track as JPEG images.

  Args:
    root: the folder that `place` is in.
    place: relative; a file that `write` made of the track's frames, or a folder of
      images numbered as `frame_index` says.
    frame_index: of the track's frames.

  Raises:
    InputError: the place is outside the root; and, where frames are asked for, they
      are not there.
  """
  path = inside(root, place)
  if path.suffix == SUFFIX:
    return _StoredFrames(path, len(frame_index))
  return _ReferencedFrames(path, [int(number) for number in frame_index])


def write(path: pathlib.Path, frames: Iterable[bytes]) -> None:
  """Writes a file of frames."""
  path.parent.mkdir(parents=True, exist_ok=True)
  writer = array_record_module.ArrayRecordWriter(str(path), _OPTIONS)
  try:
    for frame in frames:
      writer.write(frame)
  finally:
    writer.close()


class Frames(Sequence[bytes]):
  """A sequence that reads what is asked for."""

  def __init__(self, path: pathlib.Path, count: int):
    self._path = path
    self._count = count

  def __len__(self) -> int:
    return self._count

  @overload
  def __getitem__(self, key: int) -> bytes: ...
  @overload
  def __getitem__(self, key: slice) -> list[bytes]: ...
  def __getitem__(self, key: int | slice) -> bytes | list[bytes]:
    chosen = range(self._count)[key]
    if isinstance(chosen, range):
      return self._read(list(chosen))
    return self._read([chosen])[0]

  def __iter__(self) -> Iterator[bytes]:
    return (self[index] for index in range(self._count))

  def _read(self, indices: list[int]) -> list[bytes]:
    raise NotImplementedError


class _StoredFrames(Frames):
  """Of a file that `write` made, opened at the first frame."""

  def __init__(self, path: pathlib.Path, count: int):
    super().__init__(path, count)
    self._reader: Any = None

  def _read(self, indices: list[int]) -> list[bytes]:
    if not indices:
      return []
    try:
      if self._reader is None:
        self._reader = array_record_module.ArrayRecordReader(str(self._path))
      frames: list[bytes] = self._reader.read(indices)
      # Of a file cut at the end of a block it gives empty records, and no error.
      if not all(frames) or self._reader.num_records() != self._count:
        raise ValueError("it is cut short or of another track")
    # Its errors are of many kinds.
    except Exception as error:
      raise InputError(
        f"The frames in {self._path} cannot be read ({str(error)[:120]}): delete the "
        "dataset's folder and run again to make it anew."
      ) from error
    return frames


class _ReferencedFrames(Frames):
  """Of a folder of images."""

  def __init__(self, path: pathlib.Path, numbers: list[int]):
    super().__init__(path, len(numbers))
    self._numbers = numbers

  def _read(self, indices: list[int]) -> list[bytes]:
    names = [image_name(self._numbers[index]) for index in indices]
    try:
      return [(self._path / name).read_bytes() for name in names]
    except OSError as error:
      raise InputError(
        f"The frame {error.filename} cannot be read ({error.strerror}): the dataset "
        "refers to the images in that folder, which must stay where they were."
      ) from error
