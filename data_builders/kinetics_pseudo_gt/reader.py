"""Reads Temporal-3D-Pose-Kinetics: SMPL fitted to the people of Kinetics videos.

Arnab, Doersch & Zisserman, "Exploiting temporal context for 3D human pose estimation
in the wild" (CVPR 2019). A frame has labels of one person at most, and none where the
fit has failed.
"""

import pathlib
import re
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from data_builders import video_files
from data_builders.cutout import Cutout
from mhmr_jax.body import label_joints, smpl
from mhmr_jax.body.joints import COCO_KEYPOINTS, COCOPLUS_JOINTS
from mhmr_jax.errors import InputError
from mhmr_jax.files import video
from mhmr_jax.files.arrays import read_array
from mhmr_jax.files.pickles import restricted_load
from mhmr_jax.geometry import weak_perspective, windows
from mhmr_jax.schema import Clip

NUM_KEYPOINTS = len(COCOPLUS_JOINTS)
# Indices of COCO-17's keypoints among the labels' 19.
COCO_FROM_19 = tuple(COCOPLUS_JOINTS.index(name) for name in COCO_KEYPOINTS)
# The largest distance of 2D labels from the body's projection, in sizes of the person:
# with the labels' own regressor (True), and with the body's keypoints (False).
_TOLERANCE = {True: 0.1, False: 0.3}


class ClipName(NamedTuple):
  """A part of a YouTube video. File names may pad its seconds with zeros."""

  video: str
  start: int
  end: int

  @classmethod
  def of(cls, path: pathlib.Path) -> "ClipName | None":
    """Parses a file name `<id>_<start>_<end>`; returns None for other names."""
    match = re.fullmatch(r"(.+)_(\d{1,9})_(\d{1,9})", path.stem)
    return None if match is None else cls(match[1], int(match[2]), int(match[3]))

  def __str__(self) -> str:
    return f"{self.video}_{self.start}_{self.end}"


class Labels(NamedTuple):
  """One pickle's labels; its camera frame is the same as ours."""

  time: Float[np.ndarray, "labels"]  # Seconds from the clip's start.
  pose: Float[np.ndarray, "labels 24 3"]
  betas: Float[np.ndarray, "10"]  # The median, as a person has one shape.
  # [s, tx, ty]: s (xy + t) is in image heights, for both x and y.
  camera: Float[np.ndarray, "labels 3"]
  keypoints: Float[np.ndarray, "labels 19 2"]  # In image heights, both x and y.


def find(
  folder: pathlib.Path, suffixes: tuple[str, ...]
) -> dict[ClipName, pathlib.Path]:
  """Finds the clips' files below a folder, at any depth."""
  files: dict[ClipName, pathlib.Path] = {}
  for path in video_files.below(folder, suffixes):
    clip = ClipName.of(path)
    if clip is not None:
      files.setdefault(clip, path)
  return files


def find_labels(folder: pathlib.Path) -> dict[ClipName, pathlib.Path]:
  """Finds the pickles below a folder."""
  return find(folder, (".pkl",))


def find_videos(folder: pathlib.Path) -> dict[ClipName, pathlib.Path]:
  """Finds the videos below a folder."""
  return find(folder, video_files.SUFFIXES)


def read_labels(path: pathlib.Path) -> Labels:
  """Reads one pickle.

  Raises:
    InputError: the file is damaged, hostile or of another form.
  """
  data = restricted_load(path)
  if not isinstance(data, dict):
    raise InputError(f"{path} does not hold a dict: it is not one of the labels")
  time = read_array(data, path, "time", (None,))
  count = len(time)
  # The release's README calls it `cameras`, and its program reads `camera`.
  camera = "camera" if "camera" in data else "cameras"
  if not count or (time < 0).any():
    raise InputError(f"time of {path} is empty or negative")
  return Labels(
    time=time,
    pose=read_array(data, path, "smpl_pose", (count, 72)).reshape(count, 24, 3),
    betas=np.median(read_array(data, path, "smpl_shape", (count, 10)), axis=0),
    camera=read_array(data, path, camera, (count, 3)),
    keypoints=read_array(data, path, "2d_keypoints", (count, NUM_KEYPOINTS, 2)),
  )


def read_regressor(
  path: pathlib.Path, body: smpl.SmplModel
) -> Float[np.ndarray, "17 V"]:
  """Reads the labels' own joint regressor; its rows are put in COCO-17's order.

  Raises:
    InputError: the file is damaged, hostile, or made for another mesh.
  """
  vertices = len(body.v_template)
  value = {"the regressor": restricted_load(path)}
  regressor = read_array(value, path, "the regressor", (vertices, NUM_KEYPOINTS))
  return regressor.T[list(COCO_FROM_19)]


class LabelBody(NamedTuple):
  """The body model by which labels become joints and keypoints.

  Attributes:
    model: the neutral body, which the labels are for.
    points: the body restricted to the vertices that its keypoints depend on.
    exact: whether the keypoints come from the labels' own regressor.
  """

  model: smpl.SmplModel
  points: smpl.SmplModel
  exact: bool

  @classmethod
  def load(cls, body_path: str, regressor_path: str) -> "LabelBody":
    """Reads both files; without a regressor's path, the body's keypoints are used."""
    body = smpl.load(body_path)
    regressor = np.asarray(body.keypoint_regressor)
    if regressor_path:
      regressor = read_regressor(pathlib.Path(regressor_path), body)
    return cls(body, smpl.restrict(body, regressor), bool(regressor_path))


