"""The features of keypoints as coordinates: their crop, its seams, what they see."""

import jax
import numpy as np
import pytest

from mhmr_jax.geometry import pinhole, windows
from mhmr_jax.models import coordinates

FRAMES, SIZE = 12, 64
_WINDOW = np.float32([0.05, -0.1, 0.4])


@jax.jit
def _encode(keypoints, window, state):
  """Features, crops and the next state of crop pixels."""
  points = coordinates.in_camera(keypoints, window, SIZE)
  crop, after = coordinates.follow(points, state, window)
  return coordinates.features(points, crop, state), crop, after


def _in_crop(points, window):
  """Crop pixels of points in the camera; missing ones are zeros."""
  pixels = ((points[..., :2] - window[:2]) / window[2] + 1) * (SIZE / 2)
  score = points[..., 2:]
  return np.concatenate([pixels * (score > 0), score], -1).astype(np.float32)


def _run(points, window=_WINDOW, state=None):
  state = coordinates.initial_state(1) if state is None else state
  keypoints = _in_crop(points, window)[None]
  encoded = _encode(keypoints, np.float32(window)[None], state)
  features, crop, after = jax.device_get(encoded)
  return features[0], crop, after


@pytest.fixture
def points():
  """Somebody who walks through the image; some points and one frame are missing."""
  rng = np.random.default_rng(0)
  body = rng.uniform([-0.1, -0.25], [0.1, 0.25], (17, 2))
  path = np.linspace([-0.2, 0.0], [0.3, 0.05], FRAMES)[:, None]
  place = body + path + rng.normal(0, 0.01, (FRAMES, 17, 2))
  score = rng.uniform(0.2, 1, (FRAMES, 17, 1)) * (rng.random((FRAMES, 17, 1)) > 0.1)
  score[7] = 0
  return np.concatenate([place * (score > 0), score], axis=-1).astype(np.float32)


def test_points_are_in_focal_lengths_off_the_principal_point():
  rng = np.random.default_rng(1)
  keypoints = rng.uniform(10, 300, (3, 17, 3)).astype(np.float32)
  intrinsics = np.array([[400, 0, 170], [0, 400, 110], [0, 0, 1]], np.float32)
  box = np.float32([30, -20, 250, 200])
  cropped = windows.crop_keypoints(keypoints, box, SIZE)
  window = pinhole.window_in_camera(box, intrinsics)
  points = jax.jit(coordinates.in_camera, static_argnums=2)(
    cropped[None], window[None], SIZE
  )[0]
  expected = (keypoints[..., :2] - intrinsics[:2, 2]) / 400
  np.testing.assert_allclose(points[..., :2], expected, atol=1e-5)
  np.testing.assert_array_equal(points[..., 2], keypoints[..., 2])


def test_the_crop_is_the_exponential_mean_of_the_boxes(points):
  _, crop, _ = _run(points)
  weight, centre, half = 0.0, np.zeros(2), 0.0
  for frame in range(FRAMES):
    weight, centre, half = 0.8 * weight, 0.8 * centre, 0.8 * half
    found = points[frame][points[frame, :, 2] > 0][:, :2]
    if len(found) >= 4:
      low, high = found.min(axis=0), found.max(axis=0)
      weight, centre = weight + 1, centre + (low + high) / 2
      half = half + (high - low).max() / 2
    np.testing.assert_allclose(crop.centre[0, frame], centre / weight, atol=1e-5)
    np.testing.assert_allclose(crop.size[0, frame], half / weight, atol=1e-5)


def test_features_are_places_velocities_and_scores_in_the_crop(points):
  features, crop, _ = _run(points)
  assert features.shape == (FRAMES, 91)
  by_point = features[:, :85].reshape(FRAMES, 17, 5)
  centre, size = np.asarray(crop.centre)[0], np.asarray(crop.size)[0]
  known = points[..., 2] > 0
  place = (points[..., :2] - centre[:, None]) / size[:, None, None]
  np.testing.assert_allclose(by_point[..., :2][known], place[known], atol=1e-4)
  np.testing.assert_allclose(by_point[..., 4], points[..., 2], atol=1e-6)
  assert not by_point[~known].any()
  both = known[1:] & known[:-1]
  step = (points[1:, :, :2] - points[:-1, :, :2]) / size[1:, None, None]
  velocity = by_point[1:, :, 2:4]
  expected = 5 * np.clip(step, -0.5, 0.5)
  np.testing.assert_allclose(velocity[both], expected[both], atol=2e-3)
  assert not velocity[~both].any()
  assert not by_point[0, :, 2:4].any()
  moved = 5 * np.diff(centre, axis=0) / size[1:, None]
  np.testing.assert_allclose(features[1:, 85:87], moved, atol=1e-3)
  zoomed = 10 * np.diff(np.log(size))
  np.testing.assert_allclose(features[1:, 87], zoomed, atol=1e-3)
  np.testing.assert_allclose(features[:, 88:90], 2 * centre, atol=1e-5)
  np.testing.assert_allclose(features[:, 90], np.log(size / 0.2), atol=1e-5)


