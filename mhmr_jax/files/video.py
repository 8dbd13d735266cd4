"""Reads videos frame by frame, in memory that does not grow with their length.

Frames are returned as a player shows them. If the container lists its frames, they are
counted without decoding any. A listed frame that cannot be decoded is replaced by a
black one, so that the numbers and times of the others hold.
"""

import contextlib
import functools
import math
import os
import pathlib
from collections.abc import Iterator
from typing import NamedTuple, cast

import av
import numpy as np
from absl import logging
from av.error import FFmpegError
from jaxtyping import Float, Int, UInt8

from mhmr_jax.errors import InputError
from mhmr_jax.files import images_folder, shown_frames, yuv

_FALLBACK_FPS = 30.0
_MAX_FPS = 1000.0
_MIN_SIDE = 16
MAX_PIXELS = 36_000_000  # A frame of 8K has 33 million.
# Matroska's times are in whole milliseconds: each is off by up to a half, the first
# one too.
_ROUNDING_SECONDS = 1.1e-3

# Sound may go on for so long, and a file not say when its pictures end.
_SPARE_SECONDS = 1.0
# Some writers count one frame too many.
_SPARE_FRAMES = 1

# Playlists and their like are left out: they would have other files read.
FORMATS = (
  "3gp,asf,av1,avi,dv,flv,gif,h264,hevc,ivf,m4v,matroska,mj2,mov,mp4,mpeg,mpegts,"
  "mpegvideo,mxf,nut,ogg,rm,vc1,webm,webm_dash_manifest,wtv,yuv4mpegpipe"
)
# What holds exactly one shown frame in each packet, with its time.
_LISTED_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
_LISTED_CODECS = ("av1", "h264", "hevc", "mjpeg", "prores", "vp9")


class VideoInfo(NamedTuple):
  """The properties of a video's frames as they are shown.

  A file may ask for its frames to be rotated, as phones that are held upright do.
  """

  width: int
  height: int
  fps: float  # On average.
  num_frames: int
  times: Float[np.ndarray, "num_frames"]  # Seconds from the first frame, rising.


def probe(path: str | os.PathLike[str], fps: float | None = None) -> VideoInfo:
  """Returns size, frame rate, times and true length of a video or folder of images.

  The length that a file claims is an estimate in many files, and wrong in some. Where
  the container does not list its frames, all are decoded.

  Args:
    path: the path of the video, or of a folder of images.
    fps: how many images a second a folder has; None for a video.

  Raises:
    InputError: the file is missing, is no video that can be decoded, or has frames of
      an impossible size; a folder has no images, or no `fps`.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    return _probe_folder(path, fps)
  if fps is not None:
    raise InputError(f"--fps is for folders of images, and {path} is none: leave it.")
  shown = _layout(path)
  listing = _listing(path)
  found = _counted(path) if listing is None else listing
  with _opened(path) as stream:
    claimed, average = stream.frames, float(stream.average_rate or 0)
    base = float(stream.time_base or 0)
    duration = (_container(stream).duration or 0) / av.time_base
  times, fps = _timing((found.pts - found.pts[0]) * base, average, path)
  end = float(times[-1]) + 1 / fps
  if found.packets < claimed - _SPARE_FRAMES:
    logging.warning(
      "%s is cut short: %d of %d frames are there.", path, found.packets, claimed
    )
  elif end < duration - _SPARE_SECONDS:
    logging.warning("%s has pictures for %.1f of its %.1f s.", path, end, duration)
  return VideoInfo(*shown.size, fps, len(times), times)


def metadata(path: str | os.PathLike[str]) -> dict[str, str]:
  """The metadata of a video's file by name, or the first image's EXIF tags.

  Raises:
    InputError: the file is missing, or is no video or image.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    return images_folder.exif(path)
  with opened(path) as container:
    told = dict(container.metadata)
    for stream in container.streams.video[:1]:
      told |= stream.metadata
  return told


