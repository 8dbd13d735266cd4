"""What each part of the shipped weights' recipe gives, at a small, equal budget.

  python -m tests.benchmarks.parts --out=DIR [--motion=FOLDER] [--steps=N] \
    [--parts=base,adamw]

Every part is one training of `configs/kp_video.py` at a quarter of its width, with one
thing changed against `base`; all see as many frames. Each network is measured on
examples that none of them was trained on, made of the held-out motion with the base's
cameras and movements, from a detector's points and from exact ones (PA-MPJPE of SMPL's
24 joints), and on the recording of `real_video`, from OpenPose's points, without and
with the fit (PA-MPJPE and acceleration error of 12 limb joints). The parts of the
prediction need no training: they are measured with --workdir's network, by default the
shipped one, on the recording alone.

`results.json` in the folder has everything; parts that are in it are not run again, and
a training that was stopped goes on. `base_1` and `base_2` are `base` with other seeds:
differences as small as theirs mean nothing.
"""

import contextlib
import functools
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from etils import epath
from ml_collections import ConfigDict

from configs import kp_video
from mhmr_jax import train
from mhmr_jax.body import posed_keypoints, smpl
from mhmr_jax.body.joints import SMPL_JOINTS
from mhmr_jax.data import device_examples
from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic
from mhmr_jax.geometry import metrics
from mhmr_jax.inference import (
  keypoint_fit,
  packed,
  smoothing,
  streaming,
  trained,
  video_motion,
)
from mhmr_jax.inference.reprojection import Weights
from mhmr_jax.inference.trained import TrainedRun
from mhmr_jax.inference.video_motion import Scene
from mhmr_jax.keypoints import noise_file
from mhmr_jax.keypoints.noise import KeypointNoise
from mhmr_jax.keypoints.source import KeypointSource
from mhmr_jax.models import motion_hmr
from mhmr_jax.models.predicted_joints import predicted_joints
from mhmr_jax.motion import library
from mhmr_jax.motion.pose_sequence import PoseSequence
from mhmr_jax.runtime import program
from mhmr_jax.schema import Batch
from mhmr_jax.synth.keypoint_examples import examples
from tests.benchmarks import balancing_man, limb_errors, real_video
from tests.benchmarks.balancing_man import Recording, View

_MOTION = flags.DEFINE_string(
  "motion",
  "",
  "The folder of motion capture; without it all motion is procedural.",
  **program.REDEFINED_FLAG,
)
_STEPS = flags.DEFINE_integer("steps", 250, "Updates of each training.")
_PARTS = flags.DEFINE_list("parts", [], "The parts to run; all if it is left out.")

_FRAMES = 2048  # Of a batch, whatever the window.
_LIMBS = [SMPL_JOINTS.index(name) for name in limb_errors.LIMB_JOINTS]
_TESTED, _TEST_FRAMES, _TEST_SEED = 512, 32, 1
# Figures by name.
Figures = dict[str, float]

_BASE = {
  "data.window": 16,
  "data.workers": 0,
  "train.warmup_steps": 20,
  "train.checkpoint_every": 50,
  "model.lstm_features": 128,
  "model.encoder.features": 128,
  "model.regressor.hidden": (128, 128),
}
_NO_FEEDBACK = {"model.regressor.feedback": False}
# By name, what is changed against the base.
TRAININGS: dict[str, dict[str, Any]] = {
  "base": {},
  "no_feedback": _NO_FEEDBACK,
  "relative_rotations": {"model.regressor.pose_representation": "6d"},
  "adamw": {"train.optimizer": "adamw"},
  "no_noise": {"keypoints.noise": False},
  "gaussian_noise": {},  # Its noise is a file: see `config_of`.
  "level_cameras": {"keypoint_examples.cameras": "level"},
  "motion_as_captured": {"keypoint_examples.varied": False},
  "procedural_alone": {"keypoint_examples.procedural": 1.0},
  "captured_alone": {"keypoint_examples.procedural": 0.0},
  "base_1": {"seed": 1, "data.seed": 1},
  "no_memory": {"model.lstm_features": 0},
  "backward_lstm": {"model.lstm_backward": True},
  "window_4": {"data.window": 4},
  "window_8": {"data.window": 8},
  "window_32": {"data.window": 32},
  "heatmaps": {**_NO_FEEDBACK, "keypoints.form": "heatmaps"},
  "no_world": {
    "model.regressor.world": False,
    "loss.gravity": 0.0,
    "loss.standing": 0.0,
  },
  "base_2": {"seed": 2, "data.seed": 2},
}
# Errors as large as the default's, all of them independent from frame to frame.
_GAUSSIAN = KeypointNoise(
  **{
    **{name: 0.0 for name in ("offset", "width", "flicker", "speed", "quality")},
    **{name: 0.0 for name in ("outlier", "miss", "miss_occluded", "miss_limb")},
    **{name: 0.0 for name in ("miss_frame", "swap", "swap_limbs", "jump")},
    "jitter": 0.011,
    "correlation": 0.0,
    "occluded": 1.0,
  }
)


