"""Writes what MediaPipe and rtmlib find, each with its own code, on the tests' images.

  pip install --no-deps mediapipe==1.2.3 rtmlib==0.0.16
  python -m tests.keypoints.detectors.goldens.make WEIGHTS.task VIDEOS

VIDEOS is a folder with taiji.mp4 and runner.mp4. MediaPipe runs on single images, where
it follows nobody and smooths nothing.
"""

import pathlib
import sys
import tempfile

import mediapipe
import numpy as np
import rtmlib
from mediapipe.tasks.python import vision

from tests.keypoints.detectors import images, onnx_models

_FOLDER = pathlib.Path(__file__).parent


def run_mediapipe(weights: pathlib.Path, videos: pathlib.Path) -> dict[str, np.ndarray]:
  options = vision.PoseLandmarkerOptions(
    base_options=mediapipe.tasks.BaseOptions(model_asset_buffer=weights.read_bytes()),
    running_mode=vision.RunningMode.IMAGE,
    num_poses=1,
  )
  landmarks, world = [], []
  with vision.PoseLandmarker.create_from_options(options) as landmarker:
    for frame in images.video_frames(videos):
      image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=frame)
      found = landmarker.detect(image)
      height, width = frame.shape[:2]
      landmarks.append(
        [
          (p.x * width, p.y * height, p.z * width, p.visibility)
          for p in found.pose_landmarks[0]
        ]
      )
      world.append([(p.x, p.y, p.z) for p in found.pose_world_landmarks[0]])
  return {
    "landmarks": np.array(landmarks, np.float32),
    "world_landmarks": np.array(world, np.float32),
  }


def run_rtmlib() -> dict[str, np.ndarray]:
  rows, columns = onnx_models.PEOPLE_ROWS, onnx_models.PEOPLE_COLUMNS
  pose_size = (onnx_models.POSE_COLUMNS, onnx_models.POSE_ROWS)
  found = {}
  with tempfile.TemporaryDirectory() as folder:
    onnx_models.write_pose(f"{folder}/pose.onnx")
    find_points = rtmlib.RTMPose(f"{folder}/pose.onnx", pose_size)
    for kind, tool in (("yolox", rtmlib.YOLOX), ("rtmdet", rtmlib.RTMDet)):
      onnx_models.write_people(f"{folder}/{kind}.onnx", kind)
      find_people = tool(f"{folder}/{kind}.onnx", (rows, columns))
      frame = images.coloured_people(images.SPOTS)
      points, scores = find_points(frame, find_people(frame[..., ::-1]))
      found[kind] = np.append(points, scores[..., None], axis=-1).astype(np.float32)
  return found


if __name__ == "__main__":
  np.savez(_FOLDER / "mediapipe.npz", **run_mediapipe(*map(pathlib.Path, sys.argv[1:])))
  np.savez(_FOLDER / "rtmlib.npz", **run_rtmlib())
