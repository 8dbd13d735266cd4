"""Error of `predict` on real video with 3D truth: Pose2Sim's balancing man.

  python -m tests.benchmarks.real_video [--workdir=RUN] [--fit=off] \
    [--detector_weights=pose_landmarker.task] [--overlays=DIR]

4 views of 100 frames at 60 Hz (see `balancing_man`, which fetches them by pip).
`predict` runs on each from the keypoints that come with the recording, found by
OpenPose, and from those of --detector; its own options, such as --focal, are flags here
too. The errors are those of 12 limb joints (see `limb_errors`) in every second frame,
the 30 a second that the network is given: SMPL's joints against triangulated keypoints,
so a part of the error is the difference between what the two call a hip. Beside
`predict` stand MediaPipe's own 3D pose, SMPL's rest pose, and the true pose that fits
all others best; last, the acceleration error that a perfect motion would have, since
the truth is noisy.

This recording is for choosing: a method that was chosen on it has to be checked on
others.
"""

import json
import os
import pathlib
from typing import Any, NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import cv2
import jax
import numpy as np
from absl import flags
from jaxtyping import Float, Int, UInt8

from mhmr_jax import predict
from mhmr_jax.body import smpl
from mhmr_jax.body.joints import SMPL_BONES, SMPL_JOINTS
from mhmr_jax.data.chunks import TRAINING_STEP
from mhmr_jax.files import atomic, video
from mhmr_jax.inference import video_motion
from mhmr_jax.inference.trained import TrainedRun
from mhmr_jax.keypoints.tracking import Track
from mhmr_jax.runtime import program
from mhmr_jax.schema import Motion
from mhmr_jax.visualize import overlay
from tests.benchmarks import balancing_man, limb_errors, world_landmarks
from tests.benchmarks.balancing_man import Recording, View
from tests.benchmarks.limb_errors import Errors

_OVERLAYS = flags.DEFINE_string(
  "overlays", None, "A folder for pictures of the keypoints and the predicted joints."
)

LIMBS = [SMPL_JOINTS.index(name) for name in limb_errors.LIMB_JOINTS]
_PICTURES = 5  # Frames of each view in a picture.
_HEIGHT = 480  # Of a frame in a picture, px.

# By method, the errors in each view.
Table = dict[str, list[Errors]]
_PERFECT = "perfect motion, noise of the truth"
WORLD, REST, CONSTANT = "world_landmarks", "rest_pose", "constant_pose"
_TITLES = {
  balancing_man.GIVEN: "predict, OpenPose's keypoints",
  "mediapipe": "predict, MediaPipe's keypoints",
  "rtmpose": "predict, RTMPose's keypoints",
  WORLD: "MediaPipe's own 3D",
  REST: "SMPL's rest pose",
  CONSTANT: "best constant true pose",
}


def _stride(recording: Recording) -> int:
  """How many frames lie from one that is measured to the next."""
  return round(recording.fps * TRAINING_STEP)


def errors_in(
  frame_index: Int[np.ndarray, "frames"],
  joints: Float[np.ndarray, "frames 12 3"],
  recording: Recording,
) -> Errors:
  """The errors of joints in those frames of a view that the network is given."""
  stride = _stride(recording)
  truth = recording.truth[frame_index]
  known = np.isfinite(joints).all((1, 2)) & np.isfinite(truth).all((1, 2))
  since = frame_index - frame_index[0]
  rows = known & (since % stride == 0)
  return limb_errors.measure(
    joints[rows], truth[rows], since[rows] // stride, recording.fps / stride
  )


def measure_view(
  view: View, recording: Recording, run: TrainedRun
) -> dict[str, Errors]:
  """The errors of `predict` and of MediaPipe's own 3D in one view, by name."""
  found = {}
  for name, source in balancing_man.keypoint_sources(view).items():
    (motion,) = video_motion.predict_video(
      view.video, source, run=run, people=[0], scene=predict.flag_scene()
    )
    joints = motion.joints_camera[:, LIMBS]
    found[name] = errors_in(motion.frame_index, joints, recording)
    info = video.probe(view.video)
    people = video_motion.follow(source.find_people(view.video, info), info.fps)
    track = people[0].track
    if _OVERLAYS.value is not None:
      picture = draw(view, track, motion)
      write_picture(program.path_of(_OVERLAYS) / f"{view.name}_{name}.png", picture)
    if name == "mediapipe":
      joints = world_landmarks.read(view.video, track, source.weights)
      found[WORLD] = errors_in(track.frame_index, joints, recording)
  return found


