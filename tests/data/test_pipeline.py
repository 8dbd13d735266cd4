"""The Grain graph over hand-made clips: order, shards, workers, resume, bad records."""

import cv2
import numpy as np
import pytest

from mhmr_jax.data import pipeline, sources
from mhmr_jax.data.sources import ClipSource
from mhmr_jax.errors import InputError
from mhmr_jax.files import flow_images
from mhmr_jax.runtime.sharding import HostRows
from mhmr_jax.schema import Clip
from tests import tiny

LENGTH = 10


def make_clip(index: int, length: int = LENGTH) -> Clip:
  """A clip whose betas name it, and whose transl and depth count its frames."""
  rng = np.random.default_rng(index)
  count = np.arange(length, dtype=np.float32)
  frames = rng.integers(0, 255, (length, 64, 64, 3), dtype=np.uint8)
  joints_camera = rng.normal(0, 0.3, (length, 24, 3)).astype(np.float32)
  joints_camera[..., 2] = 4 + count[:, None]
  keypoints = rng.uniform(15, 50, (length, 17, 3)).astype(np.float32)
  keypoints[..., 2] = 1
  flow = rng.integers(-64, 64, (64, 64, 2)).astype(np.float32) / 64
  return Clip(
    frames=[cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames],
    pose=rng.normal(0, 0.3, (length, 24, 3)).astype(np.float32),
    betas=np.full(10, index, np.float32),
    joints_camera=joints_camera,
    keypoints_image=keypoints,
    visibility=np.ones((length, 24), np.float32),
    intrinsics=np.array([[90, 0, 32], [0, 90, 32], [0, 0, 1]], np.float32),
    flow=[flow_images.encode_png(flow) for _ in range(length)],
    valid=np.ones(length, bool),
    fps=30.0,
    sequence=f"clip{index}",
    frame_index=np.arange(length),
  )


def make_source(lengths: list[int]) -> ClipSource:
  clips = [make_clip(index, length) for index, length in enumerate(lengths)]
  return ClipSource("made", clips, "/made")


def take(config, source, count, host=None, state=None, target=None):
  iterator = pipeline.training_iterator(source, config, host, target)
  if state is not None:
    iterator.set_state(state)
  batches = [next(iterator) for _ in range(count)]
  state = iterator.get_state()
  iterator.close()
  return batches, state


def by_host(config, source, count, rows):
  """What each of several hosts loads, each told which rows are its own."""
  hosts = [HostRows(i, len(rows), np.array(own)) for i, own in enumerate(rows)]
  return [take(config, source, count, host)[0] for host in hosts]


def assert_same(left, right):
  assert left.keys() == right.keys()
  for key in left:
    np.testing.assert_array_equal(left[key], right[key], err_msg=key)


@pytest.fixture
def config(tmp_path):
  return tiny.config(
    tmp_path, data__size=32, model__inputs=("rgb", "flow", "keypoints")
  )


def test_batch_has_the_schemas_shapes(config):
  (batch,), _ = take(config, make_source([LENGTH] * 5), 1)
  shapes = {key: value.shape for key, value in batch.items()}
  assert shapes == {
    "rgb": (4, 4, 32, 32, 3),
    "flow": (4, 4, 32, 32, 2),
    "keypoints": (4, 4, 17, 3),
    "pose": (4, 4, 24, 3),
    "betas": (4, 10),
    "joints_camera": (4, 4, 24, 3),
    "joints_crop": (4, 4, 24, 2),
    "visibility": (4, 4, 24),
    "valid": (4, 4),
  }
  assert batch["rgb"].dtype == np.uint8
  assert not batch["flow"][:, 0].any()
  assert batch["flow"][:, 1:].any()


def test_every_clip_comes_once_an_epoch_in_an_order_of_its_own(config):
  batches, _ = take(config, make_source([LENGTH] * 8), 4)
  first = [int(b[0]) for batch in batches[:2] for b in batch["betas"]]
  second = [int(b[0]) for batch in batches[2:] for b in batch["betas"]]
  assert sorted(first) == sorted(second) == list(range(8))
  assert first != second


def test_window_is_of_neighbouring_frames(config):
  (batch,), _ = take(config, make_source([LENGTH] * 4), 1)
  depths = batch["joints_camera"][:, :, 0, 2]
  np.testing.assert_allclose(np.diff(depths, axis=1), 1)
  assert len(np.unique(depths[:, 0])) > 1


