"""How much the motion of a video depends on its frame rate and format.

  python -m tests.benchmarks.frame_rates --out=DIR [--video=FILE] \
    [--detector_weights=pose_landmarker.task]

The videos are the four of `balancing_man`, or the one of --video, at their true speed.
They are brought to 120 frames a second: between a video's own frames, others are
interpolated by optical flow. Every copy takes the frames at its times from these. Of a
video with 60 fps, all frames of the copies with 30 and 59.94 fps are real ones, and
half of the others'. `predict` runs on every copy, detector included. Its result is
compared with that of the copy with 30 fps at the same moments: the mean distance of the
joints, relative to the pelvis and in the world, and the difference of the durations.

A detector that follows people finds other points where frames are further apart. So the
copies of other rates are also compared with keypoints that are the same in the same
frame, those of the copy with 120 fps: what remains is due to reading at other moments.

The folder keeps the copies and their keypoints.
"""

import fractions
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import av
import cv2
import jax
import numpy as np
from jaxtyping import Float, Int, UInt8

from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic, video
from mhmr_jax.inference import packed, video_motion
from mhmr_jax.keypoints import keypoint_flags
from mhmr_jax.keypoints.formats import Detections
from mhmr_jax.keypoints.source import KeypointSource
from mhmr_jax.runtime import program
from mhmr_jax.runtime.stage_times import StageTimes
from mhmr_jax.schema import Motion
from tests.benchmarks import balancing_man

_SOURCE_FPS = 120
_NEAR = 0.005  # How far a video's rate may be from a divisor of that.
_NTSC = fractions.Fraction(1000, 1001)
_REFERENCE, _ALL = "30", "120"
_RATES = (_REFERENCE, "24", "59.94", _ALL, "vfr")
_HLG, _BT2020 = 18, 9  # Of ITU-T H.273.
_TO_BT2020 = np.array(
  [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
)
_WHITE = 203 / 1000  # Of SDR, in HLG's light.

Encode = Callable[[UInt8[np.ndarray, "height width 3"]], av.VideoFrame]


class Copy(NamedTuple):
  """How a copy is made.

  Attributes:
    frames: numbers of the source's frames.
    slowed: by how much its times are longer than the source's.
    suffix: of the file, which is its format.
    codec: its encoder.
    pixels: their format.
    encode: makes a frame of a picture.
    turned: by how many degrees, anticlockwise, a player turns the frames.
    container_options: names and values for the container's writer.
  """

  frames: Int[np.ndarray, "frames"]
  slowed: fractions.Fraction = fractions.Fraction(1)
  suffix: str = "mp4"
  codec: str = "libx264"
  pixels: str = "yuv420p"
  encode: Encode = lambda picture: av.VideoFrame.from_ndarray(picture, "rgb24")
  turned: int = 0
  container_options: tuple[tuple[str, str], ...] = ()


def copies(count: int) -> dict[str, Copy]:
  """The copies of a source with so many frames, by name."""
  every = lambda step: np.arange(0, count, step)
  rng = np.random.default_rng(0)
  uneven = np.cumsum(np.append(0, rng.integers(1, 8, count)))
  return {
    _REFERENCE: Copy(every(4)),
    "24": Copy(every(5)),
    "59.94": Copy(every(2), slowed=1 / _NTSC),
    "120": Copy(every(1)),
    "vfr": Copy(uneven[uneven < count]),
    "rotated": Copy(every(4), encode=_lying, turned=90),
    "webm": Copy(
      every(4), suffix="webm", codec="libvpx-vp9", container_options=(("live", "1"),)
    ),
    "hlg": Copy(every(4), suffix="mov", codec="libx265", pixels="yuv420p10le",
                encode=_hlg),
    "odd": Copy(every(4), pixels="yuv444p", encode=_odd),
  }  # fmt: skip


def _lying(picture: UInt8[np.ndarray, "height width 3"]) -> av.VideoFrame:
  """A picture as a phone stores it that is held upright."""
  return av.VideoFrame.from_ndarray(
    np.ascontiguousarray(np.rot90(picture, -1)), "rgb24"
  )


def _odd(picture: UInt8[np.ndarray, "height width 3"]) -> av.VideoFrame:
  """A picture without a row and a column where it has even ones."""
  height, width = (length - 1 + length % 2 for length in picture.shape[:2])
  return av.VideoFrame.from_ndarray(
    np.ascontiguousarray(picture[:height, :width]), "rgb24"
  )


def _hlg(picture: UInt8[np.ndarray, "height width 3"]) -> av.VideoFrame:
  """A picture in BT.2100's hybrid log-gamma, with white where BT.2408 puts it."""
  value = np.arange(256) / 255
  linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
  light = cv2.LUT(picture, (_WHITE * linear).astype(np.float32))
  scene = np.maximum(cv2.transform(light, _TO_BT2020.astype(np.float32)), 0) ** (
    1 / 1.2
  )
  a, b, c = 0.17883277, 0.28466892, 0.55991073
  low, high = np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-6)) + c
  signal = np.where(scene <= 1 / 12, low, high)
  words = np.round(65535 * signal.clip(0, 1)).astype(np.uint16)
  frame = av.VideoFrame.from_ndarray(words, "rgb48le")
  frame = frame.reformat(format="yuv420p10le", dst_colorspace=_BT2020)
  frame.color_trc, frame.color_primaries = _HLG, _BT2020
  return frame


