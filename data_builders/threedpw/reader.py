"""Reads 3DPW's official release: people filmed outdoors, with SMPL poses from IMUs.

von Marcard et al., "Recovering accurate 3D human pose in the wild using IMUs and a
moving camera" (ECCV 2018).
"""

import contextlib
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np
from absl import logging
from jaxtyping import Bool, Float, UInt8
from scipy.spatial.transform import Rotation

from mhmr_jax.body import label_joints, smpl
from mhmr_jax.errors import InputError
from mhmr_jax.files import frame_files
from mhmr_jax.files.arrays import read_array
from mhmr_jax.files.pickles import restricted_load
from mhmr_jax.geometry import pinhole, windows
from mhmr_jax.keypoints import formats
from mhmr_jax.schema import Clip

SPLITS = ("train", "validation", "test")
FPS = 30.0
_GENDERS = {"m": "male", "f": "female"}
_PERSON_KEYS = (
  *("poses", "trans", "betas", "genders", "campose_valid", "poses2d"),
  "jointPositions",
)
_KEYS = ("sequence", "cam_poses", "cam_intrinsics", "img_frame_ids", *_PERSON_KEYS)
# How far the principal point may be from the image's centre, over the image's size.
_CENTRE_TOLERANCE = 0.1
_LARGEST = 1e4  # Radians or metres: larger labels are treated as missing.
_MIN_DEPTH = 0.1  # Metres.
_JOINTS_TOLERANCE = 0.03  # Metres.
_PROBLEMS_SHOWN = 5
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_JPEG_TAIL = 4096  # Bytes: some cameras append a little data.

BodyOfGender = Mapping[str, smpl.SmplModel]  # The keys are genders.


class PersonClip(NamedTuple):
  """One person in one sequence.

  Attributes:
    clip: the labels, without frames, in the whole image's pixels.
    folder: the folder of the images, relative to the release's.
    image_size: width and height in pixels.
  """

  clip: Clip
  folder: str
  image_size: tuple[int, int]


def sequence_files(root: pathlib.Path, split: str) -> list[pathlib.Path]:
  """The pickles of a split, sorted by name."""
  return sorted((root / "sequenceFiles" / split).glob("*.pkl"))


def read_split(
  root: pathlib.Path, split: str, bodies: BodyOfGender
) -> list[PersonClip]:
  """Reads all tracks of a split.

  Raises:
    InputError: one of its sequences cannot be used completely. An error measured on a
      part of a test set cannot be compared with others.
  """
  tracks, problems = [], []
  files = sequence_files(root, split)
  for path in files:
    try:
      tracks += read_sequence(root, path, bodies)
    except InputError as error:
      problems.append(str(error).rstrip("."))
  if problems:
    more = len(problems) - _PROBLEMS_SHOWN
    shown = problems[:_PROBLEMS_SHOWN] + ([f"and {more} more"] if more > 0 else [])
    raise InputError(
      f"{len(problems)} of the {len(files)} sequences of 3DPW's {split} split cannot "
      f"be used ({'; '.join(shown)}): put the official files there, or take those "
      ".pkl files away to do without their sequences."
    )
  return tracks


def read_sequence(
  root: pathlib.Path, path: pathlib.Path, bodies: BodyOfGender
) -> list[PersonClip]:
  """Reads the tracks of one sequence.

  Raises:
    InputError: the pickle is damaged, hostile or not in the official form, an image is
      missing, or the intrinsics belong to images of another size.
  """
  data = restricted_load(path)
  missing = [key for key in _KEYS if not isinstance(data, dict) or key not in data]
  if missing:
    raise InputError(f"{path} has no {', '.join(missing)}: it is not one of 3DPW's")
  # The name becomes a part of paths.
  if str(data["sequence"]) != path.stem:
    raise InputError(
      f"sequence of {path} is {str(data['sequence'])[:80]!r}, not the file's name"
    )
  people = {key: _listed(data, path, key) for key in _PERSON_KEYS}
  counts = {key: len(values) for key, values in people.items()}
  if len(set(counts.values())) > 1 or not counts["poses"]:
    raise InputError(f"{path} has lists of different numbers of people: {counts}")
  camera = _Camera.of(data, path)
  folder = f"imageFiles/{path.stem}"
  size = _check_images(root / folder, len(camera.rotation), camera.intrinsics)
  tracks = []
  for person in range(counts["poses"]):
    own = {key: values[person] for key, values in people.items()}
    clip = _read_person(own, path, camera, bodies)
    clip["sequence"] = f"{path.stem}_{person}"
    tracks.append(PersonClip(clip, folder, size))
  return tracks


