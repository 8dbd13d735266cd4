"""MediaPipe's own 3D pose, `pose_world_landmarks`, of one person in a video."""

import json
import pathlib

import numpy as np
from jaxtyping import Float

from mhmr_jax.body.joints import COCO_KEYPOINTS
from mhmr_jax.files import atomic, npz, video
from mhmr_jax.keypoints import detection_cache
from mhmr_jax.keypoints.detectors import mediapipe_pose
from mhmr_jax.keypoints.tracking import Track
from tests.benchmarks.limb_errors import LIMB_JOINTS

_LIMBS = [mediapipe_pose.COCO_LANDMARKS[COCO_KEYPOINTS.index(n)] for n in LIMB_JOINTS]


def read(
  video_path: pathlib.Path, track: Track, weights: pathlib.Path | None
) -> Float[np.ndarray, "frames 12 3"]:
  """The person's LIMB_JOINTS in space, from a file beside the video if possible.

  Args:
    video_path: the video file.
    track: tells the person by where MediaPipe itself saw them in the image.
    weights: the .task file; None: MediaPipe's own are downloaded.

  Returns:
    Metres, from the middle of the hips, in the track's frames; NaN where nobody is
    found.

  Raises:
    InputError: as `keypoints.detection.detect`.
  """
  adapter = mediapipe_pose
  used = adapter.DEFAULT_WEIGHTS if weights is None else adapter.weight_files(weights)
  origin = detection_cache.source(video_path, "mediapipe", used)
  origin |= {"first_box": str(track.keypoints[0, :, :2].round().tolist())}
  path = video_path.with_name(f"{video_path.name}.world_landmarks.npz")
  if path.is_file():
    stored = npz.read_npz(path, ("source", "joints"))
    if json.loads(str(stored["source"])) == origin:
      return stored["joints"]
  joints = _find(video_path, track, weights)
  with atomic.whole(path) as partial:
    np.savez_compressed(partial, joints=joints, source=np.array(json.dumps(origin)))
  return joints


def _find(
  video_path: pathlib.Path, track: Track, weights: pathlib.Path | None
) -> Float[np.ndarray, "frames 12 3"]:
  fps = video.probe(video_path).fps
  wanted = dict(zip(track.frame_index.tolist(), track.keypoints, strict=True))
  joints = np.full((len(wanted), len(_LIMBS), 3), np.nan, np.float32)
  rows = iter(joints)
  find = mediapipe_pose.open_landmarker(weights)
  for number, frame in enumerate(video.read_frames(video_path)):
    found = find(frame, number / fps)
    if number not in wanted:
      continue
    row = next(rows)
    people = mediapipe_pose.coco_keypoints(found)
    if len(people):
      away = np.linalg.norm(people[..., :2] - wanted[number][:, :2], axis=-1)
      row[:] = found[int(away.mean(axis=-1).argmin())].world_landmarks[_LIMBS]
  return joints
