"""Recovers the motion of everybody in a video.

  python -m mhmr_jax.predict --video=FILE --out=DIR [--workdir=DIR] \
    [--keypoints=FILE_OR_DIR --keypoint_format=openpose_body25]

Without --workdir the network has the weights that come with the package. Without
--keypoints a detector finds the people (see `keypoints.detect`). docs/predict.md says
what the files in the folder are. The video is read frame by frame: memory grows by
three kilobytes for each person and frame; the pictures are not kept.
"""

import contextlib
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

# Read when NumPy is imported. After each large product its library's threads wait for
# another one in a loop, for a tenth of a second, which takes a core from the threads
# that draw and encode.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from absl import flags

from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic
from mhmr_jax.keypoints import keypoint_flags
from mhmr_jax.runtime import garbage, program

# What takes seconds to import is imported where it is needed: `--help` does without it.
if TYPE_CHECKING:
  import numpy as np

  from mhmr_jax.files.live import Timed
  from mhmr_jax.inference.trained import TrainedRun
  from mhmr_jax.inference.video_motion import Recovery, Scene
  from mhmr_jax.keypoints.formats import Detections
  from mhmr_jax.keypoints.source import KeypointSource

_PERSON = flags.DEFINE_list(
  "person",
  None,
  "Who is wanted, by their size over the clip: 0 is the largest; 0,2 are two people. "
  "By default everybody who is followed for half a second or longer.",
)
_PEOPLE = flags.DEFINE_integer(
  "people",
  None,
  "How many people the detector looks for at once: 1 is fastest; by default 4.",
  lower_bound=1,
)
_CAMERA = flags.DEFINE_enum(
  "camera",
  "static",
  ["static", "moving"],
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
_FIT = flags.DEFINE_enum(
  "fit",
  "auto",
  ["auto", "on", "off"],
  "Whether the bodies are fitted to the keypoints; auto: if the keypoints are of a "
  "format or detector where that lowered the error.",
)
_LIVE_ROWS = flags.DEFINE_string(
  "live_rows",
  None,
  "Where the people's motion goes while a camera or stream runs, as lines of JSON: "
  "- for standard output, udp://HOST:PORT for a datagram a frame, or a file.",
)


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


def flag_run() -> "TrainedRun":
  """The network that the flags name: a work directory's, or the package's own."""
  from mhmr_jax.inference import packed, trained

  if program.WORKDIR.value is None:
    return packed.read()
  return trained.restore(program.workdir())


def flag_scene() -> "Scene":
  """The camera and the fit that the flags describe."""
  from mhmr_jax.inference.video_motion import Scene

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


def flag_source() -> "KeypointSource":
  """Where the people's keypoints come from, by the flags."""
  from mhmr_jax.keypoints.source import KeypointSource

  return KeypointSource(
    path=keypoint_flags.KEYPOINTS.value,
    format=keypoint_flags.FORMAT.value,
    detector=keypoint_flags.DETECTOR.value,
    weights=keypoint_flags.weights_path(),
    people=_PEOPLE.value,
  )


def _record(
  name: str, path: pathlib.Path, source: "KeypointSource", run: "TrainedRun | None"
) -> tuple["Detections", dict[str, int | float] | None]:
  """Records a live source, and sends rows of it if they are wanted.

  Returns:
    Everybody in each frame, and how late the rows were.
  """
  from mhmr_jax.keypoints import recording

  if _LIVE_ROWS.value is None:
    return recording.record(name, path, source), None
  from mhmr_jax.export import live_rows
  from mhmr_jax.inference import live_motion

  assert run is not None  # It is read early for this.
  with live_rows.opened(_LIVE_ROWS.value) as rows:
    people = live_motion.LiveMotion(run, flag_scene())

    def use(timed: "Timed", found: "np.ndarray") -> None:
      rows.add(timed, people.add(timed.seconds, timed.frame, found))

    detections = recording.record(name, path, source, use)
  return detections, rows.summary()


def _warmed_up(run: "TrainedRun | None") -> "Recovery":
  """Loads and compiles all that every video needs."""
  from mhmr_jax.inference.video_motion import Recovery

  # It is imported now because that takes long, too.
  from mhmr_jax.visualize import prediction_folder  # noqa: F401

  recovery = Recovery(run or flag_run())
  recovery.warm_up()
  return recovery


def main(argv: list[str]) -> None:
  """Reads the flags, predicts and writes the files."""
  del argv
  with contextlib.ExitStack() as stack:
    stack.enter_context(garbage.seldom_collected())
    if _LIVE_ROWS.value == "-":  # Then nothing else goes to standard output.
      stack.enter_context(contextlib.redirect_stdout(sys.stderr))
    _predict()


def _predict() -> None:
  """Predicts and writes the files."""
  from mhmr_jax.files import live, video
  from mhmr_jax.runtime import ahead
  from mhmr_jax.runtime.stage_times import StageTimes

  video_path, out = map(program.path_of, (keypoint_flags.VIDEO, program.OUT))
  source, people = flag_source(), flag_people()
  name = str(program.require(keypoint_flags.VIDEO))
  if _LIVE_ROWS.value is not None and not live.is_live(name):
    raise InputError(
      f"--live_rows is for cameras and streams, and --video={name} is neither: leave "
      "it out."
    )
  late = None
  times = StageTimes()
  with _results_folder(out):
    # What is wrong with a run of one's own is said before people are looked for, and
    # rows of a stream need the network while it runs.
    early = program.WORKDIR.value is not None or _LIVE_ROWS.value is not None
    with times.running("loading"):
      given = flag_run() if early else None
    if live.is_live(name):
      video_path = out / "recording.mp4"
      with times.running("recording"):
        detections, late = _record(name, video_path, source, given)
      info = video.probe(video_path)
      with times.running("loading"):
        recovery = _warmed_up(given)
    else:
      with times.running("reading the video"):
        info = video.probe(video_path, keypoint_flags.FPS.value)
      with ahead.computed_ahead(lambda: _warmed_up(given)) as warmed_up:
        with times.running("finding people"):
          detections = source.find_people(video_path, info)
        with times.running("loading"):
          recovery = warmed_up()
    from mhmr_jax.inference import video_motion
    from mhmr_jax.visualize import prediction_folder

    found = video_motion.follow(detections, info.fps)
    del detections  # They are in the tracks now, and grow with the video.
    wanted = video_motion.choose(found, people)
    print(
      f"{video_path}: {info.width}x{info.height}, {info.fps:.4g} fps, "
      f"{info.num_frames} frames; {len(found)} people, of whom {len(wanted)} are "
      f"wanted; model of step {recovery.step}"
    )
    motions = recovery.recover(
      video_path, info, source.name, wanted, flag_scene(), times
    )
    followed = [prediction_folder.describe(person) for person in found]
    del found, wanted  # Their keypoints are in the motions.
    files = prediction_folder.write(
      out, motions, followed, recovery.body, video_path, info, times, late
    )
  if late is not None:
    print(
      f"live: {late['frames_used']:g} of {late['frames_come']:g} frames were used, and "
      f"the rows were {late['latency_median_ms']:g} ms late (median; the 95th "
      f"percentile is {late['latency_95th_percentile_ms']:g} ms)"
    )
  print(times.summary(info.num_frames))
  for motion in motions:
    frames = motion.frame_index
    print(f"person {motion.person}: frames {frames[0]} to {frames[-1]}")
  for file in files:
    print(out / file)


if __name__ == "__main__":
  program.run(main, usual=("video", "out", "person", "workdir", "keypoints"))