def _in_chunks(points, lengths, chunk_windows):
  state, parts, start = None, [], 0
  for length, window in zip(lengths, chunk_windows, strict=True):
    part, _, state = _run(points[start : start + length], window, state)
    parts.append(part)
    start += length
  return np.concatenate(parts), state


_CHUNKS = (4, 4, 4)
_WINDOWS = (_WINDOW, np.float32([0.3, 0.1, 0.7]), np.float32([0.0, 0.0, 0.3]))


def test_chunks_in_windows_of_their_own_have_no_seam(points):
  whole, _, last = _run(points)
  parts, state = _in_chunks(points, _CHUNKS, _WINDOWS)
  np.testing.assert_allclose(parts, whole, atol=1e-4)
  # Where a missing point would be has no meaning.
  state, last = (s._replace(points=s.points * s.points[..., 2:]) for s in (state, last))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), state, last)


def test_the_same_window_in_chunks_is_the_long_run(points):
  whole, _, _ = _run(points)
  parts, _ = _in_chunks(points, _CHUNKS, [_WINDOW] * 3)
  np.testing.assert_allclose(parts, whole, atol=1e-5)


@pytest.mark.parametrize("first", [1, 4, 6, 8])
def test_people_who_come_late_are_seen_alike_in_chunks(points, first):
  """The first frame with points may be a chunk's first or another."""
  points[:first] = 0
  whole, crop, _ = _run(points)
  np.testing.assert_array_equal(crop.begun[0], np.arange(FRAMES) >= first)
  np.testing.assert_allclose(crop.centre[0, :first], [_WINDOW[:2]] * first, atol=1e-6)
  np.testing.assert_allclose(crop.size[0, :first], _WINDOW[2], atol=1e-6)
  assert not whole[:first, :88].any()
  same, _ = _in_chunks(points, _CHUNKS, [_WINDOW] * 3)
  np.testing.assert_allclose(same, whole, atol=1e-5)
  others, _ = _in_chunks(points, _CHUNKS, _WINDOWS)
  np.testing.assert_allclose(others[first:], whole[first:], atol=1e-4)


@pytest.mark.parametrize("window", [(0.2, 0.1, 0.4), (0.05, -0.1, 0.9)])
def test_the_place_of_the_batchs_window_does_not_matter(points, window):
  np.testing.assert_allclose(_run(points, window)[0], _run(points)[0], atol=2e-4)


def test_the_place_in_the_camera_does():
  still = np.ones((4, 17, 3), np.float32)
  still[..., :2] = np.random.default_rng(2).uniform(-0.2, 0.2, (17, 2))
  aside = still + np.float32([0.5, 0.0, 0.0])
  here, there = _run(still)[0], _run(aside)[0]
  np.testing.assert_allclose(there[:, :88], here[:, :88], atol=1e-4)
  np.testing.assert_allclose(there[:, 88] - here[:, 88], 1.0, atol=1e-5)
  # Twice as large in the image, and otherwise the same.
  larger = still * np.float32([2, 2, 1])
  np.testing.assert_allclose(_run(larger)[0][:, :88], here[:, :88], atol=1e-4)


def test_later_frames_change_nothing_before(points):
  whole = _run(points)[0]
  for frame in (1, 5, 9):
    changed = points.copy()
    changed[frame:, :, :2] += 0.3
    changed[frame:, :, 2] = 0.5
    again = _run(changed)[0]
    np.testing.assert_array_equal(again[:frame], whole[:frame])
    assert np.abs(again[frame:] - whole[frame:]).max() > 0.1


def test_a_few_points_do_not_move_the_crop(points):
  points[6:, :14] = 0
  points[6:, 14:] = [2.0, 2.0, 1.0]
  _, crop, _ = _run(points)
  np.testing.assert_allclose(crop.centre[0, 6:], [crop.centre[0, 5]] * 6, atol=1e-5)


def test_nothing_at_all_is_finite():
  features, crop, _ = _run(np.zeros((FRAMES, 17, 3), np.float32))
  assert np.isfinite(features).all()
  assert not crop.begun.any()


def test_the_encoder_treats_every_frame_by_itself():
  module = coordinates.PointEncoder(8)
  x = jax.random.normal(jax.random.key(0), (2, 3, 91))
  encoded, variables = jax.jit(module.init_with_output)(jax.random.key(1), x)
  assert encoded.shape == (2, 3, 8)
  encoded = np.asarray(encoded)
  turned = np.asarray(jax.jit(module.apply)(variables, np.asarray(x)[:, ::-1]))
  np.testing.assert_allclose(turned[:, ::-1], encoded, atol=1e-5)
  np.testing.assert_allclose(encoded.mean(axis=-1), 0, atol=1e-5)