def test_resume_is_exact_for_another_number_of_workers(config):
  source = make_source([LENGTH] * 5)
  straight, _ = take(config, source, 5)
  _, state = take(config, source, 2)
  assert state == {pipeline.POSITION: 8}
  config.data.workers = 2
  resumed, _ = take(config, source, 3, state=state)
  for left, right in zip(straight[2:], resumed, strict=True):
    assert_same(left, right)


@pytest.mark.parametrize("rows", [([0, 1], [2, 3]), ([0, 3], [1, 2]), ([2, 3], [0, 1])])
def test_hosts_load_the_rows_that_their_devices_hold(config, rows):
  source = make_source([LENGTH] * 7)
  whole, _ = take(config, source, 3)
  parts = by_host(config, source, 3, rows)
  for step, batch in enumerate(whole):
    for key, value in batch.items():
      for own, part in zip(rows, parts, strict=True):
        np.testing.assert_array_equal(part[step][key], value[own], err_msg=key)


def test_exact_flow_follows_the_crop(config):
  config.flow.source = "exact"
  config.data.jitter_scale = config.data.jitter_shift = 0.0
  clip = make_clip(0)
  clip["flow"] = [flow_images.encode_png(np.full((64, 64, 2), 3, np.float32))] * LENGTH
  spec = pipeline.InputSpec.from_config(config)
  box = np.array([16, 16, 48, 48], np.float32)
  batch = pipeline.clip_example(clip, clip["keypoints_image"], box, slice(2, 6), spec)
  np.testing.assert_allclose(batch["flow"], 3, atol=0.02)
  wide = np.array([0, 0, 64, 64], np.float32)
  batch = pipeline.clip_example(clip, clip["keypoints_image"], wide, slice(2, 6), spec)
  np.testing.assert_allclose(batch["flow"], 1.5, atol=0.02)


def test_evaluation_covers_every_frame_of_every_sequence_once(config):
  lengths = [10, 4, 7]
  source = make_source(lengths)
  seen = {index: [] for index in range(3)}
  for group in pipeline.evaluation_groups(source, config, lanes=2):
    for chunk in group:
      assert chunk.batch["flow"].shape == (2, 4, 32, 32, 2)
      for lane, clip in enumerate(chunk.clips):
        valid = chunk.batch["valid"][lane]
        if clip < 0:
          assert not valid.any()
          continue
        depths = chunk.batch["joints_camera"][lane, valid, 0, 2] - 4
        seen[int(clip)].extend(depths.round().astype(int).tolist())
        assert depths.size == 0 or round(float(depths[0])) == chunk.start
  assert seen == {index: list(range(n)) for index, n in enumerate(lengths)}


def test_evaluation_does_not_depend_on_lanes_or_shards(config):
  source = make_source([LENGTH] * 4)

  def keypoints(lanes, shard, shards):
    groups = pipeline.evaluation_groups(source, config, lanes, shard, shards)
    return {
      (int(clip), chunk.start): chunk.batch["keypoints"][lane]
      for group in groups
      for chunk in group
      for lane, clip in enumerate(chunk.clips)
      if clip >= 0
    }

  one = keypoints(1, 0, 1)
  three = keypoints(3, 0, 1)
  split = keypoints(2, 0, 2) | keypoints(2, 1, 2)
  assert one.keys() == three.keys() == split.keys()
  for key in one:
    np.testing.assert_array_equal(one[key], three[key])
    np.testing.assert_array_equal(one[key], split[key])


def test_flow_goes_on_from_the_chunk_before(config):
  source = make_source([LENGTH])
  ((first, second, _),) = pipeline.evaluation_groups(source, config, lanes=1)
  assert not first.batch["flow"][0, 0].any()
  assert second.batch["flow"][0, 0].any()


