import dataclasses

import numpy as np
import pytest
import scipy.io

from mhmr_jax.errors import InputError
from mhmr_jax.geometry import pinhole
from mhmr_jax.synth import skinning
from mhmr_jax.synth.surreal import info_files
from tests.synth import surreal_files

FRAMES = 6


@pytest.fixture(scope="module")
def written(tmp_path_factory):
  folder = tmp_path_factory.mktemp("surreal")
  return surreal_files.write(
    folder / "train", "run0/01_01/01_01_c0001", surreal_files.Scene(frames=FRAMES)
  )


@pytest.fixture
def clip(tmp_path, written):
  """A clip whose `_info.mat` a test may spoil."""
  video = tmp_path / written.video.name
  path = surreal_files.mat(video, "info")
  path.write_bytes(surreal_files.mat(written.video, "info").read_bytes())
  return dataclasses.replace(written, video=video)


def _read(clip) -> info_files.Info:
  return info_files.read_info(surreal_files.mat(clip.video, "info"))


def test_joints_are_where_they_were_before_the_mirror(written):
  info = _read(written)
  np.testing.assert_allclose(info["joints_camera"], written.joints_camera, atol=1e-5)
  projected = pinhole.project(info["joints_camera"], info["intrinsics"])
  assert np.abs(projected - info["joints_image"]).max() <= 0.501
  stored = scipy.io.loadmat(surreal_files.mat(written.video, "info"))["joints2D"]
  np.testing.assert_array_equal(info["joints_image"][..., 0], 320 - stored[0].T)
  np.testing.assert_array_equal(info["joints_image"][..., 1], stored[1].T)
  np.testing.assert_array_equal(info["betas"], written.betas)
  assert info["gender"] == "male"
  assert info["valid"].all()
  dtypes = {k: v.dtype for k, v in info.items() if isinstance(v, np.ndarray)}
  assert dtypes.pop("valid") == np.dtype(bool)
  assert set(dtypes.values()) == {np.dtype(np.float32)}


def test_the_pose_puts_the_body_there(written):
  """Left stays left: the mirror is in the camera, not in the person."""
  info, body = _read(written), skinning.load()
  pelvis = body.rest_joints(info["betas"])[0]
  transl = info["joints_camera"][:, 0] - pelvis
  posed = body.pose(info["pose"], info["betas"], transl)
  np.testing.assert_allclose(posed.joints, info["joints_camera"], atol=1e-4)
  np.testing.assert_allclose(posed.vertices, written.vertices_camera, atol=1e-4)


def test_bones_are_constant_only_with_the_right_rotation(clip):
  info = _read(clip)
  bones = info_files.bones(info["pose"], info["joints_camera"])
  assert np.ptp(bones, axis=0).max() < 1e-4
  turn = np.linspace(0, 0.5, FRAMES)[:, None]
  surreal_files.edit(clip.video, "info", zrot=turn)
  wrong = _read(clip)
  assert np.ptp(info_files.bones(wrong["pose"], wrong["joints_camera"]), 0).max() > 0.01
  mirrored = info["joints_camera"] * np.float32([-1, 1, 1])
  assert np.ptp(info_files.bones(info["pose"], mirrored), 0).max() > 0.01


def test_one_frame_without_its_axis(clip):
  found = scipy.io.loadmat(surreal_files.mat(clip.video, "info"))
  one = {
    "joints2D": found["joints2D"][:, :, 0],
    "joints3D": found["joints3D"][:, :, 0],
    "pose": found["pose"][:, 0],  # Becomes 1 x 72.
    "shape": found["shape"][:, 0],
    "zrot": float(found["zrot"][0, 0]),
    "gender": found["gender"][0, 0],
  }
  surreal_files.edit(clip.video, "info", **one)
  info = _read(clip)
  assert info["pose"].shape == (1, 24, 3)
  assert info["joints_image"].shape == (1, 24, 2)
  np.testing.assert_allclose(info["joints_camera"], clip.joints_camera[:1], atol=1e-5)


def test_one_gender_for_all_frames(clip):
  surreal_files.edit(clip.video, "info", gender=np.uint8(0))
  assert _read(clip)["gender"] == "female"


def test_frames_without_joints_are_not_valid(clip):
  found = scipy.io.loadmat(surreal_files.mat(clip.video, "info"))
  for frames in ([2], range(FRAMES)):
    for name in ("joints2D", "joints3D"):
      found[name][:, :, frames] = 0
    surreal_files.edit(clip.video, "info", **{n: found[n] for n in ("joints2D",)})
    if len(frames) == 1:
      assert _read(clip)["valid"].tolist() == [t != 2 for t in range(FRAMES)]
  with pytest.raises(InputError, match="only zeros for joints2D"):
    _read(clip)


