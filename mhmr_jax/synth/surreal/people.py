"""Cuts people out of SURREAL's clips and films them with a camera that turns."""

import dataclasses
import functools
import pathlib
import re
from typing import NamedTuple

import numpy as np
from absl import logging
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from mhmr_jax.body import joints as body_joints
from mhmr_jax.errors import InputError
from mhmr_jax.geometry import pinhole
from mhmr_jax.synth import people, skinning, visibility
from mhmr_jax.synth.surreal import footage_files, info_files, turning_camera

Rng = np.random.Generator

# SURREAL's folders for each split, in the order of preference.
_FOLDERS = {"train": ("train",), "test": ("test", "val")}
# Sequences whose body shapes are known to be wrong.
_BAD = re.compile(r"(ung_)?(18|19)_|(ung_)?143_21(_|$)")
# How many clips are tried until one can be used.
_ATTEMPTS = 50
# So many joints must be inside the image in this share of the frames.
_MIN_INSIDE, _MIN_TIME_INSIDE = 12, 0.8
# Metres. A clip's bones change by 1e-7, and by 0.1 where zrot is ignored.
_MAX_BONE_CHANGE = 1e-3
# Metres between bones of the clip's body and of ours, where the bodies are the same.
_SAME_BONES = 2e-3
# Metres: about how well betas of one body can reproduce the bones of another.
_BONE_NOISE = 5e-3
_HEAD = body_joints.SMPL_JOINTS.index("head")
_FACE = slice(0, 5)


class Take(NamedTuple):
  """A filmed person, the clip that they come from, and the clips that were skipped."""

  person: people.Person
  clip: str  # The video, relative to SURREAL's folder.
  first: int  # The video's frame that is our first frame.
  rejected: tuple[str, ...]  # What is wrong with each clip that was skipped.