def read_clip(
  name: ClipName,
  label_path: pathlib.Path,
  video_path: pathlib.Path,
  body: LabelBody,
  min_frames: int,
  size: int,
) -> Clip:
  """Reads one clip, with its frames cut out around the person.

  Args:
    name: the clip.
    label_path: its pickle.
    video_path: its video.
    body: the body that the labels are for.
    min_frames: shorter clips are refused.
    size: at least so many pixels of the person's longer side are kept, where the video
      has them.

  Raises:
    InputError: a file cannot be read, or the two do not belong together.
  """
  labels = read_labels(label_path)
  _check_projection(labels, body, label_path)
  times = video.probe(video_path).times
  number = _nearest(times, labels.time)
  # Labels after the video's end belong to another video.
  inside = labels.time <= times[-1] + video_files.spacing(times)
  if not inside.any():
    raise InputError(f"{video_path} ends before the first label of {label_path}")
  grid, slot, chosen = _grid(number[inside], times)
  if len(grid) < min_frames:
    raise InputError(f"{name} has {len(grid)} frames, fewer than {min_frames}")
  chosen = np.flatnonzero(inside)[chosen]
  image_size = next(video_files.frames(video_path, grid)).shape[1::-1]
  clip = _labelled(labels, body, slot, chosen, len(grid), image_size)
  boxes = windows.tight_boxes(clip["keypoints_image"])
  cutout = Cutout.around(boxes, image_size, size)
  frames = video_files.frames(video_path, grid)
  clip["frames"] = [cutout.jpeg(frame) for frame in frames]
  if len(clip["frames"]) < len(grid):
    raise InputError(f"{video_path} is damaged: not all its frames can be decoded")
  clip["keypoints_image"] = cutout.keypoints(clip["keypoints_image"])
  clip["camera_image"] = cutout.camera(clip["camera_image"])
  clip["frame_index"] = grid.astype(np.int32)
  clip["fps"] = float((len(grid) - 1) / (times[grid[-1]] - times[grid[0]]))
  clip["sequence"] = str(name)
  return clip


def _nearest(
  times: Float[np.ndarray, "frames"], wanted: Float[np.ndarray, "labels"]
) -> Int[np.ndarray, "labels"]:
  """Returns the number of the frame that is nearest in time to each label."""
  after = np.clip(np.searchsorted(times, wanted), 1, max(len(times) - 1, 1))
  after = np.minimum(after, len(times) - 1)
  before = np.maximum(after - 1, 0)
  return np.where(wanted - times[before] <= times[after] - wanted, before, after)


def _grid(
  number: Int[np.ndarray, "labels"], times: Float[np.ndarray, "frames"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Chooses evenly spaced frames from the first label to the last, at most 30 a second.

  Args:
    number: the frame of each label.
    times: seconds of all frames.

  Returns:
    The numbers of the chosen frames; the index in them of each label that falls on one;
    and the indices of these labels.
  """
  gaps = np.diff(np.unique(number))
  step = video_files.step(times)
  if len(gaps):
    step = max(step, int(np.median(gaps)))
  grid = np.arange(number.min(), number.max() + 1, step)
  slot = (number - grid[0]) // step
  on_grid = np.flatnonzero(number == grid[slot])
  # The first of two labels for one frame is used.
  slots, first = np.unique(slot[on_grid], return_index=True)
  return grid, slots, on_grid[first]


def _labelled(
  labels: Labels,
  body: LabelBody,
  slot: Int[np.ndarray, "labelled"],
  chosen: Int[np.ndarray, "labelled"],
  frames: int,
  image_size: tuple[int, int],
) -> Clip:
  """Converts labels to a clip without frames, in the whole image's pixels.

  Frames without a label are zeros.

  Args:
    labels: all labels of the clip.
    body: the body that they are for.
    slot: the frame of each chosen label.
    chosen: the labels to use.
    frames: frames of the clip.
    image_size: width and height of the video, pixels.
  """
  width, height = image_size
  pose = labels.pose[chosen].astype(np.float32)
  betas = labels.betas.astype(np.float32)
  joints = label_joints.joints(body.model, pose, betas)
  camera = labels.camera[chosen]
  # The labels' camera is for SMPL's own origin, ours for joints relative to the pelvis.
  shifted = camera[:, 1:] + joints[:, 0, :2]
  points = labels.keypoints[chosen][:, list(COCO_FROM_19)] * height
  inside = ((points >= 0) & (points < [width, height])).all(-1, keepdims=True)

  def spread(values: np.ndarray) -> np.ndarray:
    rows = np.zeros((frames, *values.shape[1:]), np.float32)
    rows[slot] = values
    return rows

  valid = np.zeros(frames, bool)
  valid[slot] = True
  return Clip(
    pose=spread(pose),
    betas=betas,
    joints_camera=spread(joints - joints[:, :1]),
    keypoints_image=spread(np.append(points, inside, axis=-1)),
    keypoints_detected=False,
    camera_image=spread(np.append(camera[:, :1] * height, shifted, axis=-1)),
    valid=valid,
    gender="neutral",
  )


def _check_projection(labels: Labels, body: LabelBody, path: pathlib.Path) -> None:
  """Raises InputError unless pose, shape and camera give the labels' 2D keypoints."""
  points = label_joints.regressed(body.points, labels.pose, labels.betas)
  projected = weak_perspective.project(points, labels.camera)
  expected = labels.keypoints[:, list(COCO_FROM_19)]
  size = max(float(np.ptp(expected, axis=1).max(-1).mean()), 1e-6)
  gap = float(np.median(np.linalg.norm(projected - expected, axis=-1))) / size
  if not gap < _TOLERANCE[body.exact]:
    raise InputError(
      f"2d_keypoints of {path} are {gap:.2f} of the person's size from where its pose, "
      "shape and cameras put them"
    )
