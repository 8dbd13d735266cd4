"""Pictures of what each row of a table makes of the same frames of real video."""

import itertools
from collections.abc import Sequence

import cv2
import jax.numpy as jnp
import numpy as np
from etils import epath

from mhmr_jax.body import smpl
from mhmr_jax.files import video
from mhmr_jax.inference import trained, video_motion
from mhmr_jax.schema import Motion
from mhmr_jax.visualize import overlay, panels
from mhmr_jax.visualize.panels import Image
from tests.benchmarks import balancing_man
from tests.benchmarks.balancing_man import Recording, View
from tests.benchmarks.paper_tables.runs import Run

_MOMENT = 50  # The frame of each view, in the middle of its video.
_SIDE = 300  # Of each picture, px.
_COLOUR = (255, 205, 120)


def draw(runs: Sequence[Run], filmed: Recording) -> Image:
  """A row for each camera: its frame, then the body that each run sees in it.

  The runs are given OpenPose's keypoints, where they read keypoints, and nothing is
  fitted to them.

  Args:
    runs: trained ones, a column each.
    filmed: the cameras' videos.

  Raises:
    InputError: a run or a video cannot be used.
  """
  frames = [_frame(view) for view in filmed.views]
  columns = [[("the video", frame) for frame in frames]]
  squares: list[tuple[slice, slice]] = []
  for run in runs:
    opened = trained.restore(epath.Path(run.workdir))
    body = smpl.load(opened.config.body.path or None)
    column = []
    for view, frame in zip(filmed.views, frames, strict=True):
      source = balancing_man.keypoint_sources(view)[balancing_man.GIVEN]
      scene = video_motion.Scene(fit="off")
      (motion,) = video_motion.predict_video(
        view.video, source, run=opened, people=[0], scene=scene
      )
      column.append((run.entry.label, _over(frame, motion, body)))
      if len(squares) < len(frames):
        squares.append(_around(motion, frame))
    columns.append(column)
  rows = zip(*columns, strict=True)
  return panels.grid(
    [
      [_cell(name, image[square]) for name, image in row]
      for row, square in zip(rows, squares, strict=True)
    ]
  )


def _frame(view: View) -> Image:
  return next(itertools.islice(video.read_frames(view.video), _MOMENT, None))


def _over(frame: Image, motion: Motion, body: smpl.SmplModel) -> Image:
  """The frame with the body of its moment over it."""
  at = int(np.searchsorted(motion.frame_index, _MOMENT))
  posed = (motion.pose[at], motion.betas[at], motion.transl_camera[at])
  vertices, _ = map(np.asarray, smpl.forward(body, *map(jnp.asarray, posed)))
  intrinsics = np.broadcast_to(motion.intrinsics, (len(motion.frame_index), 3, 3))[at]
  return overlay.draw_mesh(frame, vertices, np.asarray(body.faces), intrinsics, _COLOUR)


def _around(motion: Motion, frame: Image) -> tuple[slice, slice]:
  """The square around the person, inside of the frame."""
  at = int(np.searchsorted(motion.frame_index, _MOMENT))
  x0, y0, x1, y1 = motion.box[at]
  side = min(int(max(x1 - x0, y1 - y0)), *frame.shape[:2])
  starts = [
    int(np.clip((low + high - side) / 2, 0, length - side))
    for low, high, length in ((y0, y1, frame.shape[0]), (x0, x1, frame.shape[1]))
  ]
  return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)


def _cell(name: str, image: Image) -> Image:
  scaled = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
  return np.concatenate([panels.text_bar(name, _SIDE), scaled])
