"""Which points the body itself hides, of a person who is turned about."""

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mhmr_jax.body import model_files, smpl
from mhmr_jax.body.joints import COCO_KEYPOINTS
from mhmr_jax.synth.keypoint_examples import self_occlusion

_INDEX = {name: index for index, name in enumerate(COCO_KEYPOINTS)}
_hidden = jax.jit(self_occlusion.hidden_points)


@pytest.fixture(scope="module")
def person():
  """COCO-17 of the free body's rest pose, which faces z; metres, y up."""
  data = model_files.read_model(smpl.FREE_BODY)
  return np.asarray(data["keypoint_regressor"] @ data["v_template"])


def _seen(person, yaw):
  """The hidden points' names, of a person turned to their left by `yaw` degrees."""
  turned = Rotation.from_euler("y", yaw, degrees=True).apply(person)
  camera = turned * [1, -1, -1] + [0, 0, 4]
  hidden = np.asarray(_hidden(camera[None].astype(np.float32)))[0]
  return {name for name, index in _INDEX.items() if hidden[index]}


def _with(person, **places):
  moved = person.copy()
  for name, place in places.items():
    moved[_INDEX[name]] = place
  return moved


@pytest.mark.parametrize("yaw", [-10, 0, 10])
def test_all_of_somebody_who_faces_the_camera_is_seen(person, yaw):
  assert not _seen(person, yaw)


def test_the_face_is_hidden_from_behind(person):
  hidden = _seen(person, 180)
  assert {"nose", "left_eye", "right_eye"} <= hidden
  assert not hidden & {"left_ear", "right_ear", "left_wrist", "left_ankle"}


@pytest.mark.parametrize(("yaw", "far"), [(60, "left"), (-60, "right")])
def test_from_the_side_the_far_ear_is_hidden(person, yaw, far):
  # Somebody who turns to their left shows the right side of the head.
  hidden = _seen(person, yaw)
  assert {name for name in hidden if "ear" in name} == {f"{far}_ear"}
  assert "nose" not in hidden


def test_a_wrist_behind_the_trunk_is_hidden_and_one_before_it_is_not(person):
  behind, before = [0.05, 0.0, -0.2], [-0.05, 0.0, 0.25]
  posed = _with(person, left_wrist=behind, right_wrist=before)
  assert _seen(posed, 0) == {"left_wrist"}
  assert _seen(posed, 180) & {"left_wrist", "right_wrist"} == {"right_wrist"}
  # The far arm of somebody who is seen from the side hangs behind the trunk.
  hanging = _with(person, left_wrist=[0.25, -0.2, 0], right_wrist=[-0.25, -0.2, 0])
  assert _seen(hanging, 90) & {"left_wrist", "right_wrist"} == {"left_wrist"}
  assert not _seen(hanging, 0)


def test_every_frame_is_judged_by_itself(person):
  behind = person * [-1, -1, 1] + [0, 0, 4]
  front = person * [1, -1, -1] + [0, 0, 4]
  both = _hidden(np.stack([front, behind, front]).astype(np.float32))
  assert both[1].any()
  np.testing.assert_array_equal(both.any(axis=1), [False, True, False])