def _listed(data: Mapping[str, Any], path: pathlib.Path, key: str) -> Any:
  if not isinstance(data[key], list | tuple):
    raise InputError(f"{key} of {path} is not a list of one entry a person")
  return data[key]


class _Camera(NamedTuple):
  """The sequence's moving camera: from the world to the camera, and to pixels."""

  rotation: Float[np.ndarray, "time 3 3"]
  translation: Float[np.ndarray, "time 3"]
  finite: Bool[np.ndarray, "time"]
  intrinsics: Float[np.ndarray, "3 3"]

  @classmethod
  def of(cls, data: Mapping[str, Any], path: pathlib.Path) -> "_Camera":
    """Reads the camera of a pickle; frames without finite numbers get the identity."""
    frames = len(read_array(data, path, "img_frame_ids", (None,), finite=False))
    poses = read_array(data, path, "cam_poses", (frames, 4, 4), finite=False)
    intrinsics = read_array(data, path, "cam_intrinsics", (3, 3))
    if (
      intrinsics[0, 0] <= 0
      or intrinsics[1, 1] <= 0
      or (intrinsics[[0, 1], [1, 0]] != 0).any()
      or (intrinsics[2] != [0, 0, 1]).any()
    ):
      raise InputError(f"cam_intrinsics of {path} is not a camera's matrix")
    finite = (np.abs(poses) < _LARGEST).all((1, 2))
    poses[~finite] = np.eye(4)
    rotation = poses[:, :3, :3]
    gap = np.abs(rotation @ rotation.swapaxes(1, 2) - np.eye(3)).max(initial=0)
    if gap > 1e-2 or (np.linalg.det(rotation) < 0).any():
      raise InputError(f"cam_poses of {path} are not rotations and translations")
    return cls(rotation, poses[:, :3, 3], finite, intrinsics)


def _check_images(
  folder: pathlib.Path, count: int, intrinsics: Float[np.ndarray, "3 3"]
) -> tuple[int, int]:
  """Checks that the images are there and fit the intrinsics; returns their size."""
  present = {path.name for path in folder.glob("*.jpg")}
  names = [frame_files.image_name(number) for number in range(count)]
  missing = [name for name in names if name not in present]
  if missing or not names:
    raise InputError(
      f"{folder} lacks {len(missing)} of its {count} images, {', '.join(missing[:3])}"
    )
  image = decode((folder / names[0]).read_bytes(), folder / names[0])
  height, width = image.shape[:2]
  off = np.abs(intrinsics[:2, 2] - np.array([width, height]) / 2)
  if (off > _CENTRE_TOLERANCE * np.array([width, height])).any():
    about = " x ".join(f"{2 * centre:.0f}" for centre in intrinsics[:2, 2])
    raise InputError(
      f"{folder / names[0]} has {width} x {height} pixels, but the intrinsics are of "
      f"about {about}"
    )
  return width, height


def decode(
  data: bytes, path: pathlib.Path, size: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "height width 3"]:
  """Decodes an image file to BGR pixels.

  Raises:
    InputError: the file is damaged, or the image has not the size that is asked for.
  """
  image = None
  # OpenCV silently fills the missing part of a JPEG with grey.
  if data[:2] == _JPEG_START and _JPEG_END not in data[-_JPEG_TAIL:]:
    raise InputError(f"{path} is cut short: put the official file there.")
  with contextlib.suppress(cv2.error):  # An empty file, or claims of absurd sizes.
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
  if image is None:
    raise InputError(f"{path} is not an image: put the official file there.")
  height, width = image.shape[:2]
  if size is not None and (width, height) != size:
    raise InputError(
      f"{path} has {width} x {height} pixels, the first image of its sequence {size[0]}"
      f" x {size[1]}: put the official file there."
    )
  return image


