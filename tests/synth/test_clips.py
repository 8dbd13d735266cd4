import concurrent.futures

import cv2
import jax
import numpy as np
import pytest

from mhmr_jax.body import smpl
from mhmr_jax.files import flow_images
from mhmr_jax.flow.dis import DisFlow
from mhmr_jax.synth import clips

SPEC = clips.ClipSpec(seed=3, frames=8, size=128, variant="alone")


@pytest.fixture(scope="module")
def maker():
  return clips.ClipMaker(SPEC)


@pytest.fixture(scope="module")
def train_clips(maker):
  return [maker.make("train", index)[0] for index in range(4)]


def _image(data: bytes) -> np.ndarray:
  return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def test_a_clip_has_every_field_in_its_shape(train_clips):
  for index, clip in enumerate(train_clips):
    assert clip["sequence"] == f"train_{index:06d}"
    for name in ("frames", "flow", "mask"):
      assert len(clip[name]) == SPEC.frames
    assert _image(clip["frames"][0]).shape == (128, 128, 3)
    assert set(np.unique(_image(clip["mask"][0]))) <= {0, 255}
    assert flow_images.decode_png(clip["flow"][0]).shape == (128, 128, 2)
    for name, shape in {
      "pose": (8, 24, 3),
      "betas": (10,),
      "transl": (8, 3),
      "joints_camera": (8, 24, 3),
      "keypoints_image": (8, 17, 3),
      "visibility": (8, 24),
      "intrinsics": (3, 3),
    }.items():
      assert clip[name].shape == shape
      assert clip[name].dtype == np.float32
      assert np.isfinite(clip[name]).all()
    assert clip["valid"].all()
    np.testing.assert_array_equal(clip["frame_index"], np.arange(8))


def test_labels_agree_with_the_body_layer(train_clips):
  model, forward = smpl.load(), jax.jit(smpl.forward)
  for clip in train_clips:
    betas = np.tile(clip["betas"], (8, 1))
    vertices, joints = forward(model, clip["pose"], betas, clip["transl"])
    np.testing.assert_allclose(joints, clip["joints_camera"], atol=1e-4)
    keypoints = np.einsum("kv,tvc->tkc", model.keypoint_regressor, vertices)
    projected = keypoints @ clip["intrinsics"].T
    pixels = projected[..., :2] / projected[..., 2:]
    np.testing.assert_allclose(pixels, clip["keypoints_image"][..., :2], atol=0.02)


def test_the_first_flow_is_zero_and_dis_agrees_with_the_others(train_clips):
  estimate = DisFlow("medium")
  on_person, on_background = [], []
  for clip in train_clips:
    assert not flow_images.decode_png(clip["flow"][0]).any()
    frames = [np.ascontiguousarray(_image(f)[..., ::-1]) for f in clip["frames"]]
    for t in range(1, SPEC.frames):
      exact = flow_images.decode_png(clip["flow"][t])
      error = np.linalg.norm(estimate(frames[t - 1], frames[t]) - exact, axis=-1)
      grey = cv2.cvtColor(frames[t - 1], cv2.COLOR_RGB2GRAY).astype(np.float32)
      textured = np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1)) > 60
      mask = _image(clip["mask"][t - 1]) > 0
      inner = cv2.erode(mask.astype(np.uint8), np.ones((7, 7))) > 0
      outer = cv2.dilate(mask.astype(np.uint8), np.ones((15, 15))) == 0
      on_person.append(error[inner & textured])
      on_background.append(error[outer & textured])
  assert np.median(np.concatenate(on_background)) < 0.25
  assert np.median(np.concatenate(on_person)) < 0.6


def test_the_flow_carries_the_mask_along(train_clips):
  for clip in train_clips:
    for t in range(1, SPEC.frames):
      before, mask = _image(clip["mask"][t - 1]) > 0, _image(clip["mask"][t])
      # Points on the outline may end up a pixel beside the mask.
      mask = cv2.dilate(mask, np.ones((3, 3))) > 0
      flow = flow_images.decode_png(clip["flow"][t])
      row, column = np.nonzero(before)
      x, y = (np.stack([column, row]) + 0.5 + flow[row, column].T).astype(int)
      inside = (x >= 0) & (x < 128) & (y >= 0) & (y < 128)
      if inside.sum() > 50:
        assert mask[y[inside], x[inside]].mean() > 0.98


