"""Pictures of what each row of a table makes of the same frames of real video."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import jax
import numpy as np
from etils import epath
from jaxtyping import Float

from mhmr_jax.body import smpl
from mhmr_jax.files import video
from mhmr_jax.inference import trained, video_motion
from mhmr_jax.visualize import overlay, panels
from mhmr_jax.visualize.panels import Image
from tests.benchmarks import balancing_man
from tests.benchmarks.balancing_man import Recording, View
from tests.benchmarks.paper_tables.runs import Run

_MOMENT = 50  # The frame of each view, in the middle of its video.
_SIDE = 300  # Of each picture, px.
_COLOUR = (255, 205, 120)
_forward = jax.jit(smpl.forward)


class _Moment(NamedTuple):
  """A body in one frame of a view, with `schema.Motion`'s fields."""

  pose: Float[np.ndarray, "24 3"]
  betas: Float[np.ndarray, "10"]
  transl: Float[np.ndarray, "3"]  # In the camera frame.
  intrinsics: Float[np.ndarray, "3 3"]
  box: Float[np.ndarray, "4"]


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
  seen = [_seen(run, filmed) for run in runs]
  squares = [_around(one, frame) for one, frame in zip(seen[0], frames, strict=True)]
  columns = [[_cell("the video", *pair) for pair in zip(frames, squares, strict=True)]]
  for run, motions in zip(runs, seen, strict=True):
    body = smpl.load(run.config.body.path or None)
    columns.append(
      [
        _cell(run.entry.label, _over(frame, one, body), square)
        for frame, one, square in zip(frames, motions, squares, strict=True)
      ]
    )
  return panels.grid(list(zip(*columns, strict=True)))


def _seen(run: Run, filmed: Recording) -> list[_Moment]:
  """What a run makes of each view, at the moment that is shown."""
  opened = trained.restore(epath.Path(run.workdir))
  scene = video_motion.Scene(fit="off")
  moments = []
  for view in filmed.views:
    source = balancing_man.keypoint_sources(view)[balancing_man.GIVEN]
    (motion,) = video_motion.predict_video(
      view.video, source, run=opened, people=[0], scene=scene
    )
    at = int(np.searchsorted(motion.frame_index, _MOMENT))
    matrices = np.broadcast_to(motion.intrinsics, (len(motion.frame_index), 3, 3))
    moments.append(
      _Moment(
        motion.pose[at],
        motion.betas[at],
        motion.transl_camera[at],
        matrices[at],
        motion.box[at],
      )
    )
  return moments


def _frame(view: View) -> Image:
  return next(itertools.islice(video.read_frames(view.video), _MOMENT, None))


def _over(frame: Image, seen: _Moment, body: smpl.SmplModel) -> Image:
  """The frame with the body over it."""
  posed = _forward(body, seen.pose, seen.betas, seen.transl)
  vertices, _ = map(np.asarray, posed)
  return overlay.draw_mesh(
    frame, vertices, np.asarray(body.faces), seen.intrinsics, _COLOUR
  )


def _around(seen: _Moment, frame: Image) -> tuple[slice, slice]:
  """The square around the person, inside of the frame."""
  x0, y0, x1, y1 = seen.box
  side = min(int(max(x1 - x0, y1 - y0)), *frame.shape[:2])
  starts = [
    int(np.clip((low + high - side) / 2, 0, length - side))
    for low, high, length in ((y0, y1, frame.shape[0]), (x0, x1, frame.shape[1]))
  ]
  return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)


def _cell(name: str, image: Image, square: tuple[slice, slice]) -> Image:
  scaled = cv2.resize(image[square], (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
  return np.concatenate([panels.text_bar(name, _SIDE), scaled])
