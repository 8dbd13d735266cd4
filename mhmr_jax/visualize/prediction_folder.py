"""Writes a video's prediction folder: each person's files, and those of all people."""

import contextlib
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from mhmr_jax.body import smpl
from mhmr_jax.errors import InputError
from mhmr_jax.export import amass_npz, bvh, gltf, prediction_npz, summary
from mhmr_jax.files import atomic, untrusted, video, video_copy, video_writer, yuv
from mhmr_jax.files.yuv import Yuv
from mhmr_jax.inference.video_motion import FollowedPerson
from mhmr_jax.runtime import ahead
from mhmr_jax.runtime.stage_times import StageTimes
from mhmr_jax.schema import Motion
from mhmr_jax.synth import skinning
from mhmr_jax.visualize import charts, overlay, viewer

_PERSON_FILES = ("prediction.npz", "motion_amass.npz", "motion.bvh")
_BATCH = 32  # Frames whose meshes are computed at once.
_SCREEN_SIDE = 1280  # The longer side of larger videos' overlays, px.
# Overlays are looked at, and not measured.
_OVERLAY_QUALITY = video_writer.Quality(crf=25, quick=True)
# A video goes into the page as it is if a minute of the page, in which it is a third
# larger, has less than 15 MB. Others are encoded for it, with this longer side, px, and
# 7 MB a minute.
_PAGE_BIT_RATE = 1.2e6
_PAGE_SIDE = 640
_PAGE_QUALITY = video_writer.Quality(crf=28, bit_rate=900_000)


def write(
  out: pathlib.Path,
  motions: Sequence[Motion],
  followed: Sequence[dict[str, Any]],
  body: smpl.SmplModel,
  video_path: pathlib.Path,
  info: video.VideoInfo,
  times: StageTimes,
  live: Mapping[str, int | float] | None = None,
) -> list[pathlib.Path]:
  """Writes all files of a video's people, which appear together or not at all.

  The files that an earlier run wrote for people are removed.

  Args:
    out: an existing folder.
    motions: the motions of at least one person.
    followed: everybody who was followed, as `describe` returns it.
    body: the body that the motions are for.
    video_path: the video.
    info: the properties of the video.
    times: measures the stages.
    live: how late the rows of a stream were, for the summary.

  Returns:
    The files' paths within the folder.

  Raises:
    InputError: a file cannot be written.
  """
  with atomic.together(out, stale=earlier_files(out)) as new:
    with times.running("exports"):
      for motion in motions:
        own = new / _folder_of(motion.person)
        own.mkdir()
        prediction, for_amass, for_bvh = (own / name for name in _PERSON_FILES)
        prediction_npz.write(prediction, motion)
        amass_npz.write(for_amass, motion)
        bvh.write(for_bvh, motion, body)
      gltf.write(new / "motion.glb", list(motions), body)
      summary.write(new / "summary.json", motions, video_path.name, followed, live)
    small = new / "page.mp4"
    _write_videos(new / "overlay.mp4", small, motions, body, video_path, info, times)
    with times.running("page"):
      viewer.write(new / "motion.html", motions, body, small, video_path.name)
    small.unlink()
    files = sorted(path.relative_to(new) for path in new.rglob("*.*"))
  return files


def _write_videos(
  overlay_path: pathlib.Path,
  page_path: pathlib.Path,
  motions: Sequence[Motion],
  body: smpl.SmplModel,
  video_path: pathlib.Path,
  info: video.VideoInfo,
  times: StageTimes,
) -> None:
  """Writes the video with the people drawn over it, and the one for the page."""
  with times.running("encoding"):
    copied = video_copy.copy(video_path, page_path, info, _PAGE_BIT_RATE)
  timing = (info.fps, info.times)
  with contextlib.ExitStack() as stack:
    stack.enter_context(_opencv_in_one_thread())
    # Reading, drawing and encoding are in threads of their own.
    pictures = ahead.made_ahead(
      times.over("reading the video", video.read_stored(video_path))
    )
    drawn = ahead.made_ahead(times.over("drawing", draw(pictures, body, motions)))
    writing = video_writer.writing(overlay_path, *timing, video_path, _OVERLAY_QUALITY)
    whole = stack.enter_context(writing)
    if not copied:
      writing = video_writer.writing(page_path, *timing, quality=_PAGE_QUALITY)
      small = stack.enter_context(writing)
    for picture, shown in tqdm(drawn, "Drawing", info.num_frames, unit="frame"):
      with times.running("encoding"):
        whole.write(shown)
        if not copied:
          small.write(yuv.shrunk(picture, _PAGE_SIDE))


