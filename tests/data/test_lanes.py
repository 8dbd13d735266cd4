"""Whole sequences side by side: every frame once, for any number of lanes and hosts."""

import numpy as np
import pytest

from mhmr_jax.data import lanes
from mhmr_jax.data.sources import ClipSource
from tests import tiny
from tests.data.clips import LENGTH, AskedFrames, make_clip, make_source


@pytest.fixture
def config(tmp_path):
  return tiny.config(
    tmp_path, data__size=32, model__inputs=("rgb", "flow", "keypoints")
  )


def test_evaluation_covers_every_frame_of_every_sequence_once(config):
  lengths = [10, 4, 7]
  source = make_source(lengths)
  frames = {index: [] for index in range(3)}
  for group in lanes.evaluation_groups(source, config, lanes=2):
    for chunk in group:
      assert chunk.batch["flow"].shape == (2, 4, 32, 32, 2)
      for lane, clip in enumerate(chunk.clips):
        valid = chunk.batch["valid"][lane]
        if clip < 0:
          assert not valid.any()
          continue
        depths = chunk.batch["joints_camera"][lane, valid, 0, 2] - 4
        frames[int(clip)].extend(depths.round().astype(int).tolist())
        assert depths.size == 0 or round(float(depths[0])) == chunk.start
  assert frames == {index: list(range(n)) for index, n in enumerate(lengths)}


def test_evaluation_does_not_depend_on_lanes_or_shards(config):
  source = make_source([LENGTH] * 4)

  def keypoints(count, shard, shards):
    groups = lanes.evaluation_groups(source, config, count, shard, shards)
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
  ((first, second, _),) = lanes.evaluation_groups(source, config, lanes=1)
  assert not first.batch["flow"][0, 0].any()
  assert second.batch["flow"][0, 0].any()


def test_evaluation_reads_frames_chunk_after_chunk(config):
  clip = make_clip(0, 23)
  clip["frames"] = AskedFrames(clip["frames"])
  source = ClipSource("made", [clip], "/made")
  (group,) = lanes.evaluation_groups(source, config, lanes=2)
  for number, chunk in enumerate(group):
    assert chunk.start == 4 * number
    assert max(clip["frames"].asked) == min(4 * number + 3, 22)
  assert number == 5
  # None is decoded twice: flow goes on from the chunk before.
  assert sorted(clip["frames"].asked) == [0, *range(23)]
