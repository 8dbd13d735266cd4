"""3DPW's reader against rigid motion of the world's body; hostile and damaged files."""

import os
import pickle

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_builders.threedpw import reader
from mhmr_jax.body import smpl
from mhmr_jax.errors import InputError
from tests.data_builders import miniature
from tests.files import python2

NAME = "downtown_talk_00"


@pytest.fixture(scope="module")
def bodies(tmp_path_factory):
  return miniature.load_bodies(
    miniature.write_bodies(tmp_path_factory.mktemp("bodies"))
  )


@pytest.fixture
def written(tmp_path, bodies):
  data, people = miniature.write_sequence(
    tmp_path, "test", NAME, bodies, "mf", frames=5
  )
  return tmp_path, data, people


def read(root, bodies):
  return reader.read_split(root, "test", bodies)


def test_vertices_are_the_worlds_moved_to_the_camera(written, bodies):
  root, data, people = written
  forward = jax.jit(smpl.forward)
  tracks = read(root, bodies)
  assert [t.clip["sequence"] for t in tracks] == [f"{NAME}_0", f"{NAME}_1"]
  assert [t.clip["gender"] for t in tracks] == ["male", "female"]
  for track, person in zip(tracks, people, strict=True):
    clip = track.clip
    arrays = (jnp.asarray(clip[key]) for key in ("pose", "betas", "transl"))
    vertices, joints = forward(bodies[clip["gender"]], *arrays)
    np.testing.assert_allclose(vertices, person.vertices_camera, atol=1e-4)
    np.testing.assert_allclose(joints, person.joints_camera, atol=1e-4)
    np.testing.assert_allclose(clip["joints_camera"], person.joints_camera, atol=1e-4)
    np.testing.assert_allclose(clip["betas"], person.betas, atol=1e-6)
    assert clip["betas"].shape == (10,)
    np.testing.assert_array_equal(
      clip["intrinsics"], np.float32(data["cam_intrinsics"])
    )
  assert len(data["betas"][1]) == 300


def test_detections_are_in_cocos_order(written, bodies):
  root, data, people = written
  for track, person in zip(read(root, bodies), people, strict=True):
    keypoints = track.clip["keypoints_image"]
    np.testing.assert_allclose(keypoints[..., :2], person.keypoints, rtol=1e-5)
    assert track.clip["keypoints_detected"]
    # OpenPose's fifth is the right wrist, COCO's eleventh.
    scores = data["poses2d"][track.clip["gender"] == "female"][:, 2]
    np.testing.assert_allclose(keypoints[:, 10, 2], scores[:, 4], rtol=1e-6)


def test_boxes_are_of_keypoints_or_joints_or_between(written, bodies):
  root, data, people = written
  data["poses2d"][0][1:4] = 0
  data["campose_valid"][0][3] = 0
  miniature.rewrite(root, "test", data)
  clip = read(root, bodies)[0].clip
  low, high = people[0].keypoints.min(1), people[0].keypoints.max(1)
  np.testing.assert_allclose(clip["box"][[0, 4], :2], low[[0, 4]], rtol=1e-4)
  np.testing.assert_allclose(clip["box"][[0, 4], 2:], high[[0, 4]], rtol=1e-4)
  joints = people[0].joints_camera[1:3] @ data["cam_intrinsics"].T
  joints = joints[..., :2] / joints[..., 2:]
  np.testing.assert_allclose(clip["box"][1:3, :2], joints.min(1), rtol=1e-3)
  np.testing.assert_allclose(
    clip["box"][3], (clip["box"][2] + clip["box"][4]) / 2, rtol=1e-5
  )
  assert not clip["keypoints_image"][1:4].any()
  np.testing.assert_array_equal(clip["valid"], [True, True, True, False, True])


def test_empty_detections_and_nan_labels_are_marked(written, bodies):
  root, data, _ = written
  data["poses2d"][1] = np.zeros((0,))
  data["poses"][1][2, 5] = np.nan
  data["trans"][1][3] = np.inf
  miniature.rewrite(root, "test", data)
  clip = read(root, bodies)[1].clip
  np.testing.assert_array_equal(clip["valid"], [True, True, False, False, True])
  assert not clip["keypoints_image"].any()
  for key in ("pose", "transl", "joints_camera", "box"):
    assert np.isfinite(clip[key]).all()
  assert clip["box"].any(-1).all()


def test_swapped_bodies_are_spoken_of(written, bodies, caplog):
  root, *_ = written
  read(root, bodies)
  assert "jointPositions" not in caplog.text
  read(root, {"male": bodies["female"], "female": bodies["male"]})
  assert "is that file the male body?" in caplog.text


class Runs:
  """Pickles as a call of a function."""

  def __init__(self, function, *arguments):
    self.call = function, arguments

  def __reduce__(self):
    return self.call


def _huge(path, data):
  """An array of 100 GB, of which the file holds 8 bytes."""
  reconstruct, arguments, _ = np.zeros(1).__reduce__()

  class Made:
    def __reduce__(self):
      state = (1, (12_500_000_000,), np.dtype("f8"), False, b"12345678")
      return reconstruct, arguments, state

  path.write_bytes(pickle.dumps({**data, "cam_poses": Made()}, protocol=2))