@contextlib.contextmanager
def _opencv_in_one_thread() -> Iterator[None]:
  """Keeps OpenCV from waking other threads for work that takes less than a ms.

  They wait in a loop for more of it, and take the cores from encoding and decoding.
  """
  threads = cv2.getNumThreads()
  cv2.setNumThreads(1)
  try:
    yield
  finally:
    cv2.setNumThreads(threads)


def _folder_of(person: int) -> str:
  return f"person_{person:02d}"


def earlier_files(out: pathlib.Path) -> list[pathlib.Path]:
  """The files of the people whom an earlier run's summary lists, within `out`.

  They must go, because this run may number the people differently.
  """
  try:
    people = untrusted.read_json(out / "summary.json")["people"]
    numbers = [person["person"] for person in people]
  except (InputError, KeyError, TypeError):
    return []  # No such run.
  return [
    pathlib.Path(_folder_of(number), name)
    for number in numbers
    if isinstance(number, int)
    for name in _PERSON_FILES
  ]


def describe(person: FollowedPerson) -> dict[str, Any]:
  """What the summary says of anybody who was followed."""
  frames = person.track.frame_index
  return {
    "person": person.number,
    "first_frame": int(frames[0]),
    "last_frame": int(frames[-1]),
    "frames_detected": len(frames),
    "short": person.short,
  }


def draw(
  pictures: Iterable[Yuv], body: smpl.SmplModel, motions: Sequence[Motion]
) -> Iterator[tuple[Yuv, Yuv]]:
  """Yields every picture of the video, as it is and with the people drawn over it.

  Both pictures are at most as large as a screen.
  """
  posed = skinning.from_model(body)
  rows = [_Rows(posed, motion) for motion in motions]
  for number, picture in enumerate(pictures):
    shown = yuv.shrunk(picture, _SCREEN_SIDE)
    here = [(one.colour, *found) for one in rows if (found := one.at(number))]
    if not here:
      yield shown, shown
      continue
    colours, vertices, normals, intrinsics = zip(*here, strict=True)
    scale = np.array([*shown.y.shape[::-1], 1]) / [*picture.y.shape[::-1], 1]
    drawn = overlay.draw_over_stored(
      shown,
      np.stack(vertices),
      np.stack(normals),
      posed.faces,
      scale[:, None] * intrinsics[0],
      colours,
    )
    yield shown, drawn


class _Rows:
  """A person's meshes in the camera frame, asked for in the frames' order."""

  def __init__(self, body: skinning.Body, motion: Motion):
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
  ) -> (
    tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, "V 3"], Float[np.ndarray, "3 3"]]
    | None
  ):
    """Vertices, normals and intrinsics in a frame; None where the person is absent."""
    if self._next is None or self._next[0] != frame:
      return None
    _, mesh, intrinsics = self._next
    self._next = next(self._rows, None)
    return *mesh, intrinsics


def _meshes(
  body: skinning.Body, motion: Motion
) -> Iterator[tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, "V 3"]]]:
  """Yields the vertices and normals of each row, in the camera frame."""
  for start in range(0, len(motion.frame_index), _BATCH):
    rows = slice(start, start + _BATCH)
    posed = body.pose(motion.pose[rows], motion.betas[0], motion.transl_camera[rows])
    yield from zip(posed.vertices, posed.normals, strict=True)


def _rgb(colour: str) -> overlay.Colour:
  """A lighter shade of a colour written as #rrggbb, for bodies are drawn in shadow."""
  red, green, blue = (round(0.6 * c + 0.4 * 255) for c in bytes.fromhex(colour[1:]))
  return red, green, blue
