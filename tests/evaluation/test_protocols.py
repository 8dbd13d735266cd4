import numpy as np
import pytest

from mhmr_jax.body import joints
from mhmr_jax.errors import InputError
from mhmr_jax.evaluation import protocols

ARMS = ["left_elbow", "right_elbow", "left_wrist", "right_wrist"]
LEGS = ["left_hip", "right_hip", "left_knee", "right_knee"]


def _seen(*names):
  """One frame in which these joints, and no others, were detected."""
  keypoints = np.zeros((1, 17, 3), np.float32)
  for name in names:
    keypoints[0, joints.COCO_KEYPOINTS.index(name)] = (5, 5, 0.3)
  return keypoints


@pytest.mark.parametrize(
  ("names", "counts"),
  [
    ([*ARMS, *LEGS[:3]], True),  # Seven.
    ([*ARMS, *LEGS[:2]], False),  # Six: strictly more are asked for.
    ([*ARMS, *LEGS[:2], "nose", "left_eye", "right_ear"], False),  # Not of the 14.
    ([*ARMS, "left_shoulder", "right_shoulder"], True),  # And the neck between them.
    ([*ARMS, "left_shoulder"], False),
  ],
)
def test_hmmr_counts_frames_with_more_than_six_of_the_fourteen(names, counts):
  for valid in (True, False):  # Without a valid label there is nothing to compare with.
    counted = protocols.HMMR.counted(np.array([valid]), _seen(*names))
    assert counted.tolist() == [counts and valid]


def test_hmmr_needs_detections():
  with pytest.raises(InputError, match="use spin or smpl24"):
    protocols.HMMR.counted(np.ones(2, bool), None)


def test_spin_and_smpl24_filter_by_the_camera_and_the_detections():
  valid = np.array([True, True, False, False])
  keypoints = np.concatenate([_seen("nose"), _seen(), _seen("nose"), _seen()])
  assert protocols.SPIN.counted(valid, keypoints).tolist() == valid.tolist()
  counted = protocols.get("smpl24").counted(valid, keypoints)
  assert counted.tolist() == [True, False, False, False]
  assert protocols.get("smpl24").counted(valid, None).tolist() == valid.tolist()
