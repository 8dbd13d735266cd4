"""Writes miniature datasets in the layout of the official releases."""

import pathlib

import cv2
import jax
import numpy as np
from scipy.spatial.transform import Rotation

from data_builders.kinetics_pseudo_gt import reader as kinetics_reader
from mhmr_jax.body import smpl
from mhmr_jax.visualize import overlay
from tests.files import python2

# The camera's y is down, so that an upright body is turned about x.
_UPRIGHT = Rotation.from_rotvec([np.pi, 0, 0])
# COCO-17's indices of OpenPose's 18 keypoints; the second one is the neck.
_OPENPOSE = (0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)


def write_bodies(folder: pathlib.Path) -> dict[str, str]:
  """Writes a female body, smaller and wider than the free body, which is the male."""
  with np.load(smpl.FREE_BODY) as data:
    arrays = dict(data)
  arrays["v_template"] = arrays["v_template"] * [1.05, 0.9, 1.0] + [0.0, 0.1, 0.02]
  np.savez(folder / "female.npz", **arrays)
  return {"male": str(smpl.FREE_BODY), "female": str(folder / "female.npz")}


def load_bodies(paths: dict[str, str]) -> dict[str, smpl.SmplModel]:
  return {gender: smpl.load(path) for gender, path in paths.items()}


def _texture(rng, width: int, height: int) -> np.ndarray:
  noise = rng.integers(0, 255, (height + 64, width + 64, 3), dtype=np.uint8)
  return cv2.GaussianBlur(noise, (0, 0), 3)


class Person:
  """One person's world poses in a sequence, seen by its moving camera."""

  def __init__(self, rng, body, rotation, translation, intrinsics, x: float):
    frames = len(rotation)
    self.betas = rng.normal(0, 0.5, 10)
    pose = np.cumsum(rng.normal(0, 0.03, (frames, 24, 3)), axis=0)
    pelvis = np.asarray(body.joint_template[0] + body.joint_shapedirs[0] @ self.betas)
    in_camera = np.stack(
      [x + 0.02 * np.arange(frames), np.full(frames, 0.1), np.full(frames, 3.5)], -1
    )
    # From the camera to the world: the inverse of what the reader does.
    world = rotation.inv()
    root = world * _UPRIGHT * Rotation.from_rotvec(pose[:, 0])
    pose[:, 0] = root.as_rotvec()
    self.pose = pose
    self.transl = world.apply(in_camera - translation) - pelvis
    vertices, joints = _forward(body, pose, self.betas, self.transl)
    self.joints_world = joints
    self.vertices_camera = project(vertices, rotation, translation)
    self.joints_camera = project(joints, rotation, translation)
    points = self.vertices_camera.swapaxes(1, 2) @ np.asarray(body.keypoint_regressor).T
    points = points.swapaxes(1, 2) @ intrinsics.T
    self.keypoints = points[..., :2] / points[..., 2:]


_jitted = jax.jit(smpl.forward)


def _forward(body, pose, betas, transl) -> tuple[np.ndarray, np.ndarray]:
  """Vertices and joints; one compilation for clips of all lengths up to 16."""
  padding = [(0, 16 - len(pose)), (0, 0)]
  arrays = np.pad(pose, [*padding, (0, 0)]), betas, np.pad(transl, padding)
  posed = _jitted(body, *(np.float32(array) for array in arrays))
  return tuple(np.asarray(points)[: len(pose)] for points in posed)


def project(points, rotation, translation) -> np.ndarray:
  """Transforms points from the world to the camera, frame by frame."""
  turned = [R.apply(frame) for R, frame in zip(rotation, points, strict=True)]
  return np.stack(turned) + translation[:, None]


def _poses2d(rng, keypoints: np.ndarray) -> np.ndarray:
  """Keypoints in 3DPW's form of OpenPose's, [N, 3, 18]."""
  points = np.zeros((len(keypoints), 18, 3))
  for row, source in enumerate(_OPENPOSE):
    middle = keypoints[:, 5:7].mean(1) if source is None else keypoints[:, source]
    points[:, row, :2] = middle
  points[..., 2] = rng.uniform(0.3, 1, points.shape[:2])
  return points.swapaxes(1, 2)


