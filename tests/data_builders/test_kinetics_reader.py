"""The reader of Kinetics' labels: times, cameras, joint orders, and bad files."""

import pathlib
import pickle

import cv2
import jax
import numpy as np
import pytest

from data_builders.kinetics_pseudo_gt import reader
from mhmr_jax.body import joints, smpl
from mhmr_jax.errors import InputError
from tests.data_builders import miniature
from tests.files import python2

NAMES_19 = (
  "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
  "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow",
  "left_wrist", "neck", "head_top", "nose", "left_eye", "right_eye", "left_ear",
  "right_ear",
)  # fmt: skip


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
  return miniature.write_kinetics(tmp_path_factory.mktemp("kinetics"), smpl.load())


@pytest.fixture(scope="module")
def label_body(paths):
  return reader.LabelBody.load(paths["body.path"], paths["kinetics.regressor"])


def files(paths, video: str):
  labels = reader.find_labels(pathlib.Path(paths["kinetics.pseudo_gt"]))
  videos = reader.find_videos(pathlib.Path(paths["kinetics.dir"]))
  (name,) = [name for name in labels if name.video == video]
  return name, labels[name], videos.get(name)


def read(paths, video, label_body, **options):
  options = {"min_frames": 4, "size": 256, **options}
  return reader.read_clip(*files(paths, video), label_body, **options)


def test_names_are_of_video_and_seconds():
  of = lambda name: reader.ClipName.of(pathlib.Path(name))
  assert of("a_B-_12_22.pkl") == ("a_B-", 12, 22)
  assert of("x/a_B-_000012_000022.mp4") == of("a_B-_12_22.pkl")
  assert of("a_5_12_22.pkl") == ("a_5", 12, 22)
  assert of("custom_joint_regressor.pkl") is None
  assert str(of("a_B-_000012_000022.mp4")) == "a_B-_12_22"


def test_the_orders_name_the_same_points():
  found = [NAMES_19[row] for row in reader.COCO_FROM_19]
  assert tuple(found) == joints.COCO_KEYPOINTS
  assert len(NAMES_19) == reader.NUM_KEYPOINTS


