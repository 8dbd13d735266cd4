import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.body.joints import COCO_KEYPOINTS, SMPL_JOINTS
from mhmr_jax.geometry import pinhole
from mhmr_jax.synth import render, skinning, visibility

SIZE = 160
K = np.array([[200, 0, 80], [0, 200, 80], [0, 0, 1]], np.float32)


@pytest.fixture(scope="module")
def body():
  return skinning.load()


@pytest.fixture(scope="module")
def mesh(body):
  return render.Mesh(body.faces)


def _seen(body, mesh, yaw: float = 0.0, transl=(0.0, 0.0, 3.2), **turns):
  """Names of the joints and keypoints seen of a body that faces the camera.

  Args:
    yaw: radians that the body turns by, about its long axis.
    transl: where its belly is, in the camera's frame.
    turns: joints' axis-angle rotations, by name.
  """
  pose = np.zeros((1, 24, 3), np.float32)
  # Half a turn about x: y down, and facing the camera.
  pose[0, 0] = _compose([np.pi, 0, 0], [0, yaw, 0])
  for name, turn in turns.items():
    pose[0, SMPL_JOINTS.index(name)] = turn
  betas = np.zeros(10, np.float32)
  pelvis = np.array([transl], np.float32) + np.array([0, 0.25, 0], np.float32)
  posed = body.pose(pose, betas, pelvis - body.rest_joints(betas)[0])
  vertices, joints = posed.vertices[0], posed.joints[0]
  depth, part = np.full((SIZE, SIZE), np.inf), np.zeros((SIZE, SIZE), int)
  fragments = mesh.rasterise(vertices, K, (SIZE, SIZE))
  if fragments is not None:
    centres = fragments.centres()
    (seen,) = centres.interpolate([vertices[:, 2]])
    depth[fragments.window.slices][centres.row, centres.column] = seen
    part[fragments.window.slices][centres.row, centres.column] = body.part[
      centres.nearest()
    ]
  buffer = visibility.DepthBuffer(depth, part)
  rule = visibility.joint_rule(body)
  keypoints = body.keypoint_regressor @ vertices
  points_rule = visibility.keypoint_rule(rule)
  visible = rule.visible(joints, pinhole.project(joints, K), buffer)
  keypoints_visible = points_rule.visible(
    keypoints, pinhole.project(keypoints, K), buffer
  )
  return (
    {SMPL_JOINTS[i] for i in np.flatnonzero(visible)},
    {COCO_KEYPOINTS[i] for i in np.flatnonzero(keypoints_visible)},
  )


def _compose(first, second):
  return (Rotation.from_rotvec(first) * Rotation.from_rotvec(second)).as_rotvec()


def test_all_is_seen_from_the_front(body, mesh):
  joints, keypoints = _seen(body, mesh)
  assert joints == set(SMPL_JOINTS)
  assert {"nose", "left_eye", "right_eye"} <= keypoints


def test_from_behind_all_but_the_face(body, mesh):
  joints, keypoints = _seen(body, mesh, yaw=np.pi)
  assert joints == set(SMPL_JOINTS)
  assert not {"nose", "left_eye", "right_eye"} & keypoints
  assert {"left_shoulder", "right_hip", "left_wrist"} <= keypoints


# Down from the T-pose: about z, the left arm's turn is negative.
ARMS_DOWN = {
  "left_shoulder": [0, 0, -1.3], "right_shoulder": [0, 0, 1.3],
}  # fmt: skip


@pytest.mark.parametrize(
  ("yaw", "far", "near"), [(1.57, "left", "right"), (-1.57, "right", "left")]
)
def test_from_the_side_the_trunk_hides_the_far_arm(body, mesh, yaw, far, near):
  # A body that faces the camera and turns its front to the image's right shows its
  # right side.
  joints, _ = _seen(body, mesh, yaw=yaw, **ARMS_DOWN)
  hidden = {f"{far}_{name}" for name in ("shoulder", "elbow")}
  shown = {f"{near}_{name}" for name in ("shoulder", "elbow", "wrist", "knee")}
  assert not joints & hidden
  assert shown <= joints


def test_an_arm_behind_the_back_is_hidden_from_the_front_only(body, mesh):
  # The left upper arm down and back, the forearm across the back.
  turns = {
    "left_shoulder": _compose([0.6, 0, 0], _compose([0, 0, -1.2], [-1.3, 0, 0])),
    "left_elbow": [0, 1.6, 0],
  }
  front, keypoints = _seen(body, mesh, **turns)
  back, _ = _seen(body, mesh, yaw=np.pi, **turns)
  assert not front & {"left_wrist", "left_hand"}
  assert "left_wrist" not in keypoints
  assert {"left_wrist", "left_elbow"} <= back


def test_what_hides_a_joint_is_depth_and_whose_surface_it_is():
  rule = visibility.VisibilityRule(np.array([0.1]), np.eye(1, 24, 18, dtype=bool))
  point, pixel = np.array([[0, 0, 3.0]]), np.array([[2.5, 1.5]])

  def seen(depth: float, part: int, pixel=pixel, point=point) -> bool:
    buffer = visibility.DepthBuffer(np.full((4, 4), np.inf), np.full((4, 4), 9))
    buffer.depth[1, 2], buffer.part[1, 2] = depth, part
    return bool(rule.visible(point, pixel, buffer)[0])

  assert seen(2.95, 9)  # Just under the surface.
  assert not seen(2.85, 9)  # Deeper than the limb is thick.
  assert seen(2.5, 18)  # The limb's own end.
  assert seen(np.inf, 0)
  assert not seen(2.95, 9, pixel=np.array([[-0.1, 1.5]]))
  assert not seen(2.95, 9, pixel=np.array([[4.0, 1.5]]))
  assert not seen(2.95, 9, point=-point)


def test_outside_the_frame_is_not_seen(body, mesh):
  joints, keypoints = _seen(body, mesh, transl=(0.0, 0.9, 1.6))
  assert {"left_knee", "left_ankle", "right_foot"}.isdisjoint(joints)
  assert "left_ankle" not in keypoints
  assert "head" in joints
  assert _seen(body, mesh, transl=(9.0, 0.0, 3.2)) == (set(), set())