def write_sequence(
  root: pathlib.Path,
  split: str,
  name: str,
  bodies: dict[str, smpl.SmplModel],
  genders: str,
  frames: int,
  size: tuple[int, int] = (160, 120),
) -> tuple[dict, list[Person]]:
  """Writes a sequence of 3DPW; returns its pickle's content, and its people."""
  rng = np.random.default_rng(list(name.encode()))
  width, height = size
  intrinsics = np.array([[150.0, 0, width / 2], [0, 148, height / 2], [0, 0, 1]])
  turn = np.cumsum(rng.normal(0, 0.01, (frames, 3)), axis=0) + rng.normal(size=3)
  rotation = Rotation.from_rotvec(turn)
  translation = rng.normal(0, 2, 3) + np.cumsum(rng.normal(0, 0.02, (frames, 3)), 0)
  people = [
    Person(
      rng, bodies[{"m": "male", "f": "female"}[gender]], rotation, translation,
      intrinsics, 0.4 * index - 0.2,
    )
    for index, gender in enumerate(genders)
  ]  # fmt: skip
  cam_poses = np.tile(np.eye(4), (frames, 1, 1))
  cam_poses[:, :3, :3] = rotation.as_matrix()
  cam_poses[:, :3, 3] = translation
  data = {
    "sequence": name,
    "betas": [np.append(p.betas, rng.normal(size=290 * (i % 2))) for i, p in
              enumerate(people)],
    "poses": [p.pose.reshape(frames, 72) for p in people],
    "trans": [p.transl for p in people],
    "poses_60Hz": [np.repeat(p.pose.reshape(frames, 72), 2, 0) for p in people],
    "trans_60Hz": [np.repeat(p.transl, 2, 0) for p in people],
    "betas_clothed": [p.betas for p in people],
    "v_template_clothed": [np.zeros((20, 3)) for _ in people],
    "genders": list(genders),
    "texture_maps": [np.zeros((4, 4, 3), np.uint8) for _ in people],
    "poses2d": [_poses2d(rng, p.keypoints) for p in people],
    "jointPositions": [p.joints_world.reshape(frames, 72) for p in people],
    "img_frame_ids": np.arange(frames) * 2,
    "cam_poses": cam_poses,
    "campose_valid": [np.ones(frames, np.int64) for _ in people],
    "cam_intrinsics": intrinsics,
  }  # fmt: skip
  folder = root / "imageFiles" / name
  folder.mkdir(parents=True)
  texture = _texture(rng, width, height)
  for frame in range(frames):
    image = np.ascontiguousarray(texture[:height, frame % 64 : frame % 64 + width])
    for person in people:
      points = np.insert(person.keypoints[frame], 2, 1, axis=-1)
      image = overlay.draw_skeleton(image, points)
    cv2.imwrite(str(folder / f"image_{frame:05d}.jpg"), image[..., ::-1])
  path = root / "sequenceFiles" / split / f"{name}.pkl"
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(python2.dumps(data))
  return data, people


def rewrite(root: pathlib.Path, split: str, data: dict) -> pathlib.Path:
  """Replaces a sequence's pickle by a changed one."""
  path = root / "sequenceFiles" / split / f"{data['sequence']}.pkl"
  path.write_bytes(python2.dumps(data))
  return path


def write_threedpw(root: pathlib.Path, bodies: dict[str, smpl.SmplModel]) -> None:
  """Writes all splits, with one or two people, invalid cameras, missing detections."""
  write_sequence(root, "train", "park_walk_00", bodies, "m", 9)
  write_sequence(root, "validation", "stairs_up_00", bodies, "f", 7)
  data, _ = write_sequence(root, "test", "downtown_talk_00", bodies, "mf", 13)
  data["campose_valid"][0][[2, 7]] = 0
  data["poses2d"][1][4:6] = 0
  rewrite(root, "test", data)
  data, _ = write_sequence(
    root, "test", "flat_alone_01", bodies, "f", 6, size=(120, 160)
  )
  data["poses2d"] = [np.array([])]
  rewrite(root, "test", data)