@pytest.mark.parametrize("unwritten", [0.0, np.nan])
def test_frames_that_were_never_written_may_hold_anything(clip, unwritten):
  expected = _read(clip)
  found = scipy.io.loadmat(surreal_files.mat(clip.video, "info"))
  changes = {n: found[n] for n in ("joints2D", "joints3D", "pose", "shape")}
  for values in changes.values():
    values[..., 2] = np.nan
  changes["joints2D"][..., 2] = unwritten
  changes["gender"] = found["gender"].copy()
  changes["gender"][2] = 99
  surreal_files.edit(clip.video, "info", **changes)
  info = _read(clip)
  kept = [t != 2 for t in range(FRAMES)]
  assert info["valid"].tolist() == kept
  for name in ("pose", "joints_camera", "joints_image"):
    np.testing.assert_array_equal(info[name][kept], expected[name][kept])
    assert np.isfinite(info[name]).all()
  assert info["gender"] == expected["gender"]


@pytest.mark.parametrize("axis", range(3))
def test_a_wrong_camera_is_found_by_reprojection(clip, axis):
  camLoc = scipy.io.loadmat(surreal_files.mat(clip.video, "info"))["camLoc"]
  camLoc[axis] += [0.5, 0.05, 0.05][axis]
  surreal_files.edit(clip.video, "info", camLoc=camLoc)
  with pytest.raises(InputError, match=r"_info\.mat has a camLoc that projects .* px"):
    _read(clip)


def test_joints_behind_the_camera(clip):
  surreal_files.edit(clip.video, "info", camLoc=np.array([[-6.0], [-0.2], [0.1]]))
  with pytest.raises(InputError, match="behind its camera"):
    _read(clip)


@pytest.mark.parametrize(
  ("changes", "match"),
  [
    ({"zrot": None}, "has no zrot"),
    ({"pose": np.zeros((71, FRAMES))}, r"pose of shape \(71, 6\)"),
    ({"pose": np.full((72, FRAMES), np.nan)}, "pose with values that are not finite"),
    ({"pose": np.zeros((72, 0))}, r"pose of shape \(72, 0\)"),
    ({"joints3D": np.zeros((3, 24, 2))}, "2 frames of joints3D, not 6"),
    ({"camLoc": np.zeros((3, FRAMES))}, "6 frames of camLoc, not 1"),
    ({"camLoc": np.array([["a"], [1], [{}]], object)}, "camLoc that is no array of n"),
    ({"gender": "male"}, "gender that is no array of numbers"),
    ({"gender": {"of": 1}}, "gender that is no array of numbers"),
    ({"gender": np.full((FRAMES, 1), 7)}, "gender 7"),
    ({"shape": np.random.default_rng(0).random((10, FRAMES))}, "shape that changes"),
    ({"pose": np.zeros((72, 30000))}, "too large"),
  ],
)
def test_fields_that_cannot_be(clip, changes, match):
  surreal_files.edit(clip.video, "info", **changes)
  with pytest.raises(InputError, match=match):
    _read(clip)


def test_damaged_files_end_in_one_sentence(clip):
  path = surreal_files.mat(clip.video, "info")
  whole = path.read_bytes()
  rng = np.random.default_rng(0)
  with pytest.raises(InputError, match="No such file"):
    info_files.read_info(path.with_name("none_info.mat"))
  for data in (b"", b"MATLAB 4", rng.bytes(5000)):
    path.write_bytes(data)
    with pytest.raises(InputError, match="not a MATLAB 5 file"):
      info_files.read_info(path)
  path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
  with pytest.raises(InputError, match=r"MATLAB 7\.3 file: save it .* with -v7"):
    info_files.read_info(path)
  for cut in (30, 128, 200, len(whole) // 2):
    path.write_bytes(whole[:cut])
    with pytest.raises(InputError, match=path.name):
      info_files.read_info(path)
  spoiled = 0
  for _ in range(60):
    data = bytearray(whole)
    for place in rng.integers(128, len(whole), 8):
      data[place] = rng.integers(256)
    path.write_bytes(data)
    try:
      info_files.read_info(path)
    except InputError:
      spoiled += 1
  assert spoiled > 30  # The rest hit fields that are not read.
