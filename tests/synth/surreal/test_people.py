import dataclasses
import functools
import shutil

import numpy as np
import pytest
import scipy.io

from mhmr_jax.errors import InputError
from mhmr_jax.geometry import pinhole
from mhmr_jax.synth import render, skinning
from mhmr_jax.synth.surreal import info_files, people
from tests.synth import surreal_files

SIZE, FRAMES, LENGTH = 160, 6, 8


@pytest.fixture(scope="module")
def body():
  return skinning.load()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A person in train, and a person in test who leaves the image."""
  folder = tmp_path_factory.mktemp("surreal")
  scene = surreal_files.Scene(frames=LENGTH)
  surreal_files.write(folder / "train", "run0/01_01/01_01_c0001", scene)
  leaving = dataclasses.replace(scene, seed=1, across=0.12, start=0.8, flow="blender")
  surreal_files.write(folder / "test", "run1/ung_02_05/ung_02_05_c0002", leaving)
  return folder


@pytest.fixture(scope="module")
def source(folder, body):
  return people.open_people(str(folder), body)


def _film(source, split, seed, frames=FRAMES, **kwargs) -> people.Take:
  choice, filming = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
  return source.film(split, frames, SIZE, choice=choice, filming=filming, **kwargs)


@pytest.fixture(scope="module")
def filmed(source):
  """The take of a split and a seed, not to write in."""
  return functools.cache(functools.partial(_film, source))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("split", ["train", "test"])
def test_labels_pose_the_body_where_it_is_seen(filmed, body, split, seed):
  person = filmed(split, seed).person
  posed = body.pose(person.pose, person.betas, person.transl)
  np.testing.assert_allclose(posed.joints, person.joints_camera, atol=1e-4)
  keypoints = np.stack([body.keypoint_regressor @ v for v in posed.vertices])
  pixels = pinhole.project(keypoints[:, :5], person.camera.intrinsics)
  np.testing.assert_allclose(pixels, person.keypoints_image[:, :5, :2], atol=0.05)
  # The cut-out is where the labels would render the person.
  mesh = render.Mesh(body.faces)
  for vertices, layer in zip(posed.vertices, person.layers, strict=True):
    expected, found = np.zeros((2, SIZE, SIZE), bool)
    fragments = mesh.rasterise(vertices, person.camera.intrinsics, (SIZE, SIZE))
    at = fragments.centres()
    expected[fragments.window.slices][at.row, at.column] = True
    found[layer.window.slices] = np.isfinite(layer.buffer.depth)
    if split == "test":  # SURREAL's border cuts the person.
      assert (found & ~expected).sum() < 0.12 * found.sum()
    else:
      assert (found & expected).sum() > 0.9 * (found | expected).sum()


@pytest.mark.parametrize("seed", range(2))
def test_what_is_seen_lies_on_the_mask(filmed, seed):
  person = filmed("train", seed).person
  joints = pinhole.project(person.joints_camera, person.camera.intrinsics)
  for name, pixels, seen in (
    ("joints", joints, person.visibility > 0),
    ("keypoints", person.keypoints_image[..., :2], person.keypoints_image[..., 2] > 0),
  ):
    inside = []
    for t, layer in enumerate(person.layers):
      mask = np.zeros((SIZE, SIZE), bool)
      mask[layer.window.slices] = np.isfinite(layer.buffer.depth)
      column, row = pixels[t][seen[t]].astype(int).T
      inside.extend(mask[row, column])
    assert len(inside) > 8 * FRAMES, name
    assert np.mean(inside) > 0.95, name


def test_a_hidden_joint_is_not_seen(folder, body, tmp_path):
  """Depth and parts get something 30 cm in front of one knee."""
  shutil.copytree(folder, tmp_path / "surreal")
  source = people.open_people(str(tmp_path / "surreal"), body)
  before = _film(source, "train", 0, LENGTH, moving_camera=False).person
  video = next((tmp_path / "surreal/train").rglob("*.mp4"))
  path = surreal_files.mat(video, "info")
  info = info_files.read_info(path)
  knee = 5
  depth = scipy.io.loadmat(surreal_files.mat(video, "depth"))
  part = scipy.io.loadmat(surreal_files.mat(video, "segm"))
  for t in range(LENGTH):
    x, y = info["joints_image"][t, knee].astype(int)
    around = np.s_[y - 3 : y + 4, 320 - x - 4 : 320 - x + 3]
    depth[f"depth_{t + 1}"][around] -= 0.3
    part[f"segm_{t + 1}"][around] = 21  # A wrist's.
  surreal_files.save(
    video, "depth", {k: v for k, v in depth.items() if "_" not in k[:2]}
  )
  surreal_files.save(video, "segm", {k: v for k, v in part.items() if "_" not in k[:2]})
  after = _film(source, "train", 0, LENGTH, moving_camera=False).person
  assert before.visibility[:, knee].sum() >= LENGTH - 1
  assert after.visibility[:, knee].sum() == 0
  others = np.delete(np.arange(24), knee)
  assert (before.visibility != after.visibility)[:, others].mean() < 0.05


@pytest.fixture(scope="module", params=["next", "blender"])
def of_convention(request, tmp_path_factory, body):
  """A person whose file has either convention of flow."""
  folder = tmp_path_factory.mktemp("surreal")
  scene = surreal_files.Scene(frames=LENGTH, flow=request.param)
  for split in ("train", "test"):
    surreal_files.write(folder / split, f"run0/{split}/{split}_c0001", scene)
  return people.open_people(str(folder), body)


@pytest.mark.parametrize("moving", [True, False])
def test_flow_is_the_motion_of_the_vertices_seen(of_convention, body, moving):
  """Camera and person both move."""
  person = _film(of_convention, "train", 2, moving_camera=moving).person
  assert (np.ptp(person.camera.R_wc, axis=0).max() > 1e-3) == moving
  posed = body.pose(person.pose, person.betas, person.transl)
  K, mesh = person.camera.intrinsics, render.Mesh(body.faces)
  for t in range(FRAMES - 1):
    layer = person.layers[t]
    fragments = mesh.rasterise(posed.vertices[t], K, (SIZE, SIZE))
    at = fragments.centres()
    row, column = at.row + fragments.window.y0, at.column + fragments.window.x0
    after = np.stack(at.interpolate(list(posed.vertices[t + 1].T)), -1)
    following = pinhole.project(after, K)
    expected = np.zeros((SIZE, SIZE, 2), np.float32)
    expected[row, column] = following - np.stack([column + 0.5, row + 0.5], -1)
    found = np.zeros_like(expected)
    found[layer.window.slices] = layer.flow
    on_both = (np.abs(found).max(-1) > 0) & (np.abs(expected).max(-1) > 0)
    error = np.linalg.norm(found - expected, axis=-1)[on_both]
    assert on_both.sum() > 300
    assert np.median(np.linalg.norm(expected[on_both], axis=-1)) > 0.5
    assert np.median(error) < 0.06
    assert np.quantile(error, 0.9) < 0.5
  assert np.abs(person.layers[-1].flow).max() < 1e-6


def test_a_still_camera_keeps_surreals_labels(source, folder):
  take = _film(source, "train", 0, moving_camera=False)
  video = folder / take.clip
  info = info_files.read_info(surreal_files.mat(video, "info"))
  window = slice(take.first, take.first + FRAMES)
  np.testing.assert_allclose(
    take.person.joints_camera, info["joints_camera"][window], atol=1e-5
  )
  np.testing.assert_array_equal(take.person.betas, info["betas"])
  turn = take.person.camera.R_wc @ np.diag([1, -1, -1])
  np.testing.assert_allclose(turn, np.tile(np.eye(3), (FRAMES, 1, 1)), atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_nobody_is_seen_to_end_within_the_frame(filmed, seed):
  """Where SURREAL's border cuts the person, so must the frame's."""
  person = filmed("test", seed).person
  K = person.camera.intrinsics.astype(float)
  K0 = info_files.intrinsics().astype(float)
  column = np.stack([np.zeros(240), np.arange(240) + 0.5, np.ones(240)])
  cut = 0
  for t, layer in enumerate(person.layers):
    turn = person.camera.R_wc[t] @ np.diag([1, -1, -1])
    x, y, z = K @ turn @ np.linalg.inv(K0) @ column
    x, y = x / z, y / z
    inside = (x > 2) & (x < SIZE - 2) & (y > 2) & (y < SIZE - 2)
    whole = np.zeros((SIZE, SIZE))
    if layer is not None:
      whole[layer.window.slices] = layer.rgba[..., 3]
    beside = whole[y[inside].astype(int), x[inside].astype(int) + 1]
    cut += (beside > 0.2).sum()
  assert cut == 0


def test_the_same_streams_make_the_same_bytes(source, folder, body):
  again = people.open_people(str(folder) + "/", body)
  takes = [_film(s, "train", 5) for s in (source, again)]
  assert takes[0].clip == takes[1].clip
  for name in ("pose", "betas", "transl", "joints_camera", "keypoints_image"):
    first, second = (getattr(take.person, name) for take in takes)
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.float32
  for one, other in zip(*(take.person.layers for take in takes), strict=True):
    np.testing.assert_array_equal(one.rgba, other.rgba)
    np.testing.assert_array_equal(one.flow, other.flow)
    assert one.window == other.window


def _touch(folder, *clips) -> None:
  for clip in clips:
    path = folder / f"{clip}_c0001.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_splits_share_no_sequence_and_bad_bodies_are_left_out(tmp_path, body, caplog):
  _touch(
    tmp_path,
    "train/run0/01_01/01_01",
    "train/run1/01_01/01_01",
    "train/run0/07_02/07_02",
    "train/run0/18_03/18_03",
    "train/run2/19_19/19_19",
    "train/run2/ung_143_21/ung_143_21",
    "train/run2/143_22/143_22",
    "train/run2/118_01/118_01",
    "test/run0/07_02/07_02",
    "test/run0/09_01/09_01",
    "val/run0/20_01/20_01",
  )
  with caplog.at_level("INFO", logger="absl"):
    source = people.open_people(str(tmp_path), body)
  sequences = {s: {c.split("/")[2] for c in source.clips[s]} for s in source.clips}
  assert sequences["train"] == {"01_01", "143_22", "118_01"}
  assert sequences["test"] == {"07_02", "09_01"}
  assert len(source.clips["train"]) == 4
  assert "3 clips" in caplog.text
  assert "18_03, 19_19, ung_143_21" in caplog.text


def test_val_stands_in_for_a_missing_test(tmp_path, body):
  _touch(tmp_path, "train/run0/01_01/01_01", "val/run0/20_01/20_01")
  source = people.open_people(str(tmp_path), body)
  assert source.clips["test"] == ("val/run0/20_01/20_01_c0001.mp4",)


@pytest.mark.parametrize("there", [[], ["train/run0/01_01/01_01"]])
def test_folders_that_lack_a_split(tmp_path, body, there):
  _touch(tmp_path, *there)
  with pytest.raises(InputError, match=f"SURREAL in .*{'test' if there else 'train'}"):
    people.open_people(str(tmp_path), body)


def _spoil(video, how: str) -> None:
  info = scipy.io.loadmat(surreal_files.mat(video, "info"))
  if how == "camLoc":
    surreal_files.edit(video, "info", camLoc=info["camLoc"] + 0.3)
  elif how == "zrot":
    turn = np.linspace(0, 0.5, LENGTH)[:, None]
    surreal_files.edit(video, "info", zrot=turn)
  elif how == "video":
    video.write_bytes(b"no video")
  elif how == "short":
    segm = scipy.io.loadmat(surreal_files.mat(video, "segm"))
    surreal_files.save(video, "segm", {"segm_1": segm["segm_1"]})
  elif how == "shape":
    maps = {f"depth_{t + 1}": np.ones((24, 32)) for t in range(LENGTH)}
    surreal_files.save(video, "depth", maps)
  else:
    surreal_files.mat(video, how).unlink()


_SPOILED = {
  "camLoc": "camLoc that projects",
  "zrot": "bones that change by .* mm",
  "video": r"\.mp4 has no .* frames of 320x240 that can be read",
  "segm": "cannot read .*_segm.mat",
  "gtflow": "cannot read .*_gtflow.mat",
  "depth": "cannot read .*_depth.mat",
  "info": "cannot read .*_info.mat",
  "short": r"_segm\.mat has no segm_",
  "shape": r"_depth\.mat has a depth_\d of shape \(24, 32\)",
}


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory, folder):
  """A folder with a good sequence, 01_01, and one spoiled in each way."""
  copy = tmp_path_factory.mktemp("spoiled") / "surreal"
  shutil.copytree(folder, copy)
  for number, how in enumerate(_SPOILED):
    bad = copy / f"train/run0/03_{number:02}"
    shutil.copytree(copy / "train/run0/01_01", bad)
    _spoil(bad / "01_01_c0001.mp4", how)
  return copy


@pytest.mark.parametrize("how", _SPOILED)
def test_a_clip_that_cannot_be_used_is_named(spoiled, body, how):
  source = people.open_people(str(spoiled), body)
  clip = f"train/run0/03_{list(_SPOILED).index(how):02}/01_01_c0001.mp4"
  alone = dataclasses.replace(source, clips={"train": (clip,)})
  words = f"(?s)None of 1 clips .* train split .*{_SPOILED[how]}"
  with pytest.raises(InputError, match=words):
    _film(alone, "train", 0)


def test_clips_that_cannot_be_used_are_passed_over(spoiled, body):
  source = people.open_people(str(spoiled), body)
  assert len(source.clips["train"]) == 1 + len(_SPOILED)
  takes = [_film(source, "train", seed) for seed in range(6)]
  assert {take.clip.split("/")[2] for take in takes} == {"01_01"}
  rejected = {text for take in takes for text in take.rejected}
  assert len(rejected) > len(_SPOILED) / 2
  assert all("run0/03_" in text for text in rejected)


def test_frames_without_joints_are_not_filmed(tmp_path, folder, body):
  shutil.copytree(folder, tmp_path / "surreal")
  video = next((tmp_path / "surreal/train").rglob("*.mp4"))
  joints = scipy.io.loadmat(surreal_files.mat(video, "info"))["joints2D"]
  joints[:, :, 1] = 0
  surreal_files.edit(video, "info", joints2D=joints)
  source = people.open_people(str(tmp_path / "surreal"), body)
  firsts = {_film(source, "train", seed, 4).first for seed in range(12)}
  assert firsts <= {2, 3, 4}
  assert len(firsts) > 1
  with pytest.raises(
    InputError, match=r"0 are damaged .* not show a person for 7 frames"
  ):
    _film(source, "train", 0, 7)


def test_another_body_gets_the_nearest_shape(body):
  rng = np.random.default_rng(0)
  parents = np.array([p for p, _ in people.body_joints.SMPL_BONES])
  betas = rng.normal(0, 1, 10).astype(np.float32)
  rest = body.rest_joints(betas)
  bones = rest[1:] - rest[parents]
  np.testing.assert_array_equal(people.fit_betas(body, bones, betas), betas)
  fitted = people.fit_betas(body, bones, np.full(10, 3, np.float32))
  rest = body.rest_joints(fitted)
  off = np.linalg.norm(rest[1:] - rest[parents] - bones, axis=-1)
  assert off.max() < 5e-3
  assert np.abs(fitted).max() < 4
