"""Recovers the motion of a person in a video.

  python -m mhmr_jax.predict --workdir=DIR --video=FILE --out=DIR \
    [--keypoints=FILE_OR_DIR --keypoint_format=openpose_body25]

Without keypoints a detector finds them (see `keypoints.detect`). Writes
`prediction.npz` and `overlay.mp4` (see `placement.Motion`); a row for each frame in
which the person is followed. Memory does not grow with the number of pixels.
"""

import contextlib
import pathlib
from collections.abc import Iterable, Iterator

import jax
import numpy as np
from absl import flags
from etils import epath
from jaxtyping import Float, UInt8
from tqdm import tqdm

from mhmr_jax.body import smpl
from mhmr_jax.data import pipeline
from mhmr_jax.errors import InputError
from mhmr_jax.files import video, video_writer
from mhmr_jax.geometry import pinhole
from mhmr_jax.inference import placement, streaming, trained
from mhmr_jax.keypoints import detection, formats, keypoint_flags, tracking
from mhmr_jax.runtime import program
from mhmr_jax.runtime.stage_times import StageTimes
from mhmr_jax.schema import Motion
from mhmr_jax.visualize import overlay

_PERSON = flags.DEFINE_integer(
  "person", 0, "Which person, by their size over the clip: 0 is the largest."
)
_FOCAL = flags.DEFINE_float(
  "focal", None, "Focal length in px; by default the diagonal of the image."
)

_COLOUR = (122, 168, 214)
_BATCH = 32  # Frames whose meshes are computed at once.


