"""Made-up people before a tilted camera, and the world that they move in."""

from typing import NamedTuple

import jax
import numpy as np
from scipy.spatial.transform import Rotation

from mhmr_jax.body import smpl
from mhmr_jax.inference.seen_motion import SeenMotion
from mhmr_jax.motion import bank, procedural

_joints = jax.jit(smpl.joints)
# A camera that is level and looks along the world's -z.
_LEVEL = np.diag([1.0, -1.0, -1.0])


class Scene(NamedTuple):
  """A person in the world (y up, feet on the floor at 0), and as the camera sees them.

  Attributes:
    seen: without noise; `gravity` and `standing` are the true ones.
    joints_world: the true joints, metres.
    turn: the rotation from the world to the camera.
    centre: the camera's place in the world.
  """

  seen: SeenMotion
  joints_world: np.ndarray
  turn: np.ndarray
  centre: np.ndarray


def camera(pitch=0.0, roll=0.0):
  """The rotation from the world to a camera that looks down by `pitch`; degrees."""
  tilt = Rotation.from_euler("xz", [pitch, roll], degrees=True).as_matrix()
  return tilt @ _LEVEL


def scene(body, seed=0, frames=90, turn=None, height=1.5, distance=4.0, fps=30.0):
  """A procedural motion in the middle of the camera's level field of view."""
  sequence = procedural.generate(seed, frames, fps)
  shape = np.zeros((frames, 10), np.float32)
  joints = np.asarray(_joints(body, sequence.pose, shape, sequence.transl))
  rest = np.asarray(body.joint_template)
  vertices = np.asarray(body.v_template)[:, 1]
  ball = rest[10, 1] - vertices.min()
  floor = joints[:, [10, 11], 1].min() - ball
  middle = joints[:, 0].mean(axis=0)
  joints = joints - [middle[0], floor, middle[2]]
  turn = camera() if turn is None else turn
  centre = np.array([0, height, distance])
  pose = sequence.pose.copy()
  own = Rotation.from_matrix(turn) * Rotation.from_rotvec(pose[:, 0])
  pose[:, 0] = own.as_rotvec()
  joints_camera = (joints - centre) @ turn.T
  matrices = Rotation.from_rotvec(sequence.pose.reshape(-1, 3)).as_matrix()
  standing = bank.standing_feet(matrices.reshape(frames, 24, 3, 3), joints[:, 0], fps)
  seen = SeenMotion(
    times=np.arange(frames) / fps,
    pose=pose,
    betas=shape,
    transl_camera=(joints_camera[:, 0] - rest[0]).astype(np.float32),
    joints_camera=joints_camera.astype(np.float32),
    gravity=np.tile(turn @ [0, -1, 0], (frames, 1)).astype(np.float32),
    standing=standing.astype(np.float32),
  )
  return Scene(seen, joints, turn, centre)
