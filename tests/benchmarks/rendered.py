"""Error of `predict` on rendered clips that the detector itself has seen.

  python -m tests.benchmarks.rendered --out=DIR [--clips=12] [--motion=FOLDER] \
    [--detector_weights=pose_landmarker.task]

The clips are `full` ones of the synthetic engine, from its test split: 48 frames of 320
pixels. A detector runs on their pictures, `predict` on its keypoints, with the fit and
without it. The truth is exact. The errors are those of 12 limb joints (see
`limb_errors`), and by how much each clip's changes with the fit. Clips in which the
detector does not find the person in most frames are left out; the number is printed.

`--fit=auto` fits to a detector's keypoints only if that lowers the error here and in
`real_video`. The folder keeps the pictures and the keypoints.
"""

import json
import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
from absl import flags
from jaxtyping import Float

from mhmr_jax.body.joints import SMPL_JOINTS
from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic, npz
from mhmr_jax.inference import packed, video_motion
from mhmr_jax.inference.trained import TrainedRun
from mhmr_jax.keypoints import keypoint_flags
from mhmr_jax.keypoints.source import KeypointSource
from mhmr_jax.runtime import program
from mhmr_jax.schema import Motion
from mhmr_jax.synth.clips import ClipMaker, ClipSpec
from tests.benchmarks import limb_errors
from tests.benchmarks.limb_errors import Errors

_CLIPS = flags.DEFINE_integer("clips", 12, "How many clips.", lower_bound=1)
_MOTION = flags.DEFINE_string(
  "motion",
  "",
  "A folder of motion capture; '': made up.",
  **program.REDEFINED_FLAG,
)
_FRAMES, _SIZE, _FPS = 48, 320, 30.0
_LIMBS = [SMPL_JOINTS.index(name) for name in limb_errors.LIMB_JOINTS]
_TRUTH = "truth.npz"
_LEAST_FOUND = 0.8  # The share of a clip's frames.
_FARTHEST = 0.25  # Of the middles of the person found and the true one; of the image.


def write_clip(maker: ClipMaker, number: int, folder: pathlib.Path) -> None:
  """Writes a clip's pictures and its truth into a new folder."""
  clip, _ = maker.make("test", number)
  with atomic.together(folder.parent) as new:
    own = new / folder.name
    own.mkdir()
    for frame, picture in enumerate(clip["frames"]):
      (own / f"{frame:04d}.jpg").write_bytes(picture)
    np.savez(
      new / f"{folder.name}_{_TRUTH}",
      joints=clip["joints_camera"][:, _LIMBS],
      keypoints=clip["keypoints_image"],
    )


def found_share(motion: Motion, keypoints: Float[np.ndarray, "frames 17 3"]) -> float:
  """In which share of a clip's frames the person is found, and not somebody else."""
  own = keypoints[motion.frame_index, :, :2].mean(axis=1)
  there = motion.keypoints_image.mean(axis=1)
  near = np.linalg.norm(own - there, axis=1) < _FARTHEST * _SIZE
  return float((near & motion.detected).sum() / len(keypoints))


def measure(
  folder: pathlib.Path, detector: KeypointSource, run: TrainedRun
) -> dict[str, Errors] | None:
  """The errors without and with the fit; None where the person is not found."""
  truth = npz.read_npz(
    folder.with_name(f"{folder.name}_{_TRUTH}"), ("joints", "keypoints")
  )
  errors = {}
  for fit in ("off", "on"):
    try:
      (motion,) = video_motion.predict_video(
        folder, detector, run=run, people=[0], fps=_FPS,
        scene=video_motion.Scene(fit=fit),
      )  # fmt: skip
    except InputError:  # Nobody was found.
      return None
    if found_share(motion, truth["keypoints"]) < _LEAST_FOUND:
      return None
    rows = motion.frame_index
    joints = motion.joints_camera[:, _LIMBS].astype(np.float64)
    errors[fit] = limb_errors.measure(
      joints, truth["joints"][rows].astype(np.float64), rows - rows[0], _FPS
    )
  return errors


def show(found: list[dict[str, Errors]], left_out: int) -> None:
  """Prints the means over the clips, and how many the fit makes better."""
  print(f"{len(found)} clips; {left_out} in which the person is not found left out")
  print(f"{'':<10}{'PA-MPJPE, mm':>14}{'acceleration, mm/frame²':>26}")
  result = {}
  for fit in ("off", "on"):
    means = np.mean([one[fit] for one in found], axis=0)
    print(f"fit {fit:<6}{means[0]:14.1f}{means[1]:26.1f}")
    result[f"rendered_fit_{fit}_pa_mpjpe"] = round(float(means[0]), 2)
    result[f"rendered_fit_{fit}_acceleration"] = round(float(means[1]), 2)
  change = np.array([one["on"].pa_mpjpe - one["off"].pa_mpjpe for one in found])
  spread = change.std(ddof=1) / np.sqrt(len(change)) if len(change) > 1 else 0.0
  print(
    f"the fit changes a clip's PA-MPJPE by {change.mean():.1f} ± {spread:.1f} mm, and "
    f"lowers it in {int((change < 0).sum())} of {len(change)}"
  )
  result["rendered_fit_on_over_off"] = round(
    result["rendered_fit_on_pa_mpjpe"] / result["rendered_fit_off_pa_mpjpe"], 3
  )
  print(json.dumps(result))


def main(argv: list[str]) -> None:
  del argv
  out: pathlib.Path = program.path_of(program.OUT)
  if not out.is_dir():
    raise InputError(f"--out={out}: name a folder that exists.")
  detector = KeypointSource(
    detector=keypoint_flags.DETECTOR.value, weights=keypoint_flags.weights_path()
  )
  jax.config.update("jax_compilation_cache_dir", str(out / "compiled"))
  folders = [out / f"clip_{number:03d}" for number in range(_CLIPS.value)]
  if not all(folder.is_dir() for folder in folders):
    maker = ClipMaker(ClipSpec(0, _FRAMES, _SIZE, motion=_MOTION.value))
    for number, folder in enumerate(folders):
      if not folder.is_dir():
        write_clip(maker, number, folder)
  run = packed.read()
  measured = [measure(folder, detector, run) for folder in folders]
  found = [errors for errors in measured if errors is not None]
  if not found:
    raise InputError(f"The detector finds nobody in the clips in {out}.")
  show(found, len(measured) - len(found))


if __name__ == "__main__":
  program.run(main)
