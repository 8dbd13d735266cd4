"""Which frames of a video the network is given, in which windows and state."""

import dataclasses

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mhmr_jax.data import transforms
from mhmr_jax.errors import InputError
from mhmr_jax.geometry import pinhole, windows
from mhmr_jax.inference import streaming
from mhmr_jax.keypoints.tracking import Track
from mhmr_jax.models.motion_hmr import Carry
from tests import tiny
from tests.data.specs import FLOW_KP

_SIZE = (96, 64)
_INTRINSICS = pinhole.centred_intrinsics(*_SIZE)


def _track(frames):
  rng = np.random.default_rng(0)
  points = rng.uniform([20, 10], [40, 50], (17, 2))
  keypoints = np.ones((len(frames), 17, 3), np.float32)
  keypoints[..., :2] = points + np.asarray(frames)[:, None, None] * 0.5
  return Track(np.asarray(frames), keypoints)


def _times(fps, frames=100):
  return np.arange(frames) / fps


def _video(count):
  rng = np.random.default_rng(1)
  texture = rng.integers(0, 255, (64 // 4, 160 // 4, 3)).repeat(4, 0).repeat(4, 1)
  return [texture[:, t : t + 96].astype(np.uint8) for t in range(count)]


def test_the_network_is_given_the_flow_of_a_thirtieth_of_a_second(
  monkeypatch, tmp_path
):
  batches = []

  def record(variables, batch, carry, *, model):
    batches.append(batch)
    return {}, carry

  monkeypatch.setattr(streaming, "run_alone", record)
  config = tiny.config(tmp_path)
  step, carry = streaming.make_step(config, {})
  flow = np.broadcast_to(np.float16([5, 7, 0, 9])[:, None, None, None], (1, 4, 8, 8, 2))
  # The third sample repeats the second one's picture.
  seconds = np.array([[1 / 24, 1 / 30, 0, 1 / 60]])
  valid = np.ones((1, 4), bool)
  step({"flow": flow, "flow_seconds": seconds, "valid": valid}, carry)
  (batch,) = batches
  np.testing.assert_allclose(batch["flow"][0, :, 0, 0, 0], [4, 7, 7, 18], rtol=1e-3)
  assert batch["flow"].dtype == np.float16
  assert sorted(batch) == ["flow", "valid"]


def test_plan_covers_segments_in_windows_of_their_own_keypoints():
  track = _track([*range(2, 12), *range(14, 20), *range(60, 63)])
  chunks = streaming.plan(track, _times(30.0), FLOW_KP, _SIZE)
  frames = [chunk.frames.tolist() for chunk in chunks]
  assert frames == [
    [2, 3, 4, 5], [6, 7, 8, 9], [10, 11, 12, 13], [14, 15, 16, 17], [18, 19],
    [60, 61, 62],
  ]  # fmt: skip
  assert [chunk.segment for chunk in chunks] == [0, 0, 0, 0, 0, 1]
  np.testing.assert_allclose(chunks[2].keypoints[:2], track.keypoints[8:10], atol=0.01)
  # Frames 12 and 13 have no detection, and are filled from 11 and 14.
  np.testing.assert_allclose(
    chunks[2].keypoints[2:, :, :2] - track.keypoints[9, :, :2],
    np.broadcast_to(np.array([[[0.5]], [[1.0]]]), (2, 17, 2)),
    atol=0.01,
  )
  for chunk, first in zip(chunks, (2, 6, 10, 14, 18, 60), strict=True):
    expected = (first + np.arange(len(chunk.frames))) / 30
    np.testing.assert_allclose(chunk.timing.times, expected)
  for chunk in chunks:
    expected = windows.clip_window(chunk.keypoints, 1.25)
    np.testing.assert_array_equal(chunk.box, expected)


def test_plan_skips_frames_of_fast_video_and_keeps_the_window_where_nobody_is_seen():
  track = _track(range(0, 41))
  chunks = streaming.plan(track, _times(120.0), FLOW_KP, _SIZE)
  assert [chunk.frames.tolist() for chunk in chunks] == [
    [0, 4, 8, 12], [16, 20, 24, 28], [32, 36, 40],
  ]  # fmt: skip
  track.keypoints[16:32] = 0
  chunks = streaming.plan(track, _times(120.0), FLOW_KP, _SIZE)
  np.testing.assert_array_equal(chunks[1].box, chunks[0].box)
  assert np.any(chunks[2].box != chunks[0].box)


def test_plan_without_keypoints_sees_the_whole_image():
  track = Track(np.arange(5), np.zeros((5, 17, 3), np.float32))
  chunks = streaming.plan(track, _times(30.0), FLOW_KP, _SIZE)
  for chunk in chunks:
    np.testing.assert_array_equal(chunk.box, [0, -16, 96, 80])


def test_flow_is_between_the_chosen_frames_in_the_new_window():
  video = _video(21)
  chunks = streaming.plan(_track(range(21)), _times(60.0), FLOW_KP, _SIZE)
  batches = list(streaming.make_batches(chunks, iter(video), FLOW_KP, _INTRINSICS))
  assert [chunk.frames.tolist() for chunk in chunks] == [
    [0, 2, 4, 6], [8, 10, 12, 14], [16, 18, 20],
  ]  # fmt: skip
  assert np.all(batches[0]["flow"][0, 0] == 0)
  box = chunks[1].box
  before, after = (windows.crop_image(video[t], box, 32) for t in (6, 8))
  expected = transforms.dis_flow([after], before, "fast")[0]
  np.testing.assert_allclose(batches[1]["flow"][0, 0], expected, atol=0.05)
  # The image moves left by two pixels between chosen frames, in crop pixels:
  scale = 32 / (box[2] - box[0])
  np.testing.assert_allclose(
    np.median(batches[1]["flow"][0, 0], (0, 1)), [-2 * scale, 0], atol=0.15
  )


def _panning(speed, times):
  """A texture that moves left by so many pixels a second, at these times."""
  rng = np.random.default_rng(1)
  texture = rng.integers(0, 255, (16, 75, 3)).astype(np.uint8)
  texture = cv2.resize(texture, (300, 64), interpolation=cv2.INTER_CUBIC)
  for seconds in times:
    matrix = np.array([[1, 0, -speed * seconds], [0, 1, 0.0]])
    yield cv2.warpAffine(texture, matrix, (96, 64))


@pytest.mark.parametrize(
  "times",
  [
    np.arange(20) / 24,
    np.arange(20) / 25,
    np.arange(40) / 50,
    np.arange(10) / 12,
    np.cumsum(np.tile([1 / 24, 1 / 60, 1 / 15], 8)),
  ],
  ids=["24", "25", "50", "12", "vfr"],
)
def test_flow_of_any_rate_is_that_of_a_thirtieth_of_a_second(
  monkeypatch, tmp_path, times
):
  batches = []

  def record(variables, batch, carry, *, model):
    batches.append(batch)
    return {}, carry

  monkeypatch.setattr(streaming, "run_alone", record)
  track = _track(range(len(times)))
  track.keypoints[..., :2] = _track([0]).keypoints[..., :2]  # One window for all.
  chunks = streaming.plan(track, times, FLOW_KP, _SIZE)
  step, carry = streaming.make_step(tiny.config(tmp_path), {})
  video = _panning(45.0, times)
  for batch in streaming.make_batches(chunks, video, FLOW_KP, _INTRINSICS):
    step(batch, carry)
  flow = np.concatenate([batch["flow"][0] for batch in batches]).astype(np.float64)
  valid = np.concatenate([batch["valid"][0] for batch in batches])
  box = chunks[0].box
  moved = np.median(flow[..., 0], axis=(1, 2))[valid] * (box[2] - box[0]) / 32
  frames = np.concatenate([chunk.frames for chunk in chunks])
  np.testing.assert_allclose(moved[frames == 0], 0)  # There is nothing before.
  np.testing.assert_allclose(moved[frames > 0], -1.5, atol=0.1)
  assert len(moved) == round((times[-1] - times[0]) * 30 + 0.5 - 1e-6)


def test_last_chunk_is_padded_and_marked():
  chunks = streaming.plan(_track(range(6)), _times(30.0), FLOW_KP, _SIZE)
  batch = list(streaming.make_batches(chunks, iter(_video(6)), FLOW_KP, _INTRINSICS))[1]
  assert batch["flow"].shape == (1, 4, 32, 32, 2)
  assert batch["keypoints"].shape == (1, 4, 17, 3)
  assert batch["valid"].tolist() == [[True, True, False, False]]


def test_a_network_of_keypoints_alone_needs_no_frames():
  spec = dataclasses.replace(FLOW_KP, inputs=("keypoints",))
  chunks = streaming.plan(_track(range(6)), _times(30.0), spec, _SIZE)
  batches = list(streaming.make_batches(chunks, None, spec, _INTRINSICS))
  assert [sorted(batch) for batch in batches] == [["keypoints", "valid"]] * 2


def test_video_that_ends_early():
  chunks = streaming.plan(_track(range(6)), _times(30.0), FLOW_KP, _SIZE)
  with pytest.raises(InputError, match="The video ended early"):
    list(streaming.make_batches(chunks, iter(_video(5)), FLOW_KP, _INTRINSICS))


def test_the_state_is_carried_through_a_segment_and_no_further():
  spec = dataclasses.replace(FLOW_KP, inputs=("keypoints",))
  track = _track([*range(6), *range(40, 50)])
  chunks = streaming.plan(track, _times(30.0), spec, _SIZE)
  batches = list(streaming.make_batches(chunks, None, spec, _INTRINSICS))

  @jax.jit
  def count(batch, carry):
    """Predicts how many frames there have been, and carries that."""
    total = carry.memory[0] + jnp.cumsum(batch["valid"], axis=1)
    prediction = {
      "rotations": jnp.tile(total[..., None, None, None], (1, 1, 24, 3, 3)),
      "betas": jnp.tile(total[..., None], (1, 1, 10)),
      "camera": jnp.tile(total[..., None], (1, 1, 3)),
    }
    return prediction, Carry((total[:, -1:], carry.memory[1]), None)

  nothing = np.zeros((1, 1), np.float32)
  parts = streaming.run(chunks, batches, count, Carry((nothing, nothing), None))
  outputs = streaming.join(parts, chunks)
  np.testing.assert_allclose(outputs.times, track.frame_index / 30)
  np.testing.assert_array_equal(outputs.segment, [0] * 6 + [1] * 10)
  np.testing.assert_array_equal(outputs.camera[:, 0], [*range(1, 7), *range(1, 11)])
  np.testing.assert_array_equal(outputs.box[[0, 5]], [chunks[0].box, chunks[1].box])
  assert outputs.rotations.shape == (16, 24, 3, 3)
  assert outputs.betas.shape == (16, 10)
  # This network predicts neither gravity nor standing feet.
  np.testing.assert_array_equal(outputs.gravity, np.tile([0, 1, 0], (16, 1)))
  assert not outputs.standing.any()


def test_gravity_and_standing_feet_are_the_network_s():
  spec = dataclasses.replace(FLOW_KP, inputs=("keypoints",))
  chunks = streaming.plan(_track(range(6)), _times(30.0), spec, _SIZE)
  batches = list(streaming.make_batches(chunks, None, spec, _INTRINSICS))
  down = np.float32([0.0, 0.8, 0.6])

  @jax.jit
  def predict(batch, carry):
    prediction = {
      "rotations": jnp.zeros((1, 4, 24, 3, 3)),
      "betas": jnp.zeros((1, 4, 10)),
      "camera": jnp.zeros((1, 4, 3)),
      "gravity": jnp.broadcast_to(down, (1, 4, 3)),
      "standing_logits": jnp.broadcast_to(jnp.array([0.0, np.log(3)]), (1, 4, 2)),
    }
    return prediction, carry

  outputs = streaming.join(streaming.run(chunks, batches, predict, None), chunks)
  np.testing.assert_allclose(outputs.gravity, np.tile(down, (6, 1)))
  np.testing.assert_allclose(outputs.standing, np.tile([0.5, 0.75], (6, 1)), rtol=1e-6)