FPS = 25.0
CLIP = "a_Bc-1234xY"


def kinetics_labels(
  rng, body: smpl.SmplModel, regressor: np.ndarray, frames: list[int], start: float
) -> dict:
  """Returns labels, as in a pickle, of a person who walks to the right."""
  count = len(frames)
  pose = np.tile(np.cumsum(rng.normal(0, 0.02, (24, 3)), 0), (count, 1, 1))
  pose[:, 0] = (_UPRIGHT * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
  betas = rng.normal(0, 0.5, 10)
  vertices, _ = _forward(body, pose, betas, np.zeros((count, 3)))
  points = np.einsum("vk,tvc->tkc", regressor, vertices)
  camera = np.stack(
    [np.full(count, 0.4), 1.2 + 0.02 * np.array(frames), np.full(count, 1.25)], axis=-1
  )
  return {
    "time": start + np.array(frames) / FPS,
    "smpl_shape": np.tile(betas, (count, 1)),
    "smpl_pose": pose.reshape(count, 72),
    "3d_keypoints": points,
    "2d_keypoints": camera[:, None, :1] * (points[..., :2] + camera[:, None, 1:]),
    "cameras": camera,
  }


def write_video(path: pathlib.Path, frames: int, size: tuple[int, int]) -> None:
  """Writes a textured video whose frame i has a mean brightness of 40 + 6 i."""
  rng = np.random.default_rng(frames)
  texture = _texture(rng, *size)[: size[1], : size[0]].astype(int) // 8 - 16
  path.parent.mkdir(parents=True, exist_ok=True)
  writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), FPS, size)
  for frame in range(frames):
    writer.write(np.uint8(np.clip(texture + 40 + 6 * frame, 0, 255)))
  writer.release()


def regressor_19(body: smpl.SmplModel) -> np.ndarray:
  """Returns a regressor [V, 19] of COCO's keypoints, the neck and the head's top."""
  regressor = np.zeros((len(body.v_template), kinetics_reader.NUM_KEYPOINTS))
  regressor[:, list(kinetics_reader.COCO_FROM_19)] = np.asarray(
    body.keypoint_regressor
  ).T
  regressor[np.arange(2), [12, 13]] = 1
  return regressor


def write_kinetics(root: pathlib.Path, body: smpl.SmplModel) -> dict[str, str]:
  """Writes three clips with videos, and one without; returns the config's paths."""
  rng = np.random.default_rng(5)
  labels, videos = root / "labels", root / "videos"
  labels.mkdir(parents=True)
  regressor = regressor_19(body)
  (root / "custom_joint_regressor.pkl").write_bytes(python2.dumps(regressor))
  labelled = {
    f"{CLIP}_12_22": [3, 4, 5, 6, 7, 11, 12, 13],
    "zzz_7_3_13": list(range(10)),
    "third_000001_000011": list(range(2, 12)),
    "gone_0_10": [0, 1, 2],
  }
  for name, frames in labelled.items():
    # The labels' and the frames' clocks need not agree exactly.
    data = kinetics_labels(rng, body, regressor, frames, start=0.008)
    (labels / f"{name}.pkl").write_bytes(python2.dumps(data))
  write_video(videos / "juggling" / f"{CLIP}_000012_000022.mp4", 20, (160, 120))
  write_video(videos / "zzz_7_3_13.mp4", 12, (96, 128))
  write_video(videos / "third_1_11.mp4", 14, (160, 120))
  return {
    "kinetics.pseudo_gt": str(labels),
    "kinetics.dir": str(videos),
    "kinetics.regressor": str(root / "custom_joint_regressor.pkl"),
    "body.path": str(smpl.FREE_BODY),
  }
