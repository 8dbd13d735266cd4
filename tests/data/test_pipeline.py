"""The Grain graph over hand-made clips: order, shards, workers, resume, bad records."""

import numpy as np
import pytest

from mhmr_jax.data import pipeline, sources
from mhmr_jax.data.sources import ClipSource
from mhmr_jax.errors import InputError
from mhmr_jax.runtime.sharding import HostRows
from tests import tiny
from tests.data.clips import LENGTH, assert_same, make_clip, make_source, take


def by_host(config, source, count, rows):
  """What each of several hosts loads, each told which rows are its own."""
  hosts = [HostRows(i, len(rows), np.array(own)) for i, own in enumerate(rows)]
  return [take(config, source, count, host)[0] for host in hosts]


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
    "window": (4, 3),
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


@pytest.mark.parametrize(
  ("damage", "words", "workers"),
  [
    (lambda clip: clip.update(frames=[]), "no frames", 0),
    (lambda clip: clip.update(pose=clip["pose"][:3]), "pose has 3 rows for 10", 0),
    (lambda clip: clip["joints_camera"].fill(np.nan), "joints_camera is not finite", 0),
    (lambda clip: clip.pop("frames"), "frames", 0),
    # A worker process hands on what it meets.
    (lambda clip: clip.update(pose=clip["pose"][:3]), "pose has 3 rows for 10", 1),
  ],
)
def test_damaged_records_are_named(config, damage, words, workers):
  clips = [make_clip(index) for index in range(4)]
  damage(clips[2])
  config.data.workers = workers
  with pytest.raises(InputError, match="Clip 2 of /made") as caught:
    take(config, ClipSource("made", clips, "/made"), 1)
  assert words in str(caught.value)


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
  resumed, _ = take(config, make_mixture(), 2, state=state)
  for left, right in zip(straight[2:], resumed, strict=True):
    assert_same(left, right)
  halves = by_host(config, make_mixture(), 4, ([0, 1], [2, 3]))
  for step, batch in enumerate(straight):
    for key, value in batch.items():
      joined = np.concatenate([half[step][key] for half in halves])
      np.testing.assert_array_equal(joined, value, err_msg=key)


@pytest.mark.parametrize("seed", [0, 3])
def test_generated_examples_are_consecutive_numbers_of_their_seed(config, seed):
  batches, _ = take(config, sources.Generated(seed), 3)
  first = seed * pipeline._SEED_STRIDE % 2**32
  expected = (first + np.arange(12)) % 2**32
  numbers = np.concatenate([batch["number"] for batch in batches])
  assert numbers.dtype == np.uint32
  np.testing.assert_array_equal(numbers, expected)
  assert all(batch.keys() == {"number"} for batch in batches)


def test_generated_examples_resume_exactly_and_on_other_hosts(config):
  source = sources.Generated(1)
  straight, _ = take(config, source, 5)
  _, state = take(config, source, 2)
  assert state == {pipeline.POSITION: 8}
  resumed, _ = take(config, source, 3, state=state)
  for left, right in zip(straight[2:], resumed, strict=True):
    assert_same(left, right)
  rows = ([0, 3], [1, 2])
  for own, part in zip(rows, by_host(config, source, 5, rows), strict=True):
    for whole, batch in zip(straight, part, strict=True):
      np.testing.assert_array_equal(batch["number"], whole["number"][own])