def bring_to_rate(path: pathlib.Path, original: pathlib.Path) -> None:
  """Writes the source of the copies, without loss: a video at 120 frames a second.

  Raises:
    InputError: 120 is no multiple of the video's rate.
  """
  fps = video.probe(original).fps
  factor = round(_SOURCE_FPS / fps)
  if abs(factor * fps / _SOURCE_FPS - 1) > _NEAR:
    raise InputError(
      f"{original} has {fps:.4g} frames a second: give a video with 24, 30, 60 or 120."
    )
  with av.open(str(path), "w") as container:
    options = {"qp": "0", "preset": "ultrafast"}
    stream = container.add_stream("libx264rgb", rate=_SOURCE_FPS, options=options)
    stream.pix_fmt = "rgb24"
    for number, picture in enumerate(interpolated(video.read_frames(original), factor)):
      frame = av.VideoFrame.from_ndarray(picture, "rgb24")
      if not stream.codec_context.is_open:
        stream.height, stream.width = picture.shape[:2]
      frame.pts, frame.time_base = number, fractions.Fraction(1, _SOURCE_FPS)
      container.mux(stream.encode(frame))
    container.mux(stream.encode())


def interpolated(
  pictures: Iterable[UInt8[np.ndarray, "height width 3"]], factor: int
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
  """Yields so many pictures for each one but the last: itself, and those between."""
  estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
  before = None
  for picture in pictures:
    if before is not None and factor > 1:
      grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (before, picture)]
      there = estimator.calc(grey[0], grey[1], None)
      back = estimator.calc(grey[1], grey[0], None)
      for share in np.arange(1, factor) / factor:
        yield cv2.addWeighted(
          _moved(before, share * there), 1 - share,
          _moved(picture, (1 - share) * back), share, 0,
        )  # fmt: skip
    yield picture
    before = picture


def _moved(
  picture: UInt8[np.ndarray, "height width 3"],
  flow: Float[np.ndarray, "height width 2"],
) -> UInt8[np.ndarray, "height width 3"]:
  """A picture whose content has moved by a flow, which is taken as if it was smooth."""
  height, width = picture.shape[:2]
  rows, columns = np.mgrid[:height, :width].astype(np.float32)
  x, y = columns - np.float32(flow[..., 0]), rows - np.float32(flow[..., 1])
  return cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def write(path: pathlib.Path, source: pathlib.Path, copy: Copy) -> None:
  """Writes a copy of the source, nearly without loss."""
  base = fractions.Fraction(1, _SOURCE_FPS) * copy.slowed
  rate = 1 / (base * int(np.median(np.diff(copy.frames))))
  with av.open(str(path), "w", options=dict(copy.container_options)) as container:
    quiet = {"x265-params": "log-level=none"} if copy.codec == "libx265" else {}
    options = {"crf": "12", "preset": "veryfast", **quiet}
    stream = container.add_stream(copy.codec, rate=rate, options=options)
    stream.pix_fmt = copy.pixels
    stream.time_base = stream.codec_context.time_base = base
    if copy.turned:
      stream.set_display_rotation(copy.turned)
    for number, picture in _chosen(source, copy.frames):
      frame = copy.encode(picture)
      if not stream.codec_context.is_open:
        stream.width, stream.height = frame.width, frame.height
        if copy.codec == "libx265":
          context = stream.codec_context
          context.color_trc, context.color_primaries = _HLG, _BT2020
          context.colorspace = _BT2020
      frame.pts, frame.time_base = number, base
      container.mux(stream.encode(frame))
    container.mux(stream.encode())


def _chosen(
  source: pathlib.Path, frames: Int[np.ndarray, "frames"]
) -> Iterator[tuple[int, UInt8[np.ndarray, "height width 3"]]]:
  wanted = set(frames.tolist())
  for number, picture in enumerate(video.read_frames(source)):
    if number in wanted:
      yield number, picture


class Difference(NamedTuple):
  """How far a copy's motion is from that of the copy with 30 fps.

  Attributes:
    relative: the joints' mean distance, relative to the pelvis; mm.
    world: their mean distance in the world, mm.
    frames: the difference of the durations, in frames of the copy.
  """

  relative: float
  world: float
  frames: float