@pytest.mark.parametrize(
  ("damage", "words"),
  [
    (lambda clip: clip.update(frames=[]), "no frames"),
    (lambda clip: clip.update(pose=clip["pose"][:3]), "pose has 3 rows for 10"),
    (lambda clip: clip["joints_camera"].fill(np.nan), "joints_camera is not finite"),
    (lambda clip: clip.pop("frames"), "frames"),
  ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_damaged_records_are_named(config, damage, words, workers):
  clips = [make_clip(index) for index in range(4)]
  damage(clips[2])
  config.data.workers = workers
  with pytest.raises(InputError, match="Clip 2 of /made") as caught:
    take(config, ClipSource("made", clips, "/made"), 1)
  assert words in str(caught.value)


def test_short_clips_and_damaged_frames_are_named(config):
  with pytest.raises(InputError, match=r"clip1 has 3 frames.*data\.window = 4"):
    take(config, make_source([LENGTH, 3, LENGTH, LENGTH]), 1)
  clips = [make_clip(index) for index in range(4)]
  for data in (b"nonsense", b""):
    clips[1]["frames"] = [data] * LENGTH
    with pytest.raises(InputError, match="not a JPEG"):
      take(config, ClipSource("made", clips, "/made"), 1)


def test_unknown_flow_source_is_refused(config):
  config.flow.source = "magic"
  with pytest.raises(InputError, match=r"config\.flow\.source is 'magic'"):
    pipeline.InputSpec.from_config(config)


def make_mixture(shares=(0.25, 0.75)):
  """Two sources whose clips differ in the fields that they have."""
  first, second = make_source([LENGTH] * 3), make_source([LENGTH] * 5)
  clips = [second[index] for index in range(5)]
  for clip in clips:
    clip["betas"] = clip["betas"] + 100
    del clip["visibility"], clip["intrinsics"], clip["flow"]
    clip["camera_image"] = np.full((LENGTH, 3), 20, np.float32)
  return sources.Mixture([first, ClipSource("other", clips, "/other")], list(shares))


def test_mixtures_keep_their_shares_and_their_orders(config):
  batches, _ = take(config, make_mixture(), 15)
  names = np.concatenate([batch["betas"][:, 0] for batch in batches]).astype(int)
  other = names >= 100
  assert other.sum() == 45
  # In every batch too, and each source comes once an epoch.
  assert [int((b["betas"][:, 0] >= 100).sum()) for b in batches] == [3] * 15
  assert sorted(names[~other][:3]) == [0, 1, 2]
  assert sorted(names[other][:5]) == [100, 101, 102, 103, 104]
  assert batches[0]["visibility"].shape == (4, 4, 24)


def test_mixtures_resume_exactly_and_on_other_hosts(config):
  straight, _ = take(config, make_mixture(), 4)
  _, state = take(config, make_mixture(), 2)
  config.data.workers = 1
  resumed, _ = take(config, make_mixture(), 2, state=state)
  for left, right in zip(straight[2:], resumed, strict=True):
    assert_same(left, right)
  config.data.workers = 0
  halves = by_host(config, make_mixture(), 4, ([0, 1], [2, 3]))
  for step, batch in enumerate(straight):
    for key, value in batch.items():
      joined = np.concatenate([half[step][key] for half in halves])
      np.testing.assert_array_equal(joined, value, err_msg=key)


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
  spec = pipeline.InputSpec.from_config(config)
  rng = np.random.default_rng(0)
  assert (spec.noisy_keypoints(clip, rng) != clip["keypoints_image"]).any()
  clip["keypoints_detected"] = True
  assert spec.noisy_keypoints(clip, rng) is clip["keypoints_image"]
  clip["keypoints_image"][:] = 0
  clip["box"] = np.tile(np.float32([20, 22, 40, 62]), (LENGTH, 1))
  source = ClipSource("made", [clip], "/made")
  ((chunk, *_),) = pipeline.evaluation_groups(source, config, lanes=1)
  np.testing.assert_allclose(chunk.boxes[0], [5, 17, 55, 67])


class CountedFrames(list):
  """Frames that count which of them were asked for."""

  def __init__(self, frames):
    super().__init__(frames)
    self.seen = 0

  def __getitem__(self, key):
    found = super().__getitem__(key)
    if isinstance(key, slice):
      self.seen = max(self.seen, *range(*key.indices(len(self))), 0)
    return found


def test_evaluation_reads_frames_chunk_after_chunk(config):
  clip = make_clip(0, 23)
  clip["frames"] = CountedFrames(clip["frames"])
  source = ClipSource("made", [clip], "/made")
  (group,) = pipeline.evaluation_groups(source, config, lanes=2)
  for number, chunk in enumerate(group):
    assert chunk.start == 4 * number
    assert clip["frames"].seen == min(4 * number + 3, 22)
  assert number == 5
