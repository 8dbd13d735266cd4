"""Copies the sound of a video into another, in step with the pictures."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import cast

import av
from absl import logging
from av.error import FFmpegError

from mhmr_jax.files import video

# What every player takes from an .mp4 file; other sound becomes AAC.
_COPIED = ("aac", "mp3")
_LAYOUT = "stereo"


class Copier:
  """Writes the sound in parts, interleaved with its pictures in the file."""

  def __init__(
    self, packets: Iterator[av.Packet], target: av.container.OutputContainer
  ):
    self._packets = packets
    self._target = target
    self._waiting = next(packets, None)

  def write_until(self, seconds: float) -> None:
    """Writes what is heard before a time, in seconds from the first picture on."""
    while self._waiting is not None:
      packet = self._waiting
      if cast(int, packet.pts) * float(packet.time_base) >= seconds:
        return
      self._target.mux(self._waiting)
      self._waiting = next(self._packets, None)


@contextlib.contextmanager
def copying(
  path: pathlib.Path, target: av.container.OutputContainer
) -> Iterator[Copier | None]:
  """Yields a `Copier` of a video's sound; enter it before anything is written.

  Args:
    path: the path of the video.
    target: an .mp4 file.

  Yields:
    None where the video has no sound that can be read.
  """
  if not path.is_file():  # A folder of images, or a camera.
    yield None
    return
  start = video.start(path)
  with video.opened(path) as container:
    source = next(iter(container.streams.audio), None)
    if source is None or not source.codec_context:
      yield None
      return
    name = source.codec_context.codec.canonical_name
    try:
      if name in _COPIED:
        stream = target.add_stream_from_template(source)
        packets = _rising(video.packets(source), stream, start)
      else:
        stream = target.add_stream("aac", rate=source.codec_context.sample_rate)
        stream.layout = _LAYOUT
        packets = _rising(_encoded(source, stream), stream, start)
    except (FFmpegError, ValueError) as error:
      logging.warning("The sound of %s is left out: %s", path, error)
      yield None
      return
    yield Copier(packets, target)


def _encoded(source: av.AudioStream, stream: av.AudioStream) -> Iterator[av.Packet]:
  """Decodes the sound and encodes it anew; what is damaged is left out."""
  resampler = av.AudioResampler(
    format=stream.codec_context.format, layout=_LAYOUT, rate=stream.rate
  )
  for packet in video.packets(source):
    try:
      decoded = cast(list[av.AudioFrame], packet.decode())
      frames = [part for frame in decoded for part in resampler.resample(frame)]
    except (FFmpegError, ValueError):
      continue
    for frame in frames:
      yield from stream.encode(frame)
  yield from stream.encode()


def _rising(
  packets: Iterator[av.Packet], stream: av.AudioStream, start: float
) -> Iterator[av.Packet]:
  """Yields packets with times from `start` on, without those that do not rise."""
  last = -1
  for packet in packets:
    if packet.pts is None or packet.dts is None:
      continue
    shift = round(start / packet.time_base)
    packet.pts -= shift
    packet.dts -= shift
    if packet.dts > last:
      last = packet.dts
      packet.stream = stream
      yield packet
