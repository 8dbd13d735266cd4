"""Sequences cut into chunks, each with its window."""

import numpy as np

from mhmr_jax.data import chunks
from mhmr_jax.geometry import windows
from tests.data.specs import FLOW_KP

_WHOLE = np.float32([0, 0, 64, 64])


def _keypoints(count):
  keypoints = np.random.default_rng(0).uniform(20, 50, (count, 17, 3))
  keypoints[..., 2] = 1
  return keypoints.astype(np.float32)


def _fallback():
  return _WHOLE


def test_every_frame_is_in_one_chunk_with_a_window_of_its_own_keypoints():
  keypoints = _keypoints(10)
  frames = np.arange(3, 23, 2)
  cut = list(chunks.cut(frames, keypoints, FLOW_KP, _fallback, segment=5))
  np.testing.assert_array_equal(np.concatenate([c.frames for c in cut]), frames)
  np.testing.assert_array_equal(np.concatenate([c.keypoints for c in cut]), keypoints)
  assert [len(chunk.frames) for chunk in cut] == [4, 4, 2]
  assert [chunk.segment for chunk in cut] == [5, 5, 5]
  for chunk in cut:
    expected = windows.clip_window(chunk.keypoints, 1.25)
    np.testing.assert_array_equal(chunk.box, expected)


def test_chunks_without_keypoints_have_the_window_of_their_boxes_or_the_fallback():
  keypoints = _keypoints(8)
  keypoints[4:] = 0
  (_, empty) = chunks.cut(np.arange(8), keypoints, FLOW_KP, _fallback)
  np.testing.assert_array_equal(empty.box, _WHOLE)
  boxes = np.zeros((8, 4), np.float32)
  boxes[6] = [10, 20, 30, 60]
  (_, boxed) = chunks.cut(np.arange(8), keypoints, FLOW_KP, _fallback, boxes=boxes)
  np.testing.assert_array_equal(boxed.box, [-5, 15, 45, 65])


def test_flow_goes_on_within_a_segment_and_starts_anew_with_the_next():
  images = np.random.default_rng(1).integers(0, 255, (13, 64, 64), np.uint8)
  keypoints = _keypoints(13)
  cut = [
    *chunks.cut(np.arange(6), keypoints[:6], FLOW_KP, _fallback),
    *chunks.cut(np.arange(90, 97), keypoints[6:], FLOW_KP, _fallback, segment=1),
  ]
  batches = list(chunks.make_inputs(cut, images, FLOW_KP, None))
  assert [bool(batch["flow"][0].any()) for batch in batches] == [0, 1, 0, 1]
  assert [int(batch["valid"].sum()) for batch in batches] == [4, 2, 4, 3]
  for batch in batches:
    assert batch["flow"].shape == (4, 32, 32, 2)
    assert not batch["flow"][~batch["valid"]].any()
    assert not batch["keypoints"][~batch["valid"]].any()