def _change(key, value):
  def apply(path, data):
    path.write_bytes(python2.dumps({**data, key: value(data[key])}))

  return apply


def _drop(*keys):
  def apply(path, data):
    kept = {key: value for key, value in data.items() if key not in keys}
    path.write_bytes(python2.dumps(kept))

  return apply


def _cut(path, data):
  path.write_bytes(path.read_bytes()[:-400])


HOSTILE = {
  "a command": (
    lambda path, data: path.write_bytes(
      pickle.dumps({**data, "betas": Runs(os.system, f"touch {path}.ran")}, 2)
    ),
    "posix.system",
  ),
  "an import": (lambda path, data: path.write_bytes(b"cos\ngetcwd\n(tR."), "os.getcwd"),
  "an array of 100 GB": (_huge, "8 bytes for an array of shape"),
  "cut short": (_cut, "may be damaged"),
  "not a dict": (lambda path, data: path.write_bytes(pickle.dumps([1])), "has no"),
  "missing keys": (_drop("trans", "cam_poses"), "has no cam_poses, trans"),
  "a wrong shape": (
    _change("poses", lambda v: [v[0][:, :70], v[1]]),
    r"poses of .* has shape \(5, 70\), not \(5, 72\)",
  ),
  "fewer frames": (_change("trans", lambda v: [v[0][:3], v[1]]), "trans"),
  "a wrong dtype": (_change("trans", lambda v: [v[0].astype("S8")] * 2), "S8"),
  "text": (_change("trans", lambda v: "nothing"), "not a list"),
  "an unequal number of people": (_change("betas", lambda v: v[:1]), "people"),
  "too few betas": (_change("betas", lambda v: [v[0][:8], v[1]]), "8 numbers"),
  "another gender": (_change("genders", lambda v: ["x", "f"]), "'x'"),
  "two numbers a point": (_change("poses2d", lambda v: [v[0][:, :2]] * 2), "poses2d"),
  "lists of unequal lengths": (
    _change("poses2d", lambda v: [[[1.0], [1.0, 2.0]], v[1]]),
    "poses2d of .* is list, not an array",
  ),
  "a mirrored camera": (_change("cam_poses", lambda v: v * [1, 1, -1, 1]), "rotations"),
  "no focal length": (_change("cam_intrinsics", lambda v: v * 0), "camera's matrix"),
  "skewed axes": (
    _change("cam_intrinsics", lambda v: v + np.eye(3, k=1) * [[1], [0], [0]]),
    "camera's matrix",
  ),
  "intrinsics of a larger image": (
    _change("cam_intrinsics", lambda v: v * [[2], [2], [1]]),
    "has 160 x 120 pixels, but the intrinsics are of about 320 x 240",
  ),
  "a name that leaves the folder": (
    _change("sequence", lambda v: "../../../etc"),
    "'../../../etc', not the file's name",
  ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_and_damaged_pickles_are_refused_by_name(written, bodies, name):
  root, data, _ = written
  path = root / "sequenceFiles" / "test" / f"{NAME}.pkl"
  damage, words = HOSTILE[name]
  damage(path, data)
  with pytest.raises(InputError, match=rf"(?s)1 of the 1 sequences.*{words}") as caught:
    read(root, bodies)
  assert str(path) in str(caught.value) or "image_00000.jpg" in str(caught.value)
  assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_missing_and_wrong_images_are_named(written, bodies):
  root, *_ = written
  folder = root / "imageFiles" / NAME
  (folder / "image_00003.jpg").unlink()
  with pytest.raises(InputError, match=rf"{NAME} lacks 1 of its 5.*image_00003\.jpg"):
    read(root, bodies)
  (folder / "image_00003.jpg").write_bytes(b"")
  for data in (b"not an image", b""):
    (folder / "image_00000.jpg").write_bytes(data)
    with pytest.raises(InputError, match=r"image_00000\.jpg is not an image"):
      read(root, bodies)
  whole = (folder / "image_00001.jpg").read_bytes()
  (folder / "image_00000.jpg").write_bytes(whole[: len(whole) * 2 // 3])
  with pytest.raises(InputError, match=r"image_00000\.jpg is cut short"):
    read(root, bodies)
  image = np.zeros((40, 50, 3), np.uint8)
  data = cv2.imencode(".jpg", image)[1].tobytes()
  with pytest.raises(InputError, match="50 x 40 pixels, the first"):
    reader.decode(data, folder / "image_00002.jpg", (160, 120))


def test_all_bad_sequences_are_named_at_once(written, bodies):
  root, *_ = written
  for number in range(7):
    path = root / "sequenceFiles" / "test" / f"bad_{number}.pkl"
    path.write_bytes(b"")
  with pytest.raises(InputError, match="7 of the 8 sequences") as caught:
    read(root, bodies)
  assert "bad_4.pkl" in str(caught.value)
  assert "and 2 more" in str(caught.value)