@pytest.mark.parametrize("block", [1, 2])
def test_frames_are_those_of_the_times_and_gaps_are_invalid(paths, label_body, block):
  clip = read(paths, miniature.CLIP, label_body, size=96 // block)
  # Frames 3 to 7 and 11 to 13 are labelled.
  np.testing.assert_array_equal(clip["frame_index"], np.arange(3, 14))
  np.testing.assert_array_equal(clip["valid"], [1] * 5 + [0] * 3 + [1] * 3)
  assert clip["fps"] == pytest.approx(miniature.FPS)
  for data, number in zip(clip["frames"], clip["frame_index"], strict=True):
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert round((image.mean() - 40) / 6) == number
  for key in ("pose", "keypoints_image", "camera_image", "joints_camera"):
    assert not clip[key][5:8].any()
    assert clip[key][4].any()
    assert np.isfinite(clip[key]).all()


def test_heights_are_the_unit_of_x_and_y(paths, label_body):
  _, label_path, _ = files(paths, miniature.CLIP)
  with open(label_path, "rb") as file:
    official = pickle.load(file, encoding="latin1")
  clip = read(paths, miniature.CLIP, label_body)
  wrist = NAMES_19.index("left_wrist")
  known = np.flatnonzero(clip["valid"])
  # The cut-out of this clip is not shrunk: a shift remains.
  expected = official["2d_keypoints"][:, wrist] * 120
  ours = clip["keypoints_image"][known, joints.COCO_KEYPOINTS.index("left_wrist"), :2]
  np.testing.assert_allclose(ours - ours[0], expected - expected[0], atol=1e-3)
  # The camera projects the body's own points there, too.
  posed = clip["pose"][known], clip["betas"], np.zeros(3, np.float32)
  points = np.asarray(jax.jit(smpl.regressed_joints)(label_body.points, *posed))
  pelvis = np.asarray(jax.jit(smpl.joints)(label_body.model, *posed))[:, :1]
  camera = clip["camera_image"][known][:, None]
  projected = camera[..., :1] * ((points - pelvis)[..., :2] + camera[..., 1:])
  np.testing.assert_allclose(
    projected, clip["keypoints_image"][known][..., :2], atol=0.02
  )
  assert "intrinsics" not in clip
  assert "transl" not in clip
  assert "visibility" not in clip


def test_every_second_frame_of_fast_videos(tmp_path, paths, label_body):
  times = np.arange(30) / 60
  grid, slot, chosen = reader._grid(np.array([4, 6, 7, 10, 10]), times)
  np.testing.assert_array_equal(grid, [4, 6, 8, 10])
  np.testing.assert_array_equal(slot, [0, 1, 3])
  np.testing.assert_array_equal(chosen, [0, 1, 3])
  nearest = reader._nearest(times, np.array([-1.0, 0.0241, 0.026, 0.3, 9]))
  np.testing.assert_array_equal(nearest, [0, 1, 2, 18, 29])


def test_without_the_regressor_the_bodys_keypoints_check(paths, label_body):
  own = reader.LabelBody.load(paths["body.path"], "")
  assert not own.exact
  clip = read(paths, "third", own)
  expected = read(paths, "third", label_body)
  np.testing.assert_array_equal(clip["keypoints_image"], expected["keypoints_image"])


def _rewritten(paths, tmp_path, **changes):
  _, label_path, video_path = files(paths, "third")
  with open(label_path, "rb") as file:
    data = pickle.load(file, encoding="latin1")
  for key, change in changes.items():
    data[key] = change(data[key])
  path = tmp_path / label_path.name
  path.write_bytes(python2.dumps(data))
  return path, video_path


def check_refused(path, video_path, label_body, match, min_frames=4):
  name = reader.ClipName.of(path)
  with pytest.raises(InputError, match=match):
    reader.read_clip(name, path, video_path, label_body, min_frames, 256)


class HundredGigabytes:
  """Pickles as an array of which the file holds 8 bytes."""

  def __reduce__(self):
    reconstruct, arguments, _ = np.zeros(1).__reduce__()
    state = (1, (12_500_000_000,), np.dtype("f8"), False, b"12345678")
    return reconstruct, arguments, state


@pytest.mark.parametrize("key", ["time", "smpl_pose", "smpl_shape", "2d_keypoints"])
def test_missing_keys_are_named(paths, label_body, tmp_path, key):
  path, video_path = _rewritten(paths, tmp_path)
  data = pickle.loads(path.read_bytes(), encoding="latin1")
  del data[key]
  path.write_bytes(python2.dumps(data))
  check_refused(path, video_path, label_body, f"has no {key}")


@pytest.mark.parametrize(
  ("changes", "words"),
  [
    ({"smpl_pose": lambda v: v[:, :69]}, r"smpl_pose of .* shape \(10, 69\)"),
    ({"smpl_shape": lambda v: v[:4]}, "smpl_shape"),
    ({"time": lambda v: v - 5}, "negative"),
    ({"time": lambda v: v + 40}, "ends before the first label"),
    ({"time": lambda v: v.astype("S6")}, "time of .* is .*S6"),
    ({"cameras": lambda v: v * np.nan}, "cameras"),
    ({"2d_keypoints": lambda v: v.tolist()}, "2d_keypoints of .* is list"),
    ({"smpl_pose": lambda v: HundredGigabytes()}, "8 bytes for an array of shape"),
    ({"smpl_pose": lambda v: "nothing"}, "smpl_pose of .* is str"),
    ({"time": lambda v: v + 1e300}, "time of .* holds some"),
    # x is divided by the width.
    ({"2d_keypoints": lambda v: v * [0.75, 1]}, "of the person's size from where"),
  ],
)
def test_labels_of_another_form_are_refused(
  paths, label_body, tmp_path, changes, words
):
  path, video_path = _rewritten(paths, tmp_path, **changes)
  check_refused(path, video_path, label_body, words)


def test_damaged_files_are_refused(paths, label_body, tmp_path):
  path, video_path = _rewritten(paths, tmp_path)
  check_refused(path, video_path, label_body, "10 frames, fewer than 11", min_frames=11)
  broken = tmp_path / "third_1_11.mp4"
  broken.write_bytes(b"no video")
  check_refused(path, broken, label_body, "not a video that can be read")
  path.write_bytes(path.read_bytes()[:900])
  check_refused(path, video_path, label_body, "may be damaged")
  path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
  check_refused(path, video_path, label_body, r"os\.system")
  path.write_bytes(pickle.dumps(["no", "dict"], 2))
  check_refused(path, video_path, label_body, "does not hold a dict")
  regressor = tmp_path / "regressor.pkl"
  regressor.write_bytes(python2.dumps(np.zeros((7, 19))))
  with pytest.raises(InputError, match=r"the regressor of .*regressor\.pkl has shape"):
    reader.read_regressor(regressor, label_body.model)