def compare(motion: Motion, slowed: float, reference: Motion) -> Difference:
  """Compares a copy's motion with the reference's, at the copy's times."""
  times = motion.times / slowed
  common = (times >= reference.times[0]) & (times <= reference.times[-1])
  interval = float(np.diff(times).mean())
  relative = lambda one: one.joints_camera - one.joints_camera[:, :1]
  ended = lambda seconds: seconds[-1] - seconds[0] + np.diff(seconds).mean()
  return Difference(
    _distance(times, relative(motion), reference, relative(reference))[common].mean(),
    _distance(times, motion.joints_world, reference, reference.joints_world)[
      common
    ].mean(),
    float(ended(times) - ended(reference.times)) / interval,
  )


def _distance(
  times: Float[np.ndarray, "N"],
  joints: Float[np.ndarray, "N 24 3"],
  reference: Motion,
  reference_joints: Float[np.ndarray, "M 24 3"],
) -> Float[np.ndarray, "N 24"]:
  columns = reference_joints.reshape(len(reference.times), -1).T
  expected = np.stack([np.interp(times, reference.times, one) for one in columns], 1)
  return 1000 * np.linalg.norm(joints - expected.reshape(joints.shape), axis=-1)


def recover(
  path: pathlib.Path, source: KeypointSource, found: Detections | None = None
) -> Motion:
  """The largest person's motion; from keypoints that were found already, if any."""
  info = video.probe(path)
  detections = source.find_people(path, info) if found is None else found
  people = video_motion.choose(video_motion.follow(detections, info.fps), [0])
  recovery, scene = video_motion.Recovery(packed.read()), video_motion.Scene()
  (motion,) = recovery.recover(path, info, source.name, people, scene, StageTimes())
  return motion


def show(
  title: str, names: Iterable[str], videos: list[dict[str, Difference]]
) -> dict[str, float]:
  """Prints the means over the videos and the largest values, and returns them all."""
  print(
    f"{title:<18}{'relative, mm':>14}{'most':>7}{'world, mm':>12}{'most':>7}"
    f"{'duration, frames':>18}"
  )
  values = {}
  for name in names:
    found = np.array([one[name] for one in videos])
    means, most = found.mean(axis=0), found.max(axis=0)
    frames = float(np.abs(found[:, 2]).max())
    print(
      f"{name:<18}{means[0]:14.1f}{most[0]:7.1f}{means[1]:12.1f}{most[1]:7.1f}"
      f"{frames:18.2f}"
    )
    key = f"frame_rates_{title}_{name}".replace(" ", "_")
    values |= {
      f"{key}_relative": round(float(means[0]), 2),
      f"{key}_relative_most": round(float(most[0]), 2),
      f"{key}_world": round(float(means[1]), 2),
      f"{key}_world_most": round(float(most[1]), 2),
      f"{key}_frames_most": round(frames, 2),
    }
  return values


OWN, SAME = "own keypoints", "same keypoints"


def measure(
  original: pathlib.Path, out: pathlib.Path, detector: KeypointSource
) -> dict[str, dict[str, Difference]]:
  """Makes a video's copies, and compares their motions: `OWN` and `SAME` keypoints."""
  atomic.make_folder(out)
  source = out / "source.mkv"
  if not source.is_file():
    with atomic.whole(source) as partial:
      bring_to_rate(partial, original)
  made = copies(video.probe(source).num_frames)
  paths = {name: out / f"{name}.{copy.suffix}" for name, copy in made.items()}
  for name, path in paths.items():
    if not path.is_file():
      write(path, source, made[name])
  everywhere = detector.find_people(paths[_ALL], video.probe(paths[_ALL]))
  result = {}
  for title, names in ((OWN, tuple(made)), (SAME, _RATES)):
    found = {
      name: None if title == OWN else [everywhere[n] for n in made[name].frames]
      for name in names
    }
    motions = {name: recover(paths[name], detector, found[name]) for name in names}
    result[title] = {
      name: compare(motion, float(made[name].slowed), motions[_REFERENCE])
      for name, motion in motions.items()
    }
  return result


def main(argv: list[str]) -> None:
  del argv
  out: pathlib.Path = program.path_of(program.OUT)
  if not out.is_dir():
    raise InputError(f"--out={out}: name a folder that exists.")
  detector = KeypointSource(
    detector=keypoint_flags.DETECTOR.value, weights=keypoint_flags.weights_path()
  )
  if keypoint_flags.VIDEO.value is None:
    views = balancing_man.fetch(program.path_of(balancing_man.CACHE)).views
    originals = {view.name: view.video for view in views}
  else:
    original = program.path_of(keypoint_flags.VIDEO)
    originals = {original.stem: original}
  # The same network is compiled for each copy.
  jax.config.update("jax_compilation_cache_dir", str(out / "compiled"))
  videos = [
    measure(original, out / name, detector) for name, original in originals.items()
  ]
  result = {}
  for title in (OWN, SAME):
    found = [one[title] for one in videos]
    result |= show(title, found[0], found)
  print(json.dumps(result))


if __name__ == "__main__":
  program.run(main)