def measure_constants(recording: Recording) -> dict[str, Errors]:
  """The errors of poses that do not move, which are the same in every view."""
  every = np.flatnonzero(np.isfinite(recording.truth).all((1, 2)))
  truth = recording.truth[every]
  poses = {
    REST: np.asarray(smpl.load().joint_template)[LIMBS],
    CONSTANT: limb_errors.best_constant(truth[:: _stride(recording)]),
  }
  return {
    name: errors_in(every, np.broadcast_to(pose, truth.shape), recording)
    for name, pose in poses.items()
  }


def noise_of_truth(recording: Recording) -> float:
  """The acceleration error that a perfect motion would have, mm a frame²."""
  stride = _stride(recording)
  truth = recording.truth[np.isfinite(recording.truth).all((1, 2))][::stride]
  return limb_errors.acceleration_noise(truth, recording.fps / stride)


class _Window(NamedTuple):
  """A part of a picture, px."""

  rows: slice
  columns: slice


def draw(
  view: View, track: Track, motion: Motion
) -> UInt8[np.ndarray, "height width 3"]:
  """A picture of some frames: the keypoints above, the predicted joints below."""
  rows = np.linspace(0, len(motion.frame_index) - 1, _PICTURES).astype(int)
  chosen = motion.frame_index[rows]
  predicted = {
    frame: np.append(points, np.ones((24, 1)), axis=-1)
    for frame, points in zip(motion.frame_index, motion.keypoints_image, strict=True)
  }
  detected = dict(zip(track.frame_index, track.keypoints, strict=True))
  window = _window([predicted[frame] for frame in chosen])
  columns = []
  for number, image in enumerate(video.read_frames(view.video)):
    if number in chosen:
      points = detected.get(number, np.zeros((17, 3), np.float32))
      above = overlay.draw_skeleton(image, points)
      below = overlay.draw_skeleton(image, predicted[number], SMPL_BONES, SMPL_JOINTS)
      columns.append(np.vstack([_cut(above, window), _cut(below, window)]))
  return np.hstack(columns)


def _window(people: list[np.ndarray]) -> _Window:
  """The window around people, with a margin of a fifth of it."""
  points = np.concatenate(people)[:, :2]
  low, high = points.min(axis=0), points.max(axis=0)
  margin = 0.2 * (high - low).max()
  x0, y0 = np.maximum(low - margin, 0).astype(int)
  x1, y1 = (high + margin).astype(int)
  return _Window(slice(y0, y1), slice(x0, x1))


def _cut(image: np.ndarray, window: _Window) -> np.ndarray:
  part = image[window.rows, window.columns]
  width = round(part.shape[1] * _HEIGHT / part.shape[0])
  return cv2.resize(part, (width, _HEIGHT), interpolation=cv2.INTER_AREA)


def write_picture(path: pathlib.Path, picture: np.ndarray) -> None:
  atomic.make_folder(path.parent)
  _, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
  atomic.write(path, encoded.tobytes())


def show(table: Table, recording: Recording) -> None:
  """Prints both errors by view, their means, and the means and ratios as JSON."""
  names = [view.name for view in recording.views]
  result: dict[str, Any] = {}
  for key, title in (
    ("pa_mpjpe", "PA-MPJPE, mm"),
    ("acceleration", "acceleration error, mm/frame²"),
  ):
    print(f"{title:<34}" + "".join(f"{name:>8}" for name in (*names, "all")))
    for name, views in table.items():
      values = [getattr(errors, key) for errors in views]
      mean = float(np.mean(values))
      result[f"real_video_{name}_{key}"] = round(mean, 2)
      print(f"{_TITLES[name]:<34}" + "".join(f"{v:8.1f}" for v in (*values, mean)))
  for name in table.keys() - {WORLD, REST, CONSTANT}:
    for other in (WORLD, CONSTANT):
      if other in table:
        ours, theirs = (result[f"real_video_{n}_pa_mpjpe"] for n in (name, other))
        result[f"real_video_{name}_over_{other}"] = round(ours / theirs, 3)
  noise = noise_of_truth(recording)
  result["real_video_truth_acceleration_noise"] = round(noise, 2)
  print(f"{_PERFECT:<34}{noise:{8 * (len(names) + 1)}.1f}")
  print(json.dumps(dict(sorted(result.items()))))


def main(argv: list[str]) -> None:
  del argv
  cache = program.path_of(balancing_man.CACHE)
  # The same network is compiled for each view.
  jax.config.update("jax_compilation_cache_dir", str(cache / "compiled"))
  recording = balancing_man.fetch(cache)
  constants = measure_constants(recording)
  run = predict.flag_run()
  views = [measure_view(view, recording, run) | constants for view in recording.views]
  show({name: [errors[name] for errors in views] for name in views[0]}, recording)


if __name__ == "__main__":
  program.run(main)
