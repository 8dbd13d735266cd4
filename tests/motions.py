"""People's motions in a video, made up for tests of what reads `schema.Motion`."""

import jax
import numpy as np

from mhmr_jax.body import smpl
from mhmr_jax.geometry import pinhole, rotations
from mhmr_jax.motion import procedural
from mhmr_jax.schema import Motion

# The camera's axes are the world's, turned by half a turn about x.
_CAMERA_FROM_WORLD = np.diag([1.0, -1.0, -1.0])
_CAMERA_HEIGHT, _DISTANCE = 1.2, 4.0  # m.
_joints = jax.jit(smpl.joints)
_to_matrix = jax.jit(rotations.axis_angle_to_matrix)
_to_axis_angle = jax.jit(rotations.matrix_to_axis_angle)


def walking(
  body: smpl.SmplModel, seed: int = 0, frames: int = 40, fps: float = 30.0
) -> Motion:
  """A procedural motion before a level camera, without noise: all fields agree."""
  rng = np.random.default_rng(seed)
  size = (640, 480)
  sequence = procedural.generate(seed, frames, fps)
  betas = rng.normal(0, 0.5, 10).astype(np.float32)
  shape = np.broadcast_to(betas, (frames, 10))
  place = lambda transl: np.asarray(_joints(body, sequence.pose, shape, transl))
  joints = place(sequence.transl)
  transl = sequence.transl - [0, joints[..., 1].min(), 0] + [seed * 1.0, 0, 0]
  joints = place(transl)
  root = joints[:, 0] - transl  # The pelvis, in the rest pose.

  camera_centre = np.array([0, _CAMERA_HEIGHT, _DISTANCE])
  joints_camera = (joints - camera_centre) @ _CAMERA_FROM_WORLD.T
  pose_camera = sequence.pose.copy()
  matrix = np.asarray(_to_matrix(sequence.pose[:, 0]))
  pose_camera[:, 0] = _to_axis_angle(_CAMERA_FROM_WORLD @ matrix)
  intrinsics = pinhole.centred_intrinsics(*size)
  keypoints = pinhole.project(joints_camera, intrinsics)
  found = rng.uniform(100, 300, (frames, 17, 3))
  found[..., 2] = rng.uniform(0.3, 1, (frames, 17))
  motion = Motion(
    person=seed,
    frame_index=np.arange(frames) + 3,
    times=(np.arange(frames) + 3) / fps,
    fps=fps,
    image_size=np.array(size),
    intrinsics=intrinsics,
    body="free",
    detected=np.arange(frames) % 9 > 0,
    keypoints_found=found,
    swapped=np.arange(frames)[:, None] // 5 % 3 == [0, 1],
    confidence=rng.uniform(0.2, 1, frames),
    pose=pose_camera,
    betas=shape,
    camera=np.tile([0.9, 0, 0], (frames, 1)),
    box=np.tile([100.0, 50, 400, 350], (frames, 1)),
    transl_camera=joints_camera[:, 0] - root,
    joints_camera=joints_camera,
    keypoints_image=keypoints,
    gravity_camera=np.tile([0.0, 1, 0], (frames, 1)),
    camera_motion="static",
    pose_world=sequence.pose,
    transl_world=transl,
    joints_world=joints,
    contacts=(np.arange(frames)[:, None] // 8 % 2 == [0, 1]).astype(float),
  )
  columns = jax.tree.map(np.asarray, motion._asdict())
  floats = {
    name: value.astype(np.float32)
    for name, value in columns.items()
    if value.dtype == np.float64 and name not in ("times", "fps")
  }
  return motion._replace(**floats)