def choose_person(
  detections: formats.Detections, fps: float, person: int
) -> tracking.Track:
  """Follows the people and picks one, the largest first.

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


def find_people(
  video_path: pathlib.Path,
  info: video.VideoInfo,
  *,
  keypoints: str | None,
  keypoint_format: str | None,
  detector: str,
  detector_weights: pathlib.Path | None,
) -> formats.Detections:
  """The keypoints of everybody, from the file if one is named, else by the detector.

  Raises:
    InputError: the keypoints are wrong, or the detector cannot be used.
  """
  if keypoints is None:
    return detection.detect(video_path, info, detector, detector_weights)
  if keypoint_format is None:
    raise InputError(
      f"--keypoint_format is missing: name what {keypoints} is, one of "
      f"{', '.join(formats.FORMATS)}."
    )
  return formats.read(
    keypoints, keypoint_format, info.num_frames, (info.width, info.height)
  )


def predict(
  workdir: epath.Path,
  video_path: pathlib.Path,
  *,
  keypoints: str | None = None,
  keypoint_format: str | None = None,
  detector: str = "mediapipe",
  detector_weights: pathlib.Path | None = None,
  person: int = 0,
  focal: float | None = None,
  out: pathlib.Path,
) -> Motion:
  """Runs the whole program; the folder `out` gets both files or none."""
  times = StageTimes()
  with times.running("loading"):
    config, variables, step = trained.restore(workdir)
    config.flow.cache = False  # A video is seen once.
    spec = pipeline.InputSpec.from_config(config)
    body = smpl.load(config.body.path or None)
  with times.running("reading the video"):
    info = video.probe(video_path)
  with times.running("finding people"):
    people = find_people(
      video_path,
      info,
      keypoints=keypoints,
      keypoint_format=keypoint_format,
      detector=detector,
      detector_weights=detector_weights,
    )
    track = choose_person(people, info.fps, person)
  print(
    f"{video_path}: {info.width}x{info.height}, {info.fps:.4g} fps, person in "
    f"{len(track.frame_index)} of {info.num_frames} frames; model of step {step}"
  )
  chunks = streaming.plan(track, info.fps, spec, (info.width, info.height))
  seen = None
  if {"rgb", "flow"} & set(spec.inputs):
    seen = times.over("reading the video", video.read_frames(video_path))
  batches = times.over("inputs", streaming.inputs(chunks, seen, spec))
  made = streaming.make_step(config, variables, streaming.flow_scale(info.fps))
  parts = []
  with tqdm(
    desc="Predicting", total=sum(len(c.frames) for c in chunks), unit="frame"
  ) as progress:
    for part in times.over("network", streaming.run(chunks, batches, *made)):
      parts.append(part)
      progress.update(len(part.frames))
  intrinsics = pinhole.centred_intrinsics(info.width, info.height, focal)
  spans = streaming.segments(track.frame_index, info.fps)
  with times.running("placement"):
    motion = placement.place(body, streaming.join(parts), spans, intrinsics)
  frames = times.over("reading the video", video.read_frames(video_path))
  drawn = times.over("drawing", draw(frames, body, motion, intrinsics))
  shown = tqdm(drawn, "Drawing", info.num_frames, unit="frame")
  with times.running("encoding"):
    _write(out, motion, shown, info.fps)
  print(times.summary(info.num_frames))
  return motion


def draw(
  frames: Iterable[UInt8[np.ndarray, "height width 3"]],
  body: smpl.SmplModel,
  motion: Motion,
  intrinsics: Float[np.ndarray, "3 3"],
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
  """Yields every frame, the body over those that have a row."""
  faces = np.asarray(body.faces)
  rows = zip(motion.frame_index.tolist(), _meshes(body, motion), strict=True)
  following = next(rows, None)
  for number, frame in enumerate(frames):
    if following is not None and number == following[0]:
      frame = overlay.draw_mesh(frame, following[1], faces, intrinsics, _COLOUR)
      following = next(rows, None)
    yield frame


def _meshes(body: smpl.SmplModel, motion: Motion) -> Iterator[Float[np.ndarray, "V 3"]]:
  """Vertices in the camera frame, row by row."""
  forward = jax.jit(smpl.forward)
  rows = len(motion.frame_index)
  for start in range(0, rows, _BATCH):
    # The last rows are repeated to a whole batch: one shape, one compilation.
    batch = np.minimum(np.arange(start, start + _BATCH), rows - 1)
    vertices, _ = forward(
      body, motion.pose[batch], motion.betas[batch], motion.transl_camera[batch]
    )
    yield from np.asarray(vertices)[: rows - start]


@contextlib.contextmanager
def _folder(out: pathlib.Path) -> Iterator[None]:
  """Makes the folder before the work starts; takes it away if nothing came of it."""
  made = not out.exists()
  try:
    out.mkdir(parents=True, exist_ok=True)
    yield
  except BaseException as error:
    if made:
      with contextlib.suppress(OSError):
        out.rmdir()
    if isinstance(error, OSError):
      raise InputError(
        f"{out} cannot be written ({error.strerror}): name another folder by --out."
      ) from error
    raise


def _write(
  out: pathlib.Path,
  motion: Motion,
  frames: Iterable[UInt8[np.ndarray, "height width 3"]],
  fps: float,
) -> None:
  partial = out / ".prediction.partial.npz"
  try:
    np.savez_compressed(partial, **motion._asdict())
    with video_writer.writing(out / "overlay.mp4", fps) as writer:
      for frame in frames:
        writer.write(frame)
    partial.replace(out / "prediction.npz")
  finally:
    partial.unlink(missing_ok=True)


def main(argv: list[str]) -> None:
  """Reads the flags and predicts."""
  del argv
  workdir = program.workdir()
  video_path, out = map(program.path_of, (keypoint_flags.VIDEO, program.OUT))
  if _FOCAL.value is not None and not _FOCAL.value > 0:
    raise InputError(f"--focal={_FOCAL.value}: a focal length is above 0 px.")
  with _folder(out):
    motion = predict(
      workdir,
      video_path,
      keypoints=keypoint_flags.KEYPOINTS.value,
      keypoint_format=keypoint_flags.FORMAT.value,
      detector=keypoint_flags.DETECTOR.value,
      detector_weights=keypoint_flags.weights_path(),
      person=_PERSON.value,
      focal=_FOCAL.value,
      out=out,
    )
  frames = motion.frame_index
  print(f"{len(frames)} frames, from {frames[0]} to {frames[-1]}:")
  for name in ("prediction.npz", "overlay.mp4"):
    print(out / name)


if __name__ == "__main__":
  program.run(main)
