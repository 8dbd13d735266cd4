"""Gravity and standing feet on real video with truth: Pose2Sim's balancing man.

  python -m tests.benchmarks.world [--workdir=RUN] [--fit=on] \
    [--detector_weights=pose_landmarker.task]

For every view of `balancing_man`, and for the keypoints that come with it and those of
--detector, it prints

- the angle between the direction up that `predict` finds and the calibrated one;
- how far the balls of the feet move over the ground in 1/30 s while the true foot
  stands (its big toe moves by less than 0.25 m/s): in the camera's motion turned to the
  world, before the path is solved and the feet are locked, and afterwards; and how far
  the triangulated toe itself moves then;
- the mean acceleration of the joints before and afterwards, mm a frame² of 1/30 s;
- how far the wrists are moved across their viewing rays, on average;
- how far knees, ankles and balls are moved relative to the pelvis, on average and at
  most; and how far below the floor a ball or an ankle of a foot ever is.

This recording is for choosing: a method that was chosen on it has to be checked on
others.
"""

import json
import os
import pathlib
from typing import NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
from jaxtyping import Bool, Float

from mhmr_jax import predict
from mhmr_jax.body import smpl
from mhmr_jax.body.joints import SMPL_JOINTS
from mhmr_jax.geometry import vectors
from mhmr_jax.inference import foot_lock, video_motion, world
from mhmr_jax.inference.seen_motion import ANKLES, TOES
from mhmr_jax.inference.trained import TrainedRun
from mhmr_jax.runtime import program
from mhmr_jax.schema import Motion
from tests.benchmarks import balancing_man
from tests.benchmarks.balancing_man import Recording, View

_STANDING_SPEED = 0.25  # m/s.
_RATE = 30.0  # The frames a second that figures refer to.
_MOVED = [
  index
  for index, name in enumerate(SMPL_JOINTS)
  if name.endswith(("knee", "ankle", "foot"))
]
_WRISTS = [SMPL_JOINTS.index(f"{side}_wrist") for side in ("left", "right")]


class Figures(NamedTuple):
  """What is measured in one view; lengths in mm."""

  up_degrees: float
  slide_before: float
  slide_after: float
  slide_truth: float
  acceleration_before: float
  acceleration_after: float
  hands_moved: float
  legs_moved: float
  legs_moved_most: float
  below_floor: float


_TITLES = {
  "up_degrees": "angle of up to the calibrated one, degrees",
  "slide_before": "standing feet before locking, mm a frame",
  "slide_after": "standing feet after locking, mm a frame",
  "slide_truth": "standing feet of the truth, mm a frame",
  "acceleration_before": "acceleration before, mm a frame²",
  "acceleration_after": "acceleration after, mm a frame²",
  "hands_moved": "wrists moved across the rays, mean, mm",
  "legs_moved": "legs moved by locking, mean, mm",
  "legs_moved_most": "legs moved by locking, most, mm",
  "below_floor": "lowest ankle or ball below the floor, mm",
}


def standing(
  toes: Float[np.ndarray, "frames 2 3"], fps: float
) -> Bool[np.ndarray, "_ 2"]:
  """Whether the true feet stand; False where they are not known."""
  speed = np.linalg.norm(np.gradient(toes, axis=0), axis=-1) * fps
  return np.nan_to_num(speed, nan=np.inf) < _STANDING_SPEED


