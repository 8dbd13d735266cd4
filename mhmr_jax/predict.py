"""Recovers the motion of a person in a video.

  python -m mhmr_jax.predict --video=FILE --out=DIR [--workdir=DIR] \
    [--keypoints=FILE_OR_DIR --keypoint_format=openpose_body25]

Without --workdir the network has the weights that come with the package.
Without --keypoints a detector finds the people (see `keypoints.detect`). Writes
`prediction.npz`, whose arrays (see `schema.Motion`) have a row for each frame in which
the person is followed, and `overlay.mp4`. The video is read frame by frame, so memory
does not grow with its size. --fit says whether the network's result is then fitted to
the keypoints (see `inference.keypoint_fit`).
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags
from etils import epath
from jaxtyping import Float, UInt8
from tqdm import tqdm

from mhmr_jax.body import smpl
from mhmr_jax.data.chunks import Chunk
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.errors import InputError
from mhmr_jax.export import prediction_npz
from mhmr_jax.files import atomic, video, video_writer
from mhmr_jax.geometry import pinhole
from mhmr_jax.inference import (
  keypoint_fit,
  packed,
  placement,
  smoothing,
  streaming,
  trained,
)
from mhmr_jax.inference.streaming import CropOutputs
from mhmr_jax.inference.trained import TrainedRun
from mhmr_jax.keypoints import detection, formats, keypoint_flags, tracking
from mhmr_jax.runtime import program
from mhmr_jax.runtime.batching import padded_batches
from mhmr_jax.runtime.stage_times import StageTimes
from mhmr_jax.schema import Batch, Motion
from mhmr_jax.visualize import overlay

_PERSON = flags.DEFINE_integer(
  "person", 0, "Which person, by their size over the clip: 0 is the largest."
)
_FOCAL = flags.DEFINE_float(
  "focal", None, "Focal length in px; by default the diagonal of the image."
)
_FIT = flags.DEFINE_enum(
  "fit",
  "auto",
  ["auto", "on", "off"],
  "Whether the bodies are fitted to the keypoints; auto: if the keypoints are of a "
  "format or detector where that lowered the error.",
)

_COLOUR = (122, 168, 214)
_BATCH = 32  # Frames whose meshes are computed at once.


@dataclasses.dataclass(frozen=True)
class KeypointSource:
  """Where the people's keypoints come from.

  Attributes:
    path: of a file or folder of keypoints; None: the detector finds them.
    format: of that file, one of `formats.FORMATS`.
    detector: one of `detectors.NAMES`.
    weights: the detector's; None: it downloads its own.
  """

  path: str | None = None
  format: str | None = None
  detector: str = "mediapipe"
  weights: pathlib.Path | None = None

  @property
  def name(self) -> str:
    """What made the keypoints: the format of the file, or else the detector."""
    return self.detector if self.path is None else str(self.format)


class Recovered(NamedTuple):
  """One person's motion in a video, and what it takes to draw it over the frames."""

  motion: Motion
  info: video.VideoInfo
  body: smpl.SmplModel
  intrinsics: Float[np.ndarray, "3 3"]  # Of the video, px.


def predict(
  workdir: epath.Path | None,
  video_path: pathlib.Path,
  keypoints: KeypointSource,
  out: pathlib.Path,
  **options: Any,
) -> Motion:
  """Recovers one person's motion and writes both files to a folder.

  Args:
    workdir: of the trained run; None: the weights that come with the package.
    video_path: the video file.
    keypoints: where the people's keypoints come from.
    out: an existing folder.
    options: those of `recover`.

  Raises:
    InputError: as `recover` does, or the files cannot be written.
  """
  times = StageTimes()
  found = recover(workdir, video_path, keypoints, times, **options)
  motion, info, body, intrinsics = found
  frames = times.over("reading the video", video.read_frames(video_path))
  drawn = times.over("drawing", draw(frames, body, motion, intrinsics))
  shown = iter(tqdm(drawn, "Drawing", info.num_frames, unit="frame"))
  with times.running("encoding"):
    write_results(out, motion, shown, info.fps)
  print(times.summary(info.num_frames))
  return motion


