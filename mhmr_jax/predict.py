"""Recovers the motion of everybody in a video.

  python -m mhmr_jax.predict --video=FILE --out=DIR [--workdir=DIR] \
    [--keypoints=FILE_OR_DIR --keypoint_format=openpose_body25]

Without --workdir the network has the weights that come with the package. Without
--keypoints a detector finds the people (see `keypoints.detect`). docs/predict.md says
what the files in the folder are. The video is read frame by frame, so memory does not
grow with its size.
"""

import contextlib
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cv2
import jax
import numpy as np
from absl import flags
from jaxtyping import Float, UInt8
from tqdm import tqdm

from mhmr_jax.body import smpl
from mhmr_jax.errors import InputError
from mhmr_jax.export import amass_npz, bvh, gltf, prediction_npz, summary
from mhmr_jax.files import atomic, video, video_writer
from mhmr_jax.inference import packed, trained, video_motion
from mhmr_jax.inference.trained import TrainedRun
from mhmr_jax.inference.video_motion import FollowedPerson, Scene
from mhmr_jax.keypoints import keypoint_flags
from mhmr_jax.keypoints.source import KeypointSource
from mhmr_jax.runtime import program
from mhmr_jax.runtime.ahead import made_ahead
from mhmr_jax.runtime.batching import padded_batches
from mhmr_jax.runtime.stage_times import StageTimes
from mhmr_jax.schema import Motion
from mhmr_jax.visualize import charts, overlay, viewer

_PERSON = flags.DEFINE_list(
  "person",
  None,
  "Who is wanted, by their size over the clip: 0 is the largest; 0,2 are two people. "
  "By default everybody who is followed for half a second or longer.",
)
_CAMERA = flags.DEFINE_enum(
  "camera",
  "static",
  video_motion.CAMERAS,
  "Whether the camera stands still or moves; if it moves, paths are relative to it.",
)
_FOCAL = flags.DEFINE_float(
  "focal",
  None,
  "Focal length in px; by default what the file tells, or the diagonal of the image.",
)
_FOV = flags.DEFINE_float(
  "fov", None, "In place of --focal: angle of view from left to right, degrees."
)
_INTRINSICS = flags.DEFINE_string(
  "intrinsics",
  None,
  "In place of --focal: a .json or .npz file with the intrinsics, one matrix for all "
  "frames or one for each.",
)
_FPS = flags.DEFINE_float("fps", None, "Images a second, where --video is a folder.")
_FIT = flags.DEFINE_enum(
  "fit",
  "auto",
  ["auto", "on", "off"],
  "Whether the bodies are fitted to the keypoints; auto: if the keypoints are of a "
  "format or detector where that lowered the error.",
)

_BATCH = 32  # Frames whose meshes are computed at once.
# The video in the page: the longer side, px, and 7 MB a minute, which base64 makes 9.
_PAGE_SIDE = 640
_PAGE_QUALITY = video_writer.Quality(crf=28, bit_rate=900_000)
_PERSON_FOLDER = "person_{:02d}"


def folder_of(motion: Motion) -> str:
  """The name of the folder of a person's own files."""
  return _PERSON_FOLDER.format(motion.person)


def write_results(
  out: pathlib.Path,
  motions: Sequence[Motion],
  left_out: Sequence[FollowedPerson],
  body: smpl.SmplModel,
  video_path: pathlib.Path,
  info: video.VideoInfo,
  times: StageTimes,
) -> list[pathlib.Path]:
  """Writes all files of a video's people, which appear together or not at all.

  Args:
    out: an existing folder.
    motions: of at least one person.
    left_out: the people who were followed and are not wanted.
    body: which the motions are of.
    video_path: the video.
    info: of the video.
    times: measures the stages.

  Returns:
    The files' paths within the folder.

  Raises:
    InputError: a file cannot be written.
  """
  with atomic.together(out) as new:
    with times.running("exports"):
      for motion in motions:
        own = new / folder_of(motion)
        own.mkdir()
        prediction_npz.write(own / "prediction.npz", motion)
        amass_npz.write(own / "motion_amass.npz", motion)
        bvh.write(own / "motion.bvh", motion, body)
      gltf.write(new / "motion.glb", list(motions), body)
      others = [_describe(person) for person in left_out]
      summary.write(new / "summary.json", motions, video_path.name, others)
    small = new / "page.mp4"
    frames = times.over("reading the video", video.read_frames(video_path))
    drawn = made_ahead(times.over("drawing", draw(frames, body, motions)))
    timing = (info.fps, info.times)
    with (
      video_writer.writing(new / "overlay.mp4", *timing, video_path) as whole,
      video_writer.writing(small, *timing, quality=_PAGE_QUALITY) as shrunk,
    ):
      for frame, shown in tqdm(drawn, "Drawing", info.num_frames, unit="frame"):
        with times.running("encoding"):
          whole.write(shown)
          shrunk.write(_shrunk(frame))
    with times.running("page"):
      viewer.write(new / "motion.html", motions, body, small, video_path.name)
    small.unlink()
    files = sorted(path.relative_to(new) for path in new.rglob("*.*"))
  return files


def _describe(person: FollowedPerson) -> dict[str, Any]:
  """What the summary says of somebody who has no files."""
  frames = person.track.frame_index
  return {
    "person": person.number,
    "first_frame": int(frames[0]),
    "last_frame": int(frames[-1]),
    "frames_detected": len(frames),
    "short": person.short,
  }


