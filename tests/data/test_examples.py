"""Examples of stored clips: which frames are read, and what becomes of them."""

import numpy as np
import pytest

from mhmr_jax.body.joints import COCO_FLIP
from mhmr_jax.data import examples, lanes, transforms
from mhmr_jax.data.chunks import Chunk
from mhmr_jax.data.examples import TrainingExample
from mhmr_jax.data.input_spec import InputSpec
from mhmr_jax.data.sources import ClipSource
from mhmr_jax.errors import InputError
from mhmr_jax.files import flow_images, jpeg
from mhmr_jax.geometry import windows
from mhmr_jax.inference import streaming
from mhmr_jax.keypoints import smooth_paths
from mhmr_jax.keypoints.tracking import Track
from tests import tiny
from tests.data.clips import (
  LENGTH,
  AskedFrames,
  as_found,
  make_clip,
  make_source,
  take,
)


@pytest.fixture
def config(tmp_path):
  return tiny.config(
    tmp_path, data__size=32, model__inputs=("rgb", "flow", "keypoints")
  )


def _training_example(config, clip, seed):
  spec = InputSpec.from_config(config)
  example = TrainingExample(spec, config.data.jitter_scale, config.data.jitter_shift)
  return example.random_map(clip, np.random.default_rng(seed))


def _chunk(clip, box, start, stop):
  frames = np.arange(start, stop)
  return Chunk(frames, clip["keypoints_image"][start:stop], np.float32(box))


@pytest.mark.parametrize(
  "overrides",
  [
    {},
    {"flow__source": "exact"},
    {"flow__source": "flownets"},
    {"model__inputs": ("keypoints",)},
  ],
)
def test_training_reads_no_frame_outside_its_window(tmp_path, overrides):
  config = tiny.config(tmp_path, **overrides)
  starts = set()
  for seed in range(8):
    clip = make_clip(0)
    clip["frames"] = AskedFrames(clip["frames"])
    clip["flow"] = AskedFrames(clip["flow"])
    example = _training_example(config, clip, seed)
    start = int(example["joints_camera"][0, 0, 2].round()) - 4
    assert set(clip["frames"].asked) <= set(range(start, start + 4))
    # The first flow is zero: it is not read from the clip.
    stored = list(range(start + 1, start + 4))
    exact = config.flow.source == "exact"
    assert clip["flow"].asked == (stored if exact else [])
    starts.add(start)
  assert len(starts) > 2


@pytest.mark.parametrize("seed", range(4))
def test_training_flow_is_zero_first_and_then_between_the_windows_crops(config, seed):
  example = _training_example(config, make_clip(0), seed)
  assert not example["flow"][0].any()
  mirrored = transforms.flip(example, 32)
  # Flow is estimated before the example is mirrored, if it is.
  whole = [
    transforms.dis_flow(list(view["rgb"]), None, config.flow.preset).astype(np.float16)
    for view in (example, mirrored)
  ]
  as_it_is = np.array_equal(example["flow"], whole[0])
  assert as_it_is or np.array_equal(mirrored["flow"], whole[1])
  assert example["flow"][1:].any()


@pytest.mark.parametrize("seed", range(4))
def test_training_gives_a_flow_network_the_first_frame_twice(tmp_path, seed):
  config = tiny.config(tmp_path, flow__source="flownets")
  example = _training_example(config, make_clip(0), seed)
  np.testing.assert_array_equal(example["rgb_before"], example["rgb"][0])


def test_flow_that_goes_on_starts_at_the_frame_before(config):
  clip, spec = make_clip(0), InputSpec.from_config(config)
  chunk = _chunk(clip, [8, 8, 56, 56], 3, 7)
  example = examples.clip_example(clip, chunk, spec, continues=True)
  before, first = (
    windows.crop_image(jpeg.decode(clip["frames"][t], colour=True), chunk.box, 32)
    for t in (2, 3)
  )
  expected = transforms.dis_flow([first], before, spec.flow_preset)[0]
  np.testing.assert_array_equal(example["flow"][0], expected.astype(np.float16))
  cut = examples.clip_example(clip, chunk, spec, continues=False)
  assert not cut["flow"][0].any()
  np.testing.assert_array_equal(cut["flow"][1:], example["flow"][1:])


def test_exact_flow_follows_the_crop(config):
  config.flow.source = "exact"
  config.data.jitter_scale = config.data.jitter_shift = 0.0
  clip = make_clip(0)
  clip["flow"] = [flow_images.encode_png(np.full((64, 64, 2), 3, np.float32))] * LENGTH
  spec = InputSpec.from_config(config)
  chunk = _chunk(clip, [16, 16, 48, 48], 2, 6)
  batch = examples.clip_example(clip, chunk, spec, continues=True)
  np.testing.assert_allclose(batch["flow"], 3, atol=0.02)
  chunk = _chunk(clip, [0, 0, 64, 64], 2, 6)
  batch = examples.clip_example(clip, chunk, spec, continues=True)
  np.testing.assert_allclose(batch["flow"], 1.5, atol=0.02)


