"""Properties of the joint orders; mirroring twice is the identity."""

import numpy as np

from mhmr_jax.body import joints


def test_parents_come_before_children():
  assert all(parent < child for parent, child in joints.SMPL_BONES)
  assert len(joints.SMPL_JOINTS) == len(joints.SMPL_PARENTS) == 24


def test_flips_swap_left_and_right_and_undo_themselves():
  for names, flip in (
    (joints.SMPL_JOINTS, joints.SMPL_FLIP),
    (joints.COCO_KEYPOINTS, joints.COCO_FLIP),
  ):
    assert [flip[i] for i in flip] == list(range(len(names)))
    for index, other in enumerate(flip):
      swapped = names[index].replace("left", "RIGHT").replace("right", "left")
      assert names[other] == swapped.replace("RIGHT", "right")


def test_the_limbs_keypoints_are_joints_of_the_same_name():
  assert sorted(joints.COCO_FROM_SMPL) == list(range(5, 17))
  for keypoint, joint in joints.COCO_FROM_SMPL.items():
    assert joints.COCO_KEYPOINTS[keypoint] == joints.SMPL_JOINTS[joint]


def test_coco_bones_are_their_own_mirror():
  bones = {frozenset(bone) for bone in joints.COCO_BONES}
  mirrored = {frozenset(joints.COCO_FLIP[i] for i in bone) for bone in bones}
  assert bones == mirrored


def test_flip_pose_twice_is_the_pose():
  pose = np.random.default_rng(0).normal(size=(2, 5, 24, 3)).astype(np.float32)
  flipped = joints.flip_pose(pose)
  np.testing.assert_array_equal(joints.flip_pose(flipped), pose)
  np.testing.assert_array_equal(flipped[..., 1, :], pose[..., 2, :] * [1, -1, -1])


def test_common_joints_are_the_published_rows_of_h36m():
  published = (6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10)
  assert published == joints.H36M_TO_J14
  assert len(joints.COCOPLUS_JOINTS) == 19