@dataclasses.dataclass(frozen=True)
class SurrealPeople:
  """The people in the clips below SURREAL's folder, by split."""

  path: pathlib.Path
  clips: dict[str, tuple[str, ...]]  # Videos, relative to the path.
  body: skinning.Body

  @functools.cached_property
  def _joints(self) -> visibility.VisibilityRule:
    return visibility.joint_rule(self.body)

  @functools.cached_property
  def _keypoints(self) -> visibility.VisibilityRule:
    return visibility.keypoint_rule(self._joints)

  def film(
    self,
    split: str,
    frames: int,
    size: int,
    *,
    choice: Rng,
    filming: Rng,
    moving_camera: bool = True,
  ) -> Take:
    """Films successive frames of a random clip anew.

    Args:
      split: "train" or "test".
      frames: how many.
      size: pixels of the square frame's side.
      choice: the random stream of the clip and its first frame.
      filming: the random stream of the camera.
      moving_camera: False keeps the camera still, as SURREAL's own is.

    Raises:
      InputError: none of the clips that were tried can be used.
    """
    clips = self.clips[split]
    rejected: list[str] = []
    for index in choice.permutation(len(clips))[:_ATTEMPTS]:
      video = self.path / clips[index]
      try:
        info = info_files.read_info(footage_files.sibling(video, "info"))
        rest = _check_bones(info, video)
        starts = _starts(info, frames)
        if not len(starts):  # Too short, or the person leaves: no error.
          continue
        first = int(choice.choice(starts))
        footage = footage_files.read(video, info, first, frames)
      except InputError as error:
        rejected.append(str(error))
        continue
      person = self._film(info, rest, footage, first, size, filming, moving_camera)
      return Take(person, clips[index], first, tuple(rejected))
    raise InputError(
      f"None of {min(len(clips), _ATTEMPTS)} clips of {self.path} that were tried for "
      f"the {split} split can be used: {len(rejected)} are damaged "
      f"({'; '.join(rejected[:3]) or 'none'}), and the others do not show a person for "
      f"{frames} frames. Check the folder, or ask for fewer frames a clip."
    )

  def _film(
    self,
    info: info_files.Info,
    rest: Float[np.ndarray, "23 3"],
    footage: footage_files.Footage,
    first: int,
    size: int,
    filming: Rng,
    moving_camera: bool,
  ) -> people.Person:
    """Films and labels the person of footage that begins at the clip's frame `first`.

    `rest` are the bones of the clip's body in its rest pose.
    """
    window = slice(first, first + len(footage.images))
    joints = info["joints_camera"][window]
    path = turning_camera.sample(filming, joints, footage.part > 0, size, moving_camera)
    layers = turning_camera.film(footage, path, size)
    turn = turning_camera.turns(path)
    joints = np.einsum("tij,tnj->tni", turn, joints).astype(np.float32)
    pose = _turned(info["pose"][window], turn)
    betas = fit_betas(self.body, rest, info["betas"])
    transl = joints[:, 0] - self.body.rest_joints(betas)[0]
    person = people.Person(
      layers=layers,
      camera=path,
      distance=float(joints[len(joints) // 2, 0, 2]),
      pose=pose,
      betas=betas,
      transl=transl.astype(np.float32),
      joints_camera=joints,
      keypoints_image=np.zeros((len(layers), 17, 3), np.float32),
      visibility=np.zeros((len(layers), 24), np.float32),
    )
    self._label(person, size)
    return person

  def _keypoints_camera(self, person: people.Person) -> Float[np.ndarray, "time 17 3"]:
    """Keypoints: limbs from the file's joints, the face placed by its head joint."""
    posed = self.body.pose(person.pose, person.betas, person.transl)
    face = self.body.keypoint_regressor[_FACE]
    out = np.zeros((len(posed.vertices), 17, 3), np.float32)
    shift = person.joints_camera[:, _HEAD] - posed.joints[:, _HEAD]
    out[:, _FACE] = np.stack([face @ v for v in posed.vertices]) + shift[:, None]
    for keypoint, joint in body_joints.COCO_FROM_SMPL.items():
      out[:, keypoint] = person.joints_camera[:, joint]
    return out

  def _label(self, person: people.Person, size: int) -> None:
    """Fills in keypoints and visibility from depth and body parts."""
    path = person.camera
    keypoints = self._keypoints_camera(person)
    pixels = pinhole.project(keypoints, path.intrinsics)
    person.keypoints_image[..., :2] = pixels
    points = np.concatenate([person.joints_camera, keypoints], 1)
    # Outside SURREAL's image it is not known what hides them: they are not visible.
    known = turning_camera.inside_source(points, path)
    for t, layer in enumerate(person.layers):
      shape = (size, size)
      buffer = visibility.DepthBuffer(
        np.full(shape, np.inf, np.float32), np.zeros(shape, np.uint8)
      )
      if layer is not None:
        for whole, part in zip(buffer, layer.buffer, strict=True):
          whole[layer.window.slices] = part
      joint_pixels = pinhole.project(person.joints_camera[t], path.intrinsics)
      visible = self._joints.visible(person.joints_camera[t], joint_pixels, buffer)
      person.visibility[t] = visible & known[t, :24]
      visible = self._keypoints.visible(keypoints[t], pixels[t], buffer)
      person.keypoints_image[t, :, 2] = visible & known[t, 24:]


def open_people(path: str, body: skinning.Body) -> SurrealPeople:
  """Lists the clips of SURREAL's folder `cmu`, which holds train, test and val.

  A sequence of the test split is left out of the train split.

  Args:
    path: the folder.
    body: used in place of SURREAL's gendered bodies; its surface gives the face's
      keypoints.

  Raises:
    InputError: there is no such folder, or it holds no clips of a split.
  """
  folder = pathlib.Path(path).expanduser()
  clips: dict[str, list[str]] = {}
  for split, names in _FOLDERS.items():
    # Val repeats a part of test, so that only the first of both is used.
    listed = (sorted(folder.glob(f"{name}/run*/*/*_c*.mp4")) for name in names)
    clips[split] = [
      clip.relative_to(folder).as_posix() for clip in next(filter(None, listed), [])
    ]
    if not clips[split]:
      raise InputError(
        f"There are no clips of SURREAL in {folder / names[0]}: name the folder that "
        "holds train/run0/<sequence>/<sequence>_c0001.mp4 and the like, and test, too."
      )
  bad = {
    clip for kept in clips.values() for clip in kept if _BAD.match(_sequence(clip))
  }
  if bad:
    logging.info(
      "%d clips of %s are left out because their body shapes are wrong: %s",
      len(bad),
      folder,
      ", ".join(sorted({_sequence(clip) for clip in bad})),
    )
  held_out = {_sequence(clip) for clip in clips["test"]}
  kept = {
    "train": _without(bad, clips["train"], held_out),
    "test": _without(bad, clips["test"], set()),
  }
  return SurrealPeople(folder, kept, body)


def _without(bad: set[str], clips: list[str], sequences: set[str]) -> tuple[str, ...]:
  return tuple(c for c in clips if c not in bad and _sequence(c) not in sequences)


def _sequence(clip: str) -> str:
  return clip.split("/")[-2]


def _check_bones(
  info: info_files.Info, video: pathlib.Path
) -> Float[np.ndarray, "23 3"]:
  """Returns the bones of the rest pose; InputError if pose and joints disagree."""
  valid = info["valid"]
  bones = info_files.bones(info["pose"][valid], info["joints_camera"][valid])
  change = np.ptp(bones, axis=0).max()
  if change > _MAX_BONE_CHANGE:
    raise InputError(
      f"{footage_files.sibling(video, 'info')} has bones that change by "
      f"{1000 * change:.0f} mm, so pose and joints disagree: leave its clip out"
    )
  return bones.mean(0)


def _starts(info: info_files.Info, frames: int) -> np.ndarray:
  """The first frames from which on so many frames show the person."""
  pixels = info["joints_image"]
  inside = (
    ((pixels > 0) & (pixels < [info_files.WIDTH, info_files.HEIGHT])).all(-1).sum(1)
  )
  good = np.stack([info["valid"], inside >= _MIN_INSIDE])
  if good.shape[1] < frames:
    return np.zeros(0, int)
  share = np.lib.stride_tricks.sliding_window_view(good, frames, 1).mean(-1)
  return np.flatnonzero((share[0] == 1) & (share[1] >= _MIN_TIME_INSIDE))


def fit_betas(
  body: skinning.Body, bones: Float[np.ndarray, "23 3"], betas: Float[np.ndarray, "10"]
) -> Float[np.ndarray, "10"]:
  """Returns betas with which the body has the given bones.

  SURREAL's betas belong to its female or male body. They are returned unchanged where
  they give the body these bones; otherwise betas are fitted to the bones.

  Args:
    body: the body model.
    bones: vectors from parents to joints in the rest pose, metres.
    betas: SURREAL's betas.
  """
  parent, child = np.array(body_joints.SMPL_BONES).T
  template = body.joint_template[child] - body.joint_template[parent]
  basis = body.joint_shapedirs[child] - body.joint_shapedirs[parent]
  if np.abs(template + basis @ betas - bones).max() < _SAME_BONES:
    return betas
  A = basis.reshape(-1, 10) / _BONE_NOISE
  # Least squares with the prior that betas are normal with variance one.
  fitted = np.linalg.solve(
    A.T @ A + np.eye(10), A.T @ (bones - template).ravel() / _BONE_NOISE
  )
  return fitted.astype(np.float32)


def _turned(
  pose: Float[np.ndarray, "time 24 3"], turn: Float[np.ndarray, "time 3 3"]
) -> Float[np.ndarray, "time 24 3"]:
  """Rotates the pose's global orientation to the camera that turned."""
  out = np.array(pose, np.float32)
  out[:, 0] = (
    Rotation.from_matrix(turn) * Rotation.from_rotvec(pose[:, 0])
  ).as_rotvec()
  return out