def test_a_clip_depends_on_seed_split_and_index_alone(maker, train_clips):
  fresh, _ = clips.ClipMaker(SPEC).make("train", 2)
  for name, value in train_clips[2].items():
    np.testing.assert_array_equal(fresh[name], value)
  others = [
    maker.make("test", 2)[0],
    clips.ClipMaker(clips.ClipSpec(seed=4, frames=8, size=128)).make("train", 2)[0],
    train_clips[1],
  ]
  for other in others:
    assert not np.allclose(other["betas"], train_clips[2]["betas"])
    assert not np.allclose(other["pose"][:, 1:], train_clips[2]["pose"][:, 1:])
    assert other["frames"][0] != train_clips[2]["frames"][0]


def test_a_clip_is_small_enough_to_store_thousands(maker):
  spec = clips.ClipSpec(seed=0, frames=16, size=128)
  whole = clips.ClipMaker(spec)
  sizes = [
    sum(
      len(f) for n in ("frames", "flow", "mask") for f in whole.make("train", i)[0][n]
    )
    for i in range(4)
  ]
  assert np.mean(sizes) / spec.frames < 600_000 / 32


def test_textures_are_worn_and_torn_ones_named(tmp_path):
  for i in range(6):
    cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((80, 80, 3), [0, 0, 255], np.uint8))
    (tmp_path / f"torn{i}.jpg").write_bytes(b"no picture")
  spec = clips.ClipSpec(
    seed=0, frames=2, size=64, textures=str(tmp_path), variant="alone"
  )
  maker, red, skipped = clips.ClipMaker(spec), [], []
  for i in range(4):
    clip, unread = maker.make("train", i)
    skipped += unread
    blue, green, worn = _image(clip["frames"][0])[_image(clip["mask"][0]) > 0].T
    red.append((worn.astype(int) > 2 * np.maximum(blue, green)).mean())
  assert min(red) > 0.3
  assert skipped
  assert {folder for folder, _ in skipped} == {str(tmp_path)}
  assert all(name.startswith("torn") for _, name in skipped)


def test_a_video_behind_marks_the_backgrounds_flow_unknown(tmp_path):
  for name in ("a.mp4", "b.mp4"):
    writer = cv2.VideoWriter(
      str(tmp_path / name), cv2.VideoWriter.fourcc(*"mp4v"), 30, (96, 64)
    )
    for i in range(12):
      writer.write(np.full((64, 96, 3), 20 * i, np.uint8))
    writer.release()
  spec = clips.ClipSpec(
    seed=0, frames=4, size=64, backgrounds=str(tmp_path), variant="alone"
  )
  clip, skipped = clips.ClipMaker(spec).make("train", 0)
  assert skipped == ()
  valid = _image(clip["flow"][2])[..., 0]
  np.testing.assert_array_equal(valid * 255, _image(clip["mask"][1]))


def test_unreadable_backgrounds_are_counted_and_named_once(tmp_path, caplog):
  for i in range(8):
    cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((80, 80, 3), 30 * i, np.uint8))
    (tmp_path / f"torn{i}.jpg").write_bytes(b"no picture")
  spec = clips.ClipSpec(seed=0, frames=2, size=64, backgrounds=str(tmp_path))
  with concurrent.futures.ThreadPoolExecutor(1) as pool, caplog.at_level("WARNING"):
    made = list(clips.generate(pool, spec, "train", range(12), ahead=3))
  assert [index for index, _ in made] == list(range(12))
  assert [clip["sequence"] for _, clip in made][5] == "train_000005"
  (line,) = [r.getMessage() for r in caplog.records if "passed over" in r.getMessage()]
  assert str(tmp_path) in line
  named = line.rpartition(": ")[2].split(", ")
  assert line.startswith(f"{len(named)} files of")
  assert named == sorted(set(named))
  assert all(name.startswith("torn") for name in named)