def config_of(name: str, motion: str, steps: int, out: pathlib.Path) -> ConfigDict:
  """The config of a part's training."""
  config = kp_video.get_config()
  own = TRAININGS[name]
  config.update_from_flattened_dict({**_BASE, **own})
  config.data.motion = motion
  config.train.steps = steps
  config.train.batch_size = _FRAMES // config.data.window
  if name == "gaussian_noise":
    path = out / "gaussian_noise.json"
    noise_file.write(path, _GAUSSIAN)
    config.keypoints.noise_file = str(path)
  return config


class _Kept(NamedTuple):
  """A source of motion that was read once."""

  motions: Callable[[str], list[PoseSequence]]


def motion_read_once() -> contextlib.AbstractContextManager[Any]:
  """Keeps the motion between trainings: reading it takes as long as a short one."""
  open_motions = library.open_motions

  @functools.cache
  def kept(path: str) -> _Kept:
    source = open_motions(path)
    return _Kept(functools.cache(lambda split: list(source.motions(split))))

  return mock.patch.object(library, "open_motions", kept)


def held_out_examples(config: ConfigDict, exact: bool) -> Batch:
  """Examples of the held-out motion, with the base's cameras and movements.

  Args:
    config: of the base.
    exact: whether the points are exact ones, and not a detector's.
  """
  config = ConfigDict(config.to_dict())
  config.data.window = _TEST_FRAMES
  config.keypoints.noise = not exact
  body = smpl.load()
  make = jax.jit(
    functools.partial(examples.make_batch, device_examples.example_spec(config))
  )
  key = jax.random.key_data(jax.random.key(_TEST_SEED))
  numbers = np.arange(_TESTED, dtype=np.uint32)
  bank = device_examples.open_bank(config, "test")
  batch: Batch = make(bank, body, posed_keypoints.moments(body), key, numbers)
  return batch


def synthetic_error(run: TrainedRun, batch: Batch) -> float:
  """The mean PA-MPJPE of SMPL's 24 joints, mm."""
  model, body = motion_hmr.from_config(run.config), smpl.load()

  @jax.jit
  def error(variables: motion_hmr.Variables, batch: Batch) -> jax.Array:
    prediction, _ = model.apply(variables, batch, train=False)
    joints, _ = predicted_joints(body, prediction)
    return jnp.mean(metrics.pa_mpjpe(joints, batch["joints_camera"]))

  return float(error(run.variables, batch))


def real_errors(
  run: TrainedRun, recording: Recording, mirrored: bool = True
) -> Figures:
  """The mean errors over the views, from the keypoints that come with them.

  Args:
    run: the network.
    recording: of the balancing man.
    mirrored: whether the network sees each view mirrored too, as in `predict`.
  """
  step = streaming.make_step(run.config, run.variables, mirrored=mirrored)
  figures: Figures = {}
  # `predict` itself always mirrors.
  with mock.patch.object(streaming, "make_step", return_value=step):
    for fit in ("off", "on"):
      found = [_view_errors(view, run, recording, fit) for view in recording.views]
      pa_mpjpe, acceleration = np.mean(found, axis=0)
      figures[f"real_fit_{fit}_pa_mpjpe"] = float(pa_mpjpe)
      figures[f"real_fit_{fit}_acceleration"] = float(acceleration)
  return figures