def _read_person(
  data: Mapping[str, Any],
  path: pathlib.Path,
  camera: _Camera,
  bodies: BodyOfGender,
) -> Clip:
  """Reads one person's track, without frames, in the camera's frame."""
  frames = len(camera.rotation)
  gender = _GENDERS.get(str(data["genders"]))
  if gender is None:
    raise InputError(f"genders of {path} has {data['genders']!r}, not 'm' or 'f'")
  pose = read_array(data, path, "poses", (frames, 72), finite=False)
  transl = read_array(data, path, "trans", (frames, 3), finite=False)
  betas = read_array(data, path, "betas", (None,))[:10]
  if len(betas) < 10:
    raise InputError(f"betas of {path} has {len(betas)} numbers, fewer than 10")
  valid = read_array(data, path, "campose_valid", (frames,)).astype(bool)
  # Comparisons with NaN are False.
  finite = (np.abs(pose) < _LARGEST).all(1) & (np.abs(transl) < _LARGEST).all(1)
  finite &= camera.finite
  pose, transl = (np.where(finite[:, None], array, 0) for array in (pose, transl))
  pose = pose.reshape(frames, 24, 3)
  body = bodies[gender]
  expected = read_array(data, path, "jointPositions", (frames, 72), finite=False)
  world = label_joints.joints(body, pose, betas) + transl[:, None]
  _compare(world.reshape(frames, 72), expected, finite, gender, path)
  pose, transl = _to_camera(body, pose, betas, transl, camera)
  joints = label_joints.joints(body, pose, betas) + transl[:, None]
  keypoints = _detections(data, path, frames)
  valid &= finite
  return Clip(
    pose=pose,
    betas=betas.astype(np.float32),
    transl=transl,
    joints_camera=joints,
    keypoints_image=keypoints,
    keypoints_detected=True,
    box=_boxes(keypoints, joints, valid, camera.intrinsics),
    intrinsics=camera.intrinsics.astype(np.float32),
    valid=valid,
    fps=FPS,
    gender=gender,
    frame_index=np.arange(frames, dtype=np.int32),
  )


def _to_camera(
  body: smpl.SmplModel,
  pose: Float[np.ndarray, "time 24 3"],
  betas: Float[np.ndarray, "10"],
  transl: Float[np.ndarray, "time 3"],
  camera: _Camera,
) -> tuple[np.ndarray, np.ndarray]:
  """Converts pose and translation from the world's frame to the camera's.

  SMPL turns the body about its pelvis, so that the pelvis of the unposed body has to be
  rotated along with the translation.
  """
  pelvis = np.asarray(body.joint_template[0] + body.joint_shapedirs[0] @ betas)
  root = camera.rotation @ Rotation.from_rotvec(pose[:, 0]).as_matrix()
  turned = Rotation.from_matrix(root).as_rotvec()
  pose = np.concatenate([turned[:, None], pose[:, 1:]], axis=1)
  moved = np.einsum("tij,tj->ti", camera.rotation, pelvis + transl)
  moved += camera.translation - pelvis
  return pose.astype(np.float32), moved.astype(np.float32)


def _detections(
  data: Mapping[str, Any], path: pathlib.Path, frames: int
) -> Float[np.ndarray, "time 17 3"]:
  """The detected keypoints in COCO-17's order; zeros where nothing was detected."""
  detected = data["poses2d"]
  is_list = isinstance(detected, list)
  if detected == [] if is_list else getattr(detected, "size", 1) == 0:
    return np.zeros((frames, 17, 3), np.float32)
  points = read_array(data, path, "poses2d", (frames, 3, 18)).swapaxes(1, 2)
  return formats.to_coco(points.astype(np.float32), "openpose_coco18")


def _boxes(
  keypoints: Float[np.ndarray, "time 17 3"],
  joints_camera: Float[np.ndarray, "time 24 3"],
  valid: Bool[np.ndarray, "time"],
  intrinsics: Float[np.ndarray, "3 3"],
) -> Float[np.ndarray, "time 4"]:
  """Boxes around the keypoints, or else the joints, or else between other frames'."""
  pixels, in_front = pinhole.project_in_front(joints_camera, intrinsics, _MIN_DEPTH)
  score = in_front & valid[:, None]
  points = np.concatenate([pixels, score[..., None]], axis=-1)
  boxes = windows.tight_boxes(keypoints)
  boxes = np.where(boxes.any(-1, keepdims=True), boxes, windows.tight_boxes(points))
  known = np.flatnonzero(boxes.any(-1))
  if len(known):
    frames = np.arange(len(boxes))
    sides = [np.interp(frames, known, boxes[known, side]) for side in range(4)]
    boxes = np.stack(sides, axis=-1)
  return boxes.astype(np.float32)


def _compare(
  joints: Float[np.ndarray, "time 72"],
  expected: Float[np.ndarray, "time 72"],
  finite: Bool[np.ndarray, "time"],
  gender: str,
  path: pathlib.Path,
) -> None:
  """Logs a warning unless the release's joints, in the world's frame, fit the body."""
  if not finite.any():
    return
  gap = np.nanmedian(np.abs(joints - expected)[finite])
  if not gap < _JOINTS_TOLERANCE:
    logging.warning(
      "jointPositions of %s are %.0f mm from the joints of config.body.%s: is that "
      "file the %s body?", path, 1000 * gap, gender, gender,
    )  # fmt: skip