def read_frames(
  path: str | os.PathLike[str],
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
  """Yields the RGB frames in order, `num_frames` of them; raises as `probe` does."""
  path = pathlib.Path(path)
  if path.is_dir():
    yield from _folder_images(path)
    return
  shown = _layout(path)
  for frame in _in_order(path):
    if frame is None:
      yield np.zeros((*shown.size[::-1], 3), np.uint8)
    else:
      yield shown_frames.picture(frame, shown)


def read_stored(path: str | os.PathLike[str]) -> Iterator[yuv.Yuv]:
  """Yields the frames as `read_frames` does, as an encoder takes them.

  They must not be written to. An odd last row or column is lost.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    yield from map(yuv.from_rgb, _folder_images(path))
    return
  shown = _layout(path)
  for frame in _in_order(path):
    if frame is None:
      yield yuv.black(*shown.size)
    else:
      yield shown_frames.stored(frame, shown)


def _folder_images(
  path: pathlib.Path,
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
  _folder_size(path)  # Before an image that may be huge is decoded.
  yield from images_folder.read(path)


def _in_order(path: pathlib.Path) -> Iterator[av.VideoFrame | None]:
  """Yields the frames that `probe` counts, and None for each that is lost."""
  listing = _listing(path)
  if listing is None:
    yield from (frame for frame in _decoded(path) if frame is not None)
    return
  lost = 0
  for frame in _in_place(_decoded(path), listing.pts):
    lost += frame is None
    yield frame
  if lost:
    _warn_of_black(path, lost, len(listing.pts))


@functools.cache  # A program reads its video several times.
def _warn_of_black(path: pathlib.Path, lost: int, total: int) -> None:
  logging.warning(
    "%d of %d frames of %s could not be decoded, and are black.", lost, total, path
  )


def _probe_folder(path: pathlib.Path, fps: float | None) -> VideoInfo:
  count = len(images_folder.images(path))
  if fps is None:
    raise InputError(
      f"{path} is a folder: say by --fps how many of its images there are a second."
    )
  if not 0 < fps <= _MAX_FPS:
    raise InputError(f"--fps={fps:g}: give a rate above 0, up to {_MAX_FPS:g}.")
  return VideoInfo(*_folder_size(path), float(fps), count, np.arange(count) / fps)


def _folder_size(path: pathlib.Path) -> tuple[int, int]:
  size = images_folder.size(images_folder.images(path)[0])
  check_size(*size, path)
  return size


class _Listing(NamedTuple):
  """The frames of a file.

  Attributes:
    pts: the time of each shown frame in units of the stream; NaN where it has none.
    packets: the number of packets, some of which need not be shown.
  """

  pts: Int[np.ndarray, "frames"] | Float[np.ndarray, "frames"]
  packets: int


def _listing(path: pathlib.Path) -> _Listing | None:
  """The frames of a video by its packets; None where only decoding tells them."""
  with _opened(path) as stream:
    container, codec = stream.container, stream.codec_context.codec
    if (
      container.format.name not in _LISTED_FORMATS
      or codec.canonical_name not in _LISTED_CODECS
    ):
      return None
    shown: list[int] = []
    count = 0
    for packet in packets(stream):
      if not packet.size:
        continue
      if packet.pts is None:
        return None
      count += 1
      # An edit list has frames decoded that are only there for others.
      if not packet.is_discard:
        shown.append(packet.pts)
  pts = np.unique(np.array(shown, np.int64))
  return _Listing(pts, count) if 0 < len(pts) == len(shown) else None


def start(path: pathlib.Path) -> float:
  """The first frame's time on the clock that it shares with the sound, seconds."""
  with _opened(path) as stream:
    base = float(stream.time_base or 0)
  listing = _listing(path)
  if listing is not None:
    return float(listing.pts[0]) * base
  frame = next((frame for frame in _decoded(path) if frame is not None), None)
  return 0.0 if frame is None or frame.pts is None else frame.pts * base


def _counted(path: pathlib.Path) -> _Listing:
  """Decodes all frames, and warns of those that cannot be."""
  pts = []
  lost = 0
  for frame in _decoded(path):
    if frame is None:
      lost += 1
    else:
      pts.append(math.nan if frame.pts is None else float(frame.pts))
  total = lost + len(pts)
  if lost:
    logging.warning(
      "%d of %d frames of %s could not be decoded, and are left out.", lost, total, path
    )
  return _Listing(np.array(pts), total)


def _timing(
  seconds: Float[np.ndarray, "frames"], average: float, path: pathlib.Path
) -> tuple[Float[np.ndarray, "frames"], float]:
  """Makes rising times, and the frame rate that fits them.

  Times that an even rate explains, but for rounding, become exactly even.

  Args:
    seconds: the time of each frame as the file has them, from the first one.
    average: the frame rate as the file has it.
    path: the path of the file.
  """
  number = np.arange(len(seconds))
  rising = bool((np.diff(seconds) > 0).all())  # False where one is not a number.
  fps = average
  if rising and len(seconds) > 1:
    measured = (len(seconds) - 1) / seconds[-1]
    if abs(average / measured - 1) > 0.01:
      fps = measured
  if not 0 < fps <= _MAX_FPS:
    logging.warning("%s gives no frame rate: %g is assumed.", path, _FALLBACK_FPS)
    fps = _FALLBACK_FPS
    rising = False
  even = number / fps
  if not rising or np.abs(seconds - even).max() < _ROUNDING_SECONDS:
    return even, float(fps)
  return seconds, float(fps)


def _layout(path: pathlib.Path) -> shown_frames.Layout:
  """How the frames are shown; raises InputError where none can be."""
  with _opened(path) as stream:
    # Before anything is decoded: a small file can ask for gigabytes.
    if stream.width and stream.height:
      check_size(stream.width, stream.height, path)
    aspect = float(stream.sample_aspect_ratio or 0)
  frame = next((frame for frame in _decoded(path) if frame is not None), None)
  if frame is None:
    raise _unreadable(path)
  shown = shown_frames.layout(frame, aspect)
  check_size(*shown.size, path)
  return shown


def check_size(width: int, height: int, name: str | os.PathLike[str]) -> None:
  """Raises InputError for pictures in which nobody can be seen, or that are huge."""
  if min(width, height) < _MIN_SIDE:
    raise InputError(
      f"{name} shows {width}x{height} pixels, in which nobody can be seen: give a "
      "larger video."
    )
  if width * height > MAX_PIXELS:
    raise InputError(
      f"{name} shows {width}x{height} pixels, more than {MAX_PIXELS // 10**6} "
      "million: scale it down first."
    )


def _decoded(path: pathlib.Path) -> Iterator[av.VideoFrame | None]:
  """Yields the frames in the order in which they are shown; None for a damaged one."""
  with _opened(path) as stream:
    stream.thread_type = "AUTO"
    # Frames may be larger than the container says.
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    for packet in packets(stream):
      try:
        frames = packet.decode()
      except (FFmpegError, ValueError):
        yield None
        continue
      yield from frames


def packets(stream: av.stream.Stream) -> Iterator[av.Packet]:
  """Yields a stream's packets, until the file ends or is damaged beyond them."""
  found = _container(stream).demux(stream)
  while True:
    try:
      packet = next(found, None)
    except FFmpegError:
      return
    if packet is None:
      return
    yield packet


def _in_place(
  frames: Iterator[av.VideoFrame | None], pts: Int[np.ndarray, "frames"]
) -> Iterator[av.VideoFrame | None]:
  """Yields the frame of each time, and None where there is none."""
  position = 0
  for frame in frames:
    if frame is None or frame.pts is None:
      continue
    while position < len(pts) and pts[position] < frame.pts:
      yield None
      position += 1
    if position < len(pts) and pts[position] == frame.pts:
      yield frame
      position += 1
  for _ in pts[position:]:
    yield None


def _container(stream: av.stream.Stream) -> av.container.InputContainer:
  return cast(av.container.InputContainer, stream.container)


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[av.VideoStream]:
  """Opens the first video stream of a file."""
  with opened(path) as container:
    stream = next(iter(container.streams.video), None)
    if stream is None or stream.codec_context is None:
      raise _unreadable(path)
    yield stream


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[av.container.InputContainer]:
  """Opens a file of video and sound; InputError where it is missing or is none."""
  if not path.is_file():
    raise InputError(f"There is no video {path}: check --video.")
  try:
    # An absolute path holds no protocol.
    container = av.open(
      str(path.absolute()),
      metadata_errors="replace",
      container_options={"format_whitelist": FORMATS, "protocol_whitelist": "file"},
    )
  except (FFmpegError, ValueError) as error:
    raise _unreadable(path) from error
  with container:
    yield container


def _unreadable(path: pathlib.Path) -> InputError:
  return InputError(
    f"{path} is not a video that can be read: convert it to H.264 in an .mp4 file."
  )
