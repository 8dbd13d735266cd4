"""The file of a predicted motion: it comes back whole, and suffices by itself."""

import jax
import numpy as np
import pytest

from mhmr_jax.body import smpl
from mhmr_jax.errors import InputError
from mhmr_jax.export import prediction_npz


@pytest.fixture
def motion(walks):
  return walks[0]


def _check_refused(path, arrays, match):
  np.savez(path, **arrays)
  with pytest.raises(InputError, match=rf"(?=.*{path.name}).*{match}") as refused:
    prediction_npz.read(path)
  assert "\n" not in str(refused.value)


@pytest.mark.parametrize("intrinsics", ["of the video", "of each row"])
def test_a_motion_comes_back_whole(tmp_path, motion, intrinsics):
  if intrinsics == "of each row":
    motion = motion._replace(intrinsics=np.tile(motion.intrinsics, (40, 1, 1)))
  path = tmp_path / "prediction.npz"
  prediction_npz.write(path, motion)
  found = prediction_npz.read(path)
  for name, value in motion._asdict().items():
    np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)
    assert type(getattr(found, name)) is type(value), name
    assert np.asarray(getattr(found, name)).dtype == np.asarray(value).dtype, name
  assert [file.name for file in tmp_path.iterdir()] == ["prediction.npz"]


def test_the_file_alone_reprojects_and_replays(tmp_path, body, motion):
  prediction_npz.write(tmp_path / "prediction.npz", motion)
  with np.load(tmp_path / "prediction.npz", allow_pickle=False) as file:
    arrays = dict(file)
  assert set(arrays) == set(motion._fields)
  projected = arrays["joints_camera"] @ arrays["intrinsics"].T
  np.testing.assert_allclose(
    projected[..., :2] / projected[..., 2:], arrays["keypoints_image"], atol=1e-2
  )
  place = jax.jit(smpl.joints)
  for frame, pose in (("world", "pose_world"), ("camera", "pose")):
    joints = place(body, *(arrays[key] for key in (pose, "betas", f"transl_{frame}")))
    np.testing.assert_allclose(joints, arrays[f"joints_{frame}"], atol=1e-5)
  assert arrays["body"] == "free"
  np.testing.assert_allclose(arrays["times"] * arrays["fps"], arrays["frame_index"])


def test_what_is_no_motion_is_refused_by_the_field(tmp_path, motion):
  path = tmp_path / "prediction.npz"
  whole = motion._asdict()
  wrong = motion.pose[..., :2]
  unsorted = motion.times[::-1]
  infinite = np.where(motion.pose == motion.pose[0, 0, 0], np.inf, motion.pose)
  for changed, match in [
    ({"pose": wrong}, r"pose of.*\[40, 24, 2\]"),
    ({"contacts": motion.contacts[:39]}, r"contacts of.*\[39, 2\]"),
    ({"detected": motion.detected.astype(float)}, "detected of.*float64"),
    ({"fps": np.array([30.0])}, r"fps of.*\[1\]"),
    ({"body": np.array(3)}, "body of.*int64"),
    ({"fps": np.array("30")}, "fps of.*<U2"),
    ({"intrinsics": np.tile(motion.intrinsics, (39, 1, 1))}, "intrinsics.*each row"),
    ({"times": unsorted}, "times of.*does not increase"),
    ({"pose_world": infinite}, "pose_world of.*finite"),
    ({"gravity_camera": np.array([{}])}, "Python objects in gravity_camera"),
  ]:
    _check_refused(path, whole | changed, match)
  del whole["gravity_camera"]
  _check_refused(path, whole, "no gravity_camera")


def test_a_damaged_or_missing_file_is_refused(tmp_path, motion):
  path = tmp_path / "prediction.npz"
  with pytest.raises(InputError, match=r"prediction\.npz cannot be read"):
    prediction_npz.read(path)
  prediction_npz.write(path, motion)
  path.write_bytes(path.read_bytes()[:-200])
  with pytest.raises(InputError, match=r"prediction\.npz cannot be read.*damaged"):
    prediction_npz.read(path)


def test_a_folder_that_is_missing_is_named(tmp_path, motion):
  with pytest.raises(InputError, match=r"absent.*cannot be written"):
    prediction_npz.write(tmp_path / "absent" / "prediction.npz", motion)