def measure(
  motion: Motion, view: View, recording: Recording, soles: foot_lock.Soles
) -> Figures:
  """The figures of a motion in one view, in frames of 1/30 s."""
  rows = np.arange(0, len(motion.frame_index), round(recording.fps / _RATE))
  frames = motion.frame_index[rows]
  down = motion.gravity_camera[rows].astype(np.float64)
  turn = world.world_from_camera(down)
  before = np.einsum("nij,nkj->nki", turn, motion.joints_camera[rows])
  after = motion.joints_world[rows].astype(np.float64)
  stands = standing(recording.toes, recording.fps)[frames]
  own = lambda joints: joints - joints[:, :1]
  moved = np.linalg.norm(own(after) - own(before), axis=-1)[:, _MOVED]
  lowest = [
    height - motion.joints_world[:, joints, 1].min()
    for height, joints in ((soles.ankle, ANKLES), (soles.toe, TOES))
  ]
  cosine = np.clip(-down @ view.up, -1, 1).min()
  return Figures(
    up_degrees=float(np.degrees(np.arccos(cosine))),
    slide_before=_slide(before[:, TOES], stands),
    slide_after=_slide(after[:, TOES], stands),
    slide_truth=_slide(recording.toes[frames], stands),
    acceleration_before=_acceleration(before),
    acceleration_after=_acceleration(after),
    hands_moved=_across(before, after),
    legs_moved=float(moved.mean() * 1e3),
    legs_moved_most=float(moved.max() * 1e3),
    below_floor=float(max(0.0, *lowest) * 1e3),
  )


def _across(
  before: Float[np.ndarray, "frames 24 3"], after: Float[np.ndarray, "frames 24 3"]
) -> float:
  """How far the wrists are moved across their rays; the camera's height is a median."""
  height = np.median(after[:, 0, 1] - before[:, 0, 1])
  shift = (after - before - [0, height, 0])[:, _WRISTS]
  rays = vectors.unit(before[:, _WRISTS])
  along = np.sum(shift * rays, axis=-1, keepdims=True) * rays
  return float(np.linalg.norm(shift - along, axis=-1).mean() * 1e3)


def _slide(
  feet: Float[np.ndarray, "frames 2 3"], stands: Bool[np.ndarray, "frames 2"]
) -> float:
  moved = np.linalg.norm(np.diff(feet, axis=0)[..., [0, 2]], axis=-1)
  return float(moved[stands[1:] & stands[:-1]].mean() * 1e3)


def _acceleration(joints: Float[np.ndarray, "frames 24 3"]) -> float:
  second = np.diff(joints, n=2, axis=0)
  return float(np.linalg.norm(second, axis=-1).mean() * 1e3)


def measure_view(
  view: View, recording: Recording, run: TrainedRun, soles: foot_lock.Soles
) -> dict[str, Figures]:
  """The figures of `predict` in one view, by the keypoints' origin."""
  figures = {}
  for name, source in balancing_man.keypoint_sources(view).items():
    (motion,) = video_motion.predict_video(
      view.video, source, run=run, people=[0], scene=predict.flag_scene()
    )
    figures[name] = measure(motion, view, recording, soles)
  return figures


def show(views: list[dict[str, Figures]], names: list[str]) -> None:
  """Prints a table for each origin of keypoints, and all figures as JSON."""
  result = {}
  for origin in views[0]:
    print(f"{origin + ' keypoints':<46}" + "".join(f"{name:>8}" for name in names))
    for field, title in _TITLES.items():
      values = [getattr(view[origin], field) for view in views]
      print(f"{title:<46}" + "".join(f"{value:8.1f}" for value in values))
      for name, value in zip(names, values, strict=True):
        result[f"world_{origin}_{name}_{field}"] = round(value, 2)
  print(json.dumps(dict(sorted(result.items()))))


def main(argv: list[str]) -> None:
  del argv
  cache: pathlib.Path = program.path_of(balancing_man.CACHE)
  # The same network is compiled for each view.
  jax.config.update("jax_compilation_cache_dir", str(cache / "compiled"))
  recording = balancing_man.fetch(cache)
  run = predict.flag_run()
  body = smpl.load(run.config.body.path or None)
  soles = world.soles(body, np.zeros(10))
  views = [measure_view(view, recording, run, soles) for view in recording.views]
  show(views, [view.name for view in recording.views])


if __name__ == "__main__":
  program.run(main)
