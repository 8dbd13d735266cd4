"""Writes the folder of a video's prediction: each person's files, and those of all."""

import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import cv2
import jax
import numpy as np
from jaxtyping import Float, UInt8
from tqdm import tqdm

from mhmr_jax.body import smpl
from mhmr_jax.export import amass_npz, bvh, gltf, prediction_npz, summary
from mhmr_jax.files import atomic, video, video_writer
from mhmr_jax.inference.video_motion import FollowedPerson
from mhmr_jax.runtime.ahead import made_ahead
from mhmr_jax.runtime.batching import padded_batches
from mhmr_jax.runtime.stage_times import StageTimes
from mhmr_jax.schema import Motion
from mhmr_jax.visualize import charts, overlay, viewer

_BATCH = 32  # Frames whose meshes are computed at once.
# The video in the page: the longer side, px, and 7 MB a minute, which base64 makes 9.
_PAGE_SIDE = 640
_PAGE_QUALITY = video_writer.Quality(crf=28, bit_rate=900_000)


def write(
  out: pathlib.Path,
  motions: Sequence[Motion],
  left_out: Sequence[FollowedPerson],
  body: smpl.SmplModel,
  video_path: pathlib.Path,
  info: video.VideoInfo,
  times: StageTimes,
  live: Mapping[str, int | float] | None = None,
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
    live: how late the rows of a stream were, for the summary.

  Returns:
    The files' paths within the folder.

  Raises:
    InputError: a file cannot be written.
  """
  with atomic.together(out) as new:
    with times.running("exports"):
      for motion in motions:
        own = new / f"person_{motion.person:02d}"
        own.mkdir()
        prediction_npz.write(own / "prediction.npz", motion)
        amass_npz.write(own / "motion_amass.npz", motion)
        bvh.write(own / "motion.bvh", motion, body)
      gltf.write(new / "motion.glb", list(motions), body)
      others = [_describe(person) for person in left_out]
      summary.write(new / "summary.json", motions, video_path.name, others, live)
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
  """A lighter shade of a colour written as #rrggbb, for bodies are drawn in shadow."""
  red, green, blue = (round(0.6 * c + 0.4 * 255) for c in bytes.fromhex(colour[1:]))
  return red, green, blue


def _shrunk(
  frame: UInt8[np.ndarray, "height width 3"],
) -> UInt8[np.ndarray, "height_page width_page 3"]:
  """The frame at the size that it has in the page."""
  height, width = frame.shape[:2]
  scale = min(1.0, _PAGE_SIDE / max(width, height))
  size = (max(2, round(width * scale)), max(2, round(height * scale)))
  return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