def recover(
  workdir: epath.Path | None,
  video_path: pathlib.Path,
  keypoints: KeypointSource,
  times: StageTimes,
  *,
  person: int = 0,
  focal: float | None = None,
  fit: str = "auto",
) -> Recovered:
  """Recovers one person's motion, without drawing it or writing any file.

  Args:
    workdir: of the trained run; None: the weights that come with the package.
    video_path: the video file.
    keypoints: where the people's keypoints come from.
    times: measures the stages.
    person: the person's place in the order of size, from 0 for the largest.
    focal: length, px; None: the diagonal of the image.
    fit: "on", "off" or "auto": whether the bodies are fitted to the keypoints.

  Raises:
    InputError: the run, the video or the keypoints cannot be used, or nobody is found.
  """
  # ---- The network, and what it is given.
  with times.running("loading"):
    run = packed.read() if workdir is None else trained.restore(workdir)
    # A video is read once.
    run.config.flow.cache = False
    spec = InputSpec.from_config(run.config).for_video()
    body = smpl.load(run.config.body.path or None)

  # ---- The person in the video.
  with times.running("reading the video"):
    info = video.probe(video_path)
  with times.running("finding people"):
    people = find_people(video_path, info, keypoints)
    track = choose_person(people, info.fps, person)
  print(
    f"{video_path}: {info.width}x{info.height}, {info.fps:.4g} fps, person in "
    f"{len(track.frame_index)} of {info.num_frames} frames; model of step {run.step}"
  )

  # ---- The network, crop by crop.
  intrinsics = pinhole.centred_intrinsics(info.width, info.height, focal)
  chunks = streaming.plan(track, info.fps, spec, (info.width, info.height))
  frames = None
  if spec.needs_images:
    frames = times.over("reading the video", video.read_frames(video_path))
  batches = times.over(
    "inputs", streaming.make_batches(chunks, frames, spec, intrinsics)
  )
  outputs = smoothing.smooth(run_network(run, chunks, batches, info.fps, times))

  # ---- From crops to space.
  spans = streaming.segments(track.frame_index, info.fps)
  pelvis = None
  if is_fitted(fit, keypoints):
    with times.running("fit"):
      outputs, pelvis = fit_keypoints(body, outputs, chunks, intrinsics, info.fps)
  with times.running("placement"):
    motion = placement.place(body, outputs, spans, intrinsics, pelvis)
  return Recovered(motion, info, body, intrinsics)


def find_people(
  video_path: pathlib.Path, info: video.VideoInfo, source: KeypointSource
) -> formats.Detections:
  """Reads or detects the keypoints of everybody in a video.

  Raises:
    InputError: the keypoints are wrong, or the detector cannot be used.
  """
  if source.path is None:
    return detection.detect(video_path, info, source.detector, source.weights)
  if source.format is None:
    raise InputError(
      f"--keypoint_format is missing: name what {source.path} is, one of "
      f"{', '.join(formats.FORMATS)}."
    )
  size = (info.width, info.height)
  return formats.read(source.path, source.format, info.num_frames, size)


def choose_person(
  detections: formats.Detections, fps: float, person: int
) -> tracking.Track:
  """Follows the people through the video and picks one, the largest first.

  Raises:
    InputError: there is nobody, or no such person.
  """
  tracks = tracking.track(detections, fps)
  if person == 0:
    return tracking.largest(tracks)
  if not 0 <= person < len(tracks):
    raise InputError(
      f"--person={person}: {len(tracks)} people were followed through the video; give "
      f"0 for the largest, up to {len(tracks) - 1}."
    )
  return tracks[person]


def run_network(
  run: TrainedRun,
  chunks: list[Chunk],
  batches: Iterable[Batch],
  fps: float,
  times: StageTimes,
) -> CropOutputs:
  """Runs the network along the chunks of a video, and shows the progress."""
  flow_scale = streaming.flow_scale(fps)
  step, carry = streaming.make_step(
    run.config, run.variables, flow_scale, mirrored=True
  )
  outputs = times.over("network", streaming.run(chunks, batches, step, carry))
  total = sum(len(chunk.frames) for chunk in chunks)
  parts = []
  with tqdm(desc="Predicting", total=total, unit="frame") as progress:
    for part in outputs:
      parts.append(part)
      progress.update(len(part.frames))
  return streaming.join(parts)


def is_fitted(fit: str, keypoints: KeypointSource) -> bool:
  """Whether the bodies are fitted: as `fit` says, "auto" by the keypoints' source."""
  return keypoint_fit.BY_DEFAULT[keypoints.name] if fit == "auto" else fit == "on"