def _view_errors(
  view: View, run: TrainedRun, recording: Recording, fit: str
) -> limb_errors.Errors:
  source = KeypointSource(str(view.keypoints), balancing_man.KEYPOINT_FORMAT)
  (motion,) = video_motion.predict_video(
    view.video, source, run=run, people=[0], scene=Scene(fit=fit)
  )
  joints = motion.joints_camera[:, _LIMBS]
  return real_video.errors_in(motion.frame_index, joints, recording)


def run_training(
  config: ConfigDict, workdir: pathlib.Path, tests: dict[str, Batch], recording: Any
) -> Figures:
  """Trains a part and measures it."""
  train.train(config, epath.Path(workdir))
  run = trained.restore(epath.Path(workdir))
  figures: Figures = {"frames": config.train.steps * _FRAMES}
  for name, batch in tests.items():
    figures[f"synthetic_{name}_pa_mpjpe"] = synthetic_error(run, batch)
  return figures | real_errors(run, recording)


# ---- The parts of the prediction.


def _without_smoothing() -> contextlib.AbstractContextManager[Any]:
  return mock.patch.object(smoothing, "smooth", lambda outputs: outputs)


def _with_weights(**changed: float) -> contextlib.AbstractContextManager[Any]:
  weights = functools.partial(Weights, **changed)
  return mock.patch.object(keypoint_fit, "Weights", weights)


_ROUNDS = {f"predict_rounds_{count}": count for count in (1, 2, 4)}
PREDICTIONS = (
  *("predict", "predict_without_mirroring", "predict_without_smoothing"),
  *("predict_without_prior", *_ROUNDS),
)
NAMES = (*TRAININGS, *PREDICTIONS)


def run_prediction(name: str, run: TrainedRun, recording: Recording) -> Figures:
  """Measures a network with one part of the prediction changed."""
  if name in _ROUNDS:
    config = ConfigDict(run.config.to_dict())
    config.model.regressor.rounds = _ROUNDS[name]
    run = run._replace(config=config)
  changes = {
    "predict_without_smoothing": _without_smoothing,
    "predict_without_prior": functools.partial(_with_weights, prior=0.0),
  }
  mirrored = name != "predict_without_mirroring"
  with changes.get(name, contextlib.nullcontext)():
    return real_errors(run, recording, mirrored)


def _predictor() -> TrainedRun:
  if program.WORKDIR.value is None:
    return packed.read()
  return trained.restore(program.workdir())


def table(results: dict[str, Figures]) -> str:
  """The figures as Markdown, one part a line, errors in mm and mm a frame²."""
  lines = [
    "| | detected points | exact points | real, fit off | real, fit on |",
    "| --- | --- | --- | --- | --- |",
  ]
  for name, row in results.items():
    cells = [
      f"{row[key]:.1f}" if key in row else ""
      for key in ("synthetic_detected_pa_mpjpe", "synthetic_exact_pa_mpjpe")
    ]
    for fit in ("off", "on"):
      pair = (row[f"real_fit_{fit}_{key}"] for key in ("pa_mpjpe", "acceleration"))
      cells.append(", ".join(f"{error:.1f}" for error in pair))
    lines.append(" | ".join((f"| `{name}`", *cells)) + " |")
  return "\n".join(lines)


def main(argv: list[str]) -> None:
  """Runs the parts that are not in the folder's results yet."""
  del argv
  names = _PARTS.value or NAMES
  for name in names:
    if name not in NAMES:
      raise InputError(f"--parts: there is no {name!r}: use {', '.join(NAMES)}.")
  out = program.path_of(program.OUT)
  atomic.make_folder(out)
  recording = balancing_man.fetch(program.path_of(balancing_man.CACHE))
  config = functools.partial(
    config_of, motion=_MOTION.value, steps=_STEPS.value, out=out
  )
  file = out / "results.json"
  results = json.loads(file.read_text()) if file.is_file() else {}
  with motion_read_once():
    tests: dict[str, Batch] = {}
    for name in names:
      if name in results:
        continue
      if name in TRAININGS:
        tests = tests or {
          "detected": held_out_examples(config("base"), exact=False),
          "exact": held_out_examples(config("base"), exact=True),
        }
        results[name] = run_training(config(name), out / name, tests, recording)
      else:
        results[name] = run_prediction(name, _predictor(), recording)
      atomic.write(file, json.dumps(results, indent=2) + "\n")
      print(name, json.dumps(results[name]), flush=True)
  print(table(results))


if __name__ == "__main__":
  program.run(main)
