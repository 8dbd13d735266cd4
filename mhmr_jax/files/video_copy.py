"""Copies the pictures of a video as they are encoded, where every browser plays them.

That takes hardly any time, and loses nothing.
"""

import pathlib

import av
import numpy as np
from av.error import FFmpegError

from mhmr_jax.errors import InputError
from mhmr_jax.files import shown_frames, video
from mhmr_jax.files.video import VideoInfo

# Seconds by which a frame's time in the file may differ from what `probe` says of it:
# that makes times even which are so but for rounding.
_ROUNDING_SECONDS = 2e-3
_CONTAINER = "mov,mp4,m4a,3gp,3g2,mj2"  # Others need not say when a frame is decoded.


def copy(
  path: pathlib.Path, target: pathlib.Path, info: VideoInfo, bit_rate: float
) -> bool:
  """Copies the pictures of a video to an .mp4 file, without its sound.

  A browser shows the same frames at the same times, from 0 on. Where that could not be
  so, there is no copy: the video must be of H.264 with 8 bits, upright, with square
  pixels, and an .mp4 or .mov file that lists just the frames that are shown.

  Args:
    path: of the video.
    target: the file to write.
    info: of the video.
    bit_rate: the most that a second may take on average, bits.

  Returns:
    Whether there is a copy.
  """
  if not path.is_file():  # A folder of images.
    return False
  try:
    if not _is_plain(path):
      return False
    first = _first_time(path, info, bit_rate)
    if first is None:
      return False
    _write(path, target, first)
    return video.probe(target).num_frames == info.num_frames
  except (FFmpegError, InputError, ValueError):
    return False  # Whoever decodes it says what is wrong.


def _is_plain(path: pathlib.Path) -> bool:
  """Whether browsers play what is encoded, and nothing has to be done to its frames."""
  with video.opened(path) as container:
    stream = container.streams.video[0]
    context = stream.codec_context
    if container.format.name != _CONTAINER or (
      context.codec.canonical_name,
      context.pix_fmt,
    ) != ("h264", "yuv420p"):
      return False
    shown = shown_frames.layout(
      next(container.decode(stream)), float(stream.sample_aspect_ratio or 1)
    )
    upright = not shown.swapped and shown.mirrored == (False, False)
    return upright and shown.size == (stream.width, stream.height)


def _first_time(path: pathlib.Path, info: VideoInfo, bit_rate: float) -> int | None:
  """The first frame's time in the stream's units; None if a packet forbids a copy."""
  times, size = [], 0
  with video.opened(path) as container:
    stream = container.streams.video[0]
    base = float(stream.time_base or 0)
    for packet in video.packets(stream):
      if not packet.size:
        continue
      if packet.pts is None or packet.dts is None:
        return None
      if packet.is_discard or packet.is_corrupt:
        return None
      size += packet.size
      times.append(packet.pts)
  seconds = np.sort((np.array(times) - min(times)) * base)
  if (
    len(times) != info.num_frames
    or 8 * size > bit_rate * info.num_frames / info.fps
    or np.abs(seconds - info.times).max() > _ROUNDING_SECONDS
  ):
    return None
  return min(times)


def _write(path: pathlib.Path, target: pathlib.Path, first: int) -> None:
  with (
    video.opened(path) as source,
    av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as file,
  ):
    stream = source.streams.video[0]
    copied = file.add_stream_from_template(stream)
    for packet in video.packets(stream):
      if packet.size and packet.pts is not None and packet.dts is not None:
        packet.pts -= first
        packet.dts -= first
        packet.stream = copied
        file.mux(packet)
