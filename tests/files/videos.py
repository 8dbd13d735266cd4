"""Small videos in many formats, written by PyAV alone.

Frame i is grey, `level(i)`, with a red corner at the top left.
"""

import fractions
import pathlib
from typing import Any

import av
import numpy as np
from jaxtyping import Float, UInt8

RED = (255, 0, 0)


def level(number: int) -> int:
  return 20 + 7 * number % 200


def picture(
  number: int, width: int, height: int
) -> UInt8[np.ndarray, "height width 3"]:
  rgb = np.full((height, width, 3), level(number), np.uint8)
  rgb[: height // 4, : width // 4] = RED
  return rgb


def write(
  path: pathlib.Path,
  codec: str = "libx264",
  *,
  frames: int = 20,
  size: tuple[int, int] = (64, 48),
  rate: float = 25,
  times: Float[np.ndarray, "frames"] | None = None,
  pixels: str = "yuv420p",
  sound: str | None = None,
  turned: int = 0,
  aspect: fractions.Fraction | None = None,
  options: dict[str, str] | None = None,
  container_options: dict[str, str] | None = None,
) -> pathlib.Path:
  """Writes a video in the format of the path's suffix.

  Args:
    path: of the file.
    codec: of the pictures.
    frames: how many.
    size: width and height, px.
    rate: frames a second.
    times: seconds from the first frame to each; None: even.
    pixels: their format.
    sound: its codec: a tone of 440 Hz that begins after half of the video.
    turned: by how many degrees, anticlockwise, a player turns it.
    aspect: width over height of a pixel.
    options: of the pictures' encoder.
    container_options: of the container's writer.
  """
  exact = fractions.Fraction(rate).limit_denominator(1001)
  base = 1 / exact if times is None else fractions.Fraction(1, 90_000)
  with av.open(str(path), "w", options=container_options or {}) as container:
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    stream = container.add_stream(codec, rate=exact, options=quiet | (options or {}))
    stream.width, stream.height = size
    stream.pix_fmt = pixels
    stream.time_base = stream.codec_context.time_base = base
    if aspect is not None:
      stream.codec_context.sample_aspect_ratio = aspect
    if turned:
      stream.set_display_rotation(turned)
    tone = None if sound is None else container.add_stream(sound, rate=48_000)
    for number in range(frames):
      frame = av.VideoFrame.from_ndarray(picture(number, *size), "rgb24")
      frame.time_base = base
      frame.pts = number if times is None else round(times[number] / base)
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
    if tone is not None:
      _write_tone(container, tone, frames / rate)
  return path


def _write_tone(container: Any, stream: Any, seconds: float) -> None:
  time = np.arange(int(48_000 * seconds)) / 48_000
  wave = np.where(time > seconds / 2, np.sin(2 * np.pi * 440 * time), 0)
  frame = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), "fltp", "mono")
  frame.rate = 48_000
  frame.pts = 0
  resampler = av.AudioResampler(
    format=stream.format, layout=stream.layout, rate=48_000,
    frame_size=stream.codec_context.frame_size,
  )  # fmt: skip
  for part in [*resampler.resample(frame), *resampler.resample(None)]:
    container.mux(stream.encode(part))
  container.mux(stream.encode())


def tone_starts(path: pathlib.Path) -> float:
  """When a file's tone begins, seconds from its first picture on."""
  with av.open(str(path)) as container:
    first = next(container.decode(video=0)).time
  with av.open(str(path)) as container:
    for frame in container.decode(audio=0):
      samples = np.abs(frame.to_ndarray()[0].astype(np.float64))
      peak = 32767 if frame.format.name.startswith("s16") else 1
      loud = np.flatnonzero(samples > 0.2 * peak)
      if len(loud):
        return frame.time + loud[0] / frame.rate - first
  raise AssertionError("no tone")