@pytest.mark.parametrize("source", ["dis", "exact", "flownets"])
def test_flow_is_the_displacement_in_a_thirtieth_of_a_second(config, source):
  config.flow.source = source
  spec = InputSpec.from_config(config)
  clip, slower = make_clip(0), make_clip(0)
  slower["fps"] = 25.0
  made = {}
  for name, one in (("clip", clip), ("slower", slower)):
    chunk = _chunk(one, [8, 8, 56, 56], 2, 6)
    training = examples.clip_example(one, chunk, spec, continues=True)
    chunks = examples.clip_chunks(one, spec, np.random.default_rng(0))
    made[name] = [training, *(batch for _, batch in chunks)]
  for ours, theirs in zip(made["slower"], made["clip"], strict=True):
    if source == "flownets":
      assert (ours["flow_scale"], theirs["flow_scale"]) == (np.float32(25 / 30), 1)
    else:
      expected = np.float32(theirs["flow"]) * 25 / 30
      np.testing.assert_allclose(ours["flow"], expected, rtol=2e-3, atol=1e-3)
      assert ours["flow"].dtype == np.float16
      assert ours["flow"].any()
    np.testing.assert_array_equal(ours["keypoints"], theirs["keypoints"])


def test_short_clips_and_damaged_frames_are_named(config):
  with pytest.raises(InputError, match=r"clip1 has 3 frames.*data\.window = 4"):
    take(config, make_source([LENGTH, 3, LENGTH, LENGTH]), 1)
  clips = [make_clip(index) for index in range(4)]
  for data in (b"nonsense", b""):
    clips[1]["frames"] = [data] * LENGTH
    with pytest.raises(InputError, match="not a JPEG"):
      take(config, ClipSource("made", clips, "/made"), 1)


def test_windows_hold_a_valid_frame_where_there_is_one(config):
  clips = [make_clip(0, 40), make_clip(1, 40)]
  clips[0]["valid"][:] = False
  clips[0]["valid"][20] = True
  clips[1]["valid"][:] = False
  batches, _ = take(config, ClipSource("made", clips, "/made"), 10)
  for batch in batches:
    found = batch["betas"][:, 0] == 0
    assert batch["valid"][found].any(1).all()
    assert not batch["valid"][~found].any()


def test_detections_get_no_noise_and_boxes_stand_in_for_them(config):
  clip = make_clip(0)
  spec = InputSpec.from_config(config)
  rng = np.random.default_rng(0)
  assert (examples.noisy_keypoints(clip, spec, rng) != clip["keypoints_image"]).any()
  clip["keypoints_detected"] = True
  assert examples.noisy_keypoints(clip, spec, rng) is clip["keypoints_image"]
  clip["keypoints_image"][:] = 0
  clip["box"] = np.tile(np.float32([20, 22, 40, 62]), (LENGTH, 1))
  source = ClipSource("made", [clip], "/made")
  ((chunk, *_),) = lanes.evaluation_groups(source, config, lanes=1)
  np.testing.assert_allclose(chunk.boxes[0], [5, 17, 55, 67])


def _coordinates_config(tmp_path):
  return tiny.config(
    tmp_path, "kp", keypoints__form="coordinates", keypoints__noise=False
  )


def test_a_stored_clips_window_is_the_one_that_streaming_gives(tmp_path, monkeypatch):
  monkeypatch.setattr(smooth_paths, "positions", as_found)
  monkeypatch.setattr(smooth_paths, "positions", as_found)
  config, source = _coordinates_config(tmp_path), make_source([LENGTH])
  spec, clip = InputSpec.from_config(config), source[0]
  (group,) = lanes.evaluation_groups(source, config, 1)
  stored = [chunk.batch for chunk in group]
  track = Track(np.arange(LENGTH), clip["keypoints_image"])
  cut = streaming.plan(track, np.arange(len(track.frame_index)) / 30, spec, (64, 64))
  streamed = list(streaming.make_batches(cut, None, spec, clip["intrinsics"]))
  assert len(stored) == len(streamed) == 3
  for left, right in zip(stored, streamed, strict=True):
    assert right.keys() == {"keypoints", "window", "valid"}
    for key, value in right.items():
      np.testing.assert_array_equal(left[key], value, err_msg=key)
  assert np.ptp([batch["window"][0, 0] for batch in stored]) > 0


def test_points_in_the_camera_do_not_depend_on_the_random_window(tmp_path):
  """Jitter moves the window and the crop's pixels alike; a flip mirrors the points."""
  config, clip = _coordinates_config(tmp_path), make_clip(0)
  camera = (clip["keypoints_image"][..., :2] - 32) / 90
  mirrored = camera[:, np.array(COCO_FLIP)] * [-1, 1]
  sides = set()
  for seed in range(8):
    example = _training_example(config, clip, seed)
    start = int(example["joints_camera"][0, 0, 2].round()) - 4
    crop = example["keypoints"][..., :2] / 16 - 1
    points = example["window"][:2] + example["window"][2] * crop
    own = slice(start, start + 4)
    flipped = np.abs(points - camera[own]).max() > 1e-3
    expected = (mirrored if flipped else camera)[own]
    np.testing.assert_allclose(points, expected, atol=1e-4)
    sides.add(flipped)
  assert sides == {True, False}


def test_a_camera_that_is_not_known_is_assumed(tmp_path):
  config, clip = _coordinates_config(tmp_path), make_clip(0)
  spec = InputSpec.from_config(config)
  del clip["intrinsics"]
  clip["camera_image"] = np.full((LENGTH, 3), 20, np.float32)
  chunk = _chunk(clip, [8, 8, 56, 56], 0, 4)
  window = examples.clip_example(clip, chunk, spec, continues=False)["window"]
  focal = np.hypot(64, 64)
  np.testing.assert_allclose(window, [0, 0, 24 / focal], atol=1e-6)
