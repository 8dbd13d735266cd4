"""Frames stored beside a dataset's records, so that long tracks are read in parts."""

import contextlib
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from array_record.python import array_record_module
from jaxtyping import Int

from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic

SUFFIX = ".array_record"
# With one frame a chunk, any frame is read without its neighbours.
_OPTIONS = "group_size:1,uncompressed"


def image_name(number: int) -> str:
  """The file name that 3DPW gives the image of a frame."""
  return f"image_{number:05d}.jpg"


def inside(root: pathlib.Path, relative: str) -> pathlib.Path:
  """Joins a path to a folder; raises InputError if it would leave that folder."""
  path = pathlib.PurePosixPath(relative)
  if not relative or path.is_absolute() or ".." in path.parts or "\\" in relative:
    raise InputError(f"The path {relative!r} leaves the folder {root}: it is refused.")
  return root / path


def open_frames(
  root: pathlib.Path, place: str, frame_index: Int[np.ndarray, "time"]
) -> Sequence[Any]:  # Not of bytes: beartype would read a frame to check its type.
  """Opens the frames of a track, which are JPEG images, and reads none of them.

  Args:
    root: the folder that `place` is relative to.
    place: a file that `write` made of the track's frames, or a folder of images whose
      numbers `frame_index` has.
    frame_index: the number of each frame of the track.

  Raises:
    InputError: the place is outside the root. Reading a frame that is missing or
      damaged raises it too.
  """
  path = inside(root, place)
  if path.suffix == SUFFIX:
    return _StoredFrames(path, len(frame_index))
  return _ReferencedFrames(path, [int(number) for number in frame_index])


def write(
  path: pathlib.Path,
  frames: Iterable[bytes],
  advice: str = "name another folder for generated data",
) -> None:
  """Writes a file of frames, and its folder; the file appears when it is whole.

  Args:
    path: the path of the file.
    frames: taken one at a time.
    advice: what the user can do if the file cannot be written.

  Raises:
    InputError: the file cannot be written.
  """
  atomic.make_folder(path.parent, advice)
  with atomic.whole(path, advice) as partial:
    with _errors_of_the_system():
      writer = array_record_module.ArrayRecordWriter(str(partial), _OPTIONS)
    try:
      for frame in frames:
        with _errors_of_the_system():
          writer.write(frame)
    finally:
      with _errors_of_the_system():
        writer.close()


@contextlib.contextmanager
def _errors_of_the_system() -> Iterator[None]:
  """Turns array_record's errors, of a full disk for instance, into OSErrors."""
  try:
    yield
  except RuntimeError as error:
    raise OSError(0, str(error).partition(";")[0][:120]) from error


class Frames(Sequence[bytes]):
  """A sequence whose items are read when they are asked for."""

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
  """The frames of a file that `write` made, which is opened at the first read."""

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
      # From a file that was cut at the end of a block, the reader returns empty
      # records without an error.
      if not all(frames) or self._reader.num_records() != self._count:
        raise ValueError("it is cut short or of another track")
    # array_record raises errors of many kinds.
    except Exception as error:
      raise InputError(
        f"The frames in {self._path} cannot be read ({str(error)[:120]}): delete the "
        "dataset's folder and run again to make it anew."
      ) from error
    return frames


class _ReferencedFrames(Frames):
  """The frames of a folder of images."""

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
