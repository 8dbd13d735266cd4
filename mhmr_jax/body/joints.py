"""Joint and keypoint orders, their bones, and their left-right counterparts."""

import numpy as np
from jaxtyping import Float

SMPL_JOINTS = (
  "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2",
  "left_ankle", "right_ankle", "spine3", "left_foot", "right_foot", "neck",
  "left_collar", "right_collar", "head", "left_shoulder", "right_shoulder",
  "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
)  # fmt: skip
SMPL_PARENTS = (
  -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21,
)  # fmt: skip
COCO_KEYPOINTS = (
  "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder",
  "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
  "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip

# The joints of HMR; the first 14, LSP's, are what papers call the common joints.
COCOPLUS_JOINTS = (
  "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
  "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow",
  "left_wrist", "neck", "head_top", "nose", "left_eye", "right_eye", "left_ear",
  "right_ear",
)  # fmt: skip
COMMON_JOINTS = COCOPLUS_JOINTS[:14]
# The rows of SPIN's J_regressor_h36m.
H36M_JOINTS = (
  "pelvis", "left_hip", "left_knee", "left_ankle", "right_hip", "right_knee",
  "right_ankle", "spine", "neck", "jaw", "head_top", "left_shoulder", "left_elbow",
  "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
)  # fmt: skip
H36M_TO_J14 = tuple(H36M_JOINTS.index(name) for name in COMMON_JOINTS)


def _mirrored(names: tuple[str, ...]) -> tuple[int, ...]:
  swap = {"left": "right", "right": "left"}
  other = ["_".join(swap.get(word, word) for word in n.split("_")) for n in names]
  return tuple(names.index(name) for name in other)


SMPL_FLIP = _mirrored(SMPL_JOINTS)
COCO_FLIP = _mirrored(COCO_KEYPOINTS)

# For each COCO keypoint that is also a joint of SMPL: that joint's index.
COCO_FROM_SMPL = {
  index: SMPL_JOINTS.index(name)
  for index, name in enumerate(COCO_KEYPOINTS)
  if name in SMPL_JOINTS
}

SMPL_BONES = tuple((SMPL_PARENTS[child], child) for child in range(1, 24))
COCO_BONES = (
  (0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10),
  (5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16),
)  # fmt: skip


def flip_pose(
  pose: Float[np.ndarray, "*batch 24 3"],
) -> Float[np.ndarray, "*batch 24 3"]:
  """Mirrors axis-angle poses left to right (x to -x of the body's own frame)."""
  return pose[..., SMPL_FLIP, :] * np.array([1.0, -1.0, -1.0], np.float32)