def fit_keypoints(
  body: smpl.SmplModel,
  outputs: CropOutputs,
  chunks: list[Chunk],
  intrinsics: Float[np.ndarray, "3 3"],
  fps: float,
) -> tuple[CropOutputs, Float[np.ndarray, "frames 3"]]:
  """Fits a person's body to the keypoints that the network was given.

  Returns:
    The outputs with the fitted rotations and shape, and the pelvis of each of their
    frames in the camera frame, metres.
  """
  person = keypoint_fit.Person(
    rotations=outputs.rotations,
    betas=outputs.betas,
    camera=outputs.camera,
    box=outputs.box,
    keypoints=np.concatenate([chunk.keypoints for chunk in chunks]),
    intrinsics=intrinsics,
    segment=outputs.segment,
  )
  rate = fps / streaming.stride(fps)
  (fitted,) = keypoint_fit.fit(keypoint_fit.load_body(body), [person], rate)
  betas = np.broadcast_to(fitted.betas, outputs.betas.shape)
  changed = outputs._replace(rotations=fitted.rotations, betas=betas)
  return changed, fitted.pelvis_camera


def draw(
  frames: Iterable[UInt8[np.ndarray, "height width 3"]],
  body: smpl.SmplModel,
  motion: Motion,
  intrinsics: Float[np.ndarray, "3 3"],
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
  """Yields every frame of the video, with the body drawn over those that have a row."""
  faces = np.asarray(body.faces)
  rows = zip(motion.frame_index.tolist(), _meshes(body, motion), strict=True)
  following = next(rows, None)
  for number, frame in enumerate(frames):
    if following is not None and number == following[0]:
      frame = overlay.draw_mesh(frame, following[1], faces, intrinsics, _COLOUR)
      following = next(rows, None)
    yield frame


def _meshes(body: smpl.SmplModel, motion: Motion) -> Iterator[Float[np.ndarray, "V 3"]]:
  """Yields the vertices of each row, in the camera frame."""
  forward = jax.jit(smpl.forward)
  for rows, count in padded_batches(len(motion.frame_index), _BATCH):
    vertices, _ = forward(
      body, motion.pose[rows], motion.betas[rows], motion.transl_camera[rows]
    )
    yield from np.asarray(vertices)[:count]


def write_results(
  out: pathlib.Path,
  motion: Motion,
  frames: Iterator[UInt8[np.ndarray, "height width 3"]],
  fps: float,
) -> None:
  """Writes `prediction.npz` and `overlay.mp4`, which appear together or not at all."""
  with atomic.whole(out / "prediction.npz") as partial:
    prediction_npz.write(partial, motion)
    with video_writer.writing(out / "overlay.mp4", fps) as writer:
      for frame in frames:
        writer.write(frame)


@contextlib.contextmanager
def _results_folder(out: pathlib.Path) -> Iterator[None]:
  """Makes the folder before the work starts, and removes it if the work fails."""
  existed = out.exists()
  atomic.make_folder(out)
  try:
    yield
  except BaseException:
    if not existed:
      with contextlib.suppress(OSError):
        out.rmdir()
    raise


def flag_workdir() -> epath.Path | None:
  """The work directory of the flags; None for the weights of the package."""
  return None if program.WORKDIR.value is None else program.workdir()


def flag_options() -> dict[str, Any]:
  """The options of `recover` that the flags set; InputError for an impossible one."""
  if _FOCAL.value is not None and not _FOCAL.value > 0:
    raise InputError(f"--focal={_FOCAL.value}: a focal length is above 0 px.")
  return {"person": _PERSON.value, "focal": _FOCAL.value, "fit": _FIT.value}


def main(argv: list[str]) -> None:
  """Reads the flags and predicts."""
  del argv
  workdir = flag_workdir()
  video_path, out = map(program.path_of, (keypoint_flags.VIDEO, program.OUT))
  keypoints = KeypointSource(
    path=keypoint_flags.KEYPOINTS.value,
    format=keypoint_flags.FORMAT.value,
    detector=keypoint_flags.DETECTOR.value,
    weights=keypoint_flags.weights_path(),
  )
  options = flag_options()
  with _results_folder(out):
    motion = predict(workdir, video_path, keypoints, out, **options)
  frames = motion.frame_index
  print(f"{len(frames)} frames, from {frames[0]} to {frames[-1]}:")
  for name in ("prediction.npz", "overlay.mp4"):
    print(out / name)


if __name__ == "__main__":
  program.run(main)