def draw(
  frames: Iterable[UInt8[np.ndarray, "height width 3"]],
  body: smpl.SmplModel,
  motions: Sequence[Motion],
) -> Iterator[
  tuple[UInt8[np.ndarray, "height width 3"], UInt8[np.ndarray, "height width 3"]]
]:
  """Yields every frame of the video, as it is and with the people drawn over it."""
  faces = np.asarray(body.faces)
  rows = [_Rows(body, motion) for motion in motions]
  for number, frame in enumerate(frames):
    here = [(one.colour, *found) for one in rows if (found := one.at(number))]
    if not here:
      yield frame, frame
      continue
    colours, vertices, intrinsics = zip(*here, strict=True)
    drawn = overlay.draw_meshes(
      frame, np.stack(vertices), faces, intrinsics[0], colours
    )
    yield frame, drawn


class _Rows:
  """A person's meshes in the camera frame, asked for in the frames' order."""

  def __init__(self, body: smpl.SmplModel, motion: Motion):
    self.colour = _rgb(charts.COLOURS[motion.person % len(charts.COLOURS)])
    self._rows = zip(
      motion.frame_index.tolist(),
      _meshes(body, motion),
      np.broadcast_to(motion.intrinsics, (len(motion.frame_index), 3, 3)),
      strict=True,
    )
    self._next = next(self._rows, None)

  def at(
    self, frame: int
  ) -> tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, "3 3"]] | None:
    """The vertices in a frame and its intrinsics; None where the person is absent."""
    if self._next is None or self._next[0] != frame:
      return None
    _, vertices, intrinsics = self._next
    self._next = next(self._rows, None)
    return vertices, intrinsics


def _meshes(body: smpl.SmplModel, motion: Motion) -> Iterator[Float[np.ndarray, "V 3"]]:
  """Yields the vertices of each row, in the camera frame."""
  forward = jax.jit(smpl.forward)
  for rows, count in padded_batches(len(motion.frame_index), _BATCH):
    vertices, _ = forward(
      body, motion.pose[rows], motion.betas[rows], motion.transl_camera[rows]
    )
    yield from np.asarray(vertices)[:count]


def _rgb(colour: str) -> overlay.Colour:
  """The red, green and blue of a colour written as #rrggbb."""
  red, green, blue = bytes.fromhex(colour.removeprefix("#"))
  return red, green, blue


def _shrunk(
  frame: UInt8[np.ndarray, "height width 3"],
) -> UInt8[np.ndarray, "height_page width_page 3"]:
  """The frame at the size that it has in the page."""
  height, width = frame.shape[:2]
  scale = min(1.0, _PAGE_SIDE / max(width, height))
  size = (max(2, round(width * scale)), max(2, round(height * scale)))
  return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))


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


def flag_run() -> TrainedRun:
  """The network of the flags: a work directory's, or that of the package."""
  if program.WORKDIR.value is None:
    return packed.read()
  return trained.restore(program.workdir())


def flag_scene() -> Scene:
  """The camera and the fit of the flags."""
  given = _INTRINSICS.value is not None
  return Scene(
    camera=_CAMERA.value,
    focal=_FOCAL.value,
    fov=_FOV.value,
    intrinsics=program.path_of(_INTRINSICS) if given else None,
    fit=_FIT.value,
  )


def flag_people() -> list[int] | None:
  """The numbers in --person; None for everybody."""
  if _PERSON.value is None:
    return None
  try:
    return [int(number) for number in _PERSON.value]
  except ValueError as error:
    raise InputError(
      f"--person={','.join(_PERSON.value)}: give numbers, such as 0 or 0,2."
    ) from error


def flag_source() -> KeypointSource:
  """Where the people's keypoints come from, by the flags."""
  return KeypointSource(
    path=keypoint_flags.KEYPOINTS.value,
    format=keypoint_flags.FORMAT.value,
    detector=keypoint_flags.DETECTOR.value,
    weights=keypoint_flags.weights_path(),
  )


def main(argv: list[str]) -> None:
  """Reads the flags, predicts and writes the files."""
  del argv
  video_path, out = map(program.path_of, (keypoint_flags.VIDEO, program.OUT))
  source, people, scene = flag_source(), flag_people(), flag_scene()
  times = StageTimes()
  with _results_folder(out):
    with times.running("loading"):
      run = flag_run()
    with times.running("reading the video"):
      info = video.probe(video_path, _FPS.value)
    with times.running("finding people"):
      found = video_motion.follow(source.find_people(video_path, info), info.fps)
    wanted = video_motion.choose(found, people)
    print(
      f"{video_path}: {info.width}x{info.height}, {info.fps:.4g} fps, "
      f"{info.num_frames} frames; {len(found)} people, of whom {len(wanted)} are "
      f"wanted; model of step {run.step}"
    )
    motions = video_motion.recover(
      video_path, info, source.name, wanted, run, scene, times
    )
    left_out = [person for person in found if person not in wanted]
    body = smpl.load(run.config.body.path or None)
    files = write_results(out, motions, left_out, body, video_path, info, times)
  print(times.summary(info.num_frames))
  for motion in motions:
    frames = motion.frame_index
    print(f"person {motion.person}: frames {frames[0]} to {frames[-1]}")
  for name in files:
    print(out / name)


if __name__ == "__main__":
  program.run(main)
