"""Copies of a video at other rates and in other formats, and how they are compared."""

import cv2
import numpy as np
import pytest

from mhmr_jax.body import smpl
from mhmr_jax.errors import InputError
from mhmr_jax.files import video, video_writer
from tests import motions
from tests.benchmarks import frame_rates
from tests.files import videos

_COUNT = 40
_COPIES = frame_rates.copies(_COUNT)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
  path = tmp_path_factory.mktemp("source") / "source.mkv"
  return videos.write(path, "ffv1", frames=_COUNT, pixels="yuv444p")


@pytest.mark.parametrize("name", _COPIES)
def test_a_copy_shows_its_frames_at_their_times(source, tmp_path, name):
  copy = _COPIES[name]
  path = tmp_path / f"copy.{copy.suffix}"
  frame_rates.write(path, source, copy)
  info = video.probe(path)
  assert info[:2] == ((63, 47) if name == "odd" else (64, 48))
  np.testing.assert_allclose(
    info.times, copy.frames / 120 * float(copy.slowed), atol=1.2e-3
  )
  rates = {"24": 24, "59.94": 60000 / 1001, "120": 120}
  if name != "vfr":
    assert info.fps == pytest.approx(rates.get(name, 30), rel=1e-3)
  frames = list(video.read_frames(path))
  assert len(frames) == len(copy.frames)
  for number, frame in zip(copy.frames, frames, strict=True):
    np.testing.assert_allclose(frame[-8:, -8:], videos.level(number), atol=12)
    assert frame[2:8, 2:8, 0].mean() > frame[2:8, 2:8, 1:].mean() + 100  # Red.


def test_a_source_has_the_video_s_own_frames_and_moved_ones_between(tmp_path):
  texture = np.random.default_rng(0).integers(0, 255, (12, 30, 3), np.uint8)
  texture = cv2.resize(texture, (240, 96), interpolation=cv2.INTER_CUBIC)
  own = [np.ascontiguousarray(texture[:, 4 * t : 4 * t + 128]) for t in range(4)]
  original, source = tmp_path / "original.mp4", tmp_path / "source.mkv"
  with video_writer.writing(original, 60.0, np.arange(4) / 60) as writer:
    for picture in own:
      writer.write(picture)
  frame_rates.bring_to_rate(source, original)
  info = video.probe(source)
  assert info.num_frames == 7
  np.testing.assert_allclose(info.times, np.arange(7) / 120, atol=1e-3)
  frames = list(video.read_frames(source))
  for made, shown in zip(frames[::2], video.read_frames(original), strict=True):
    np.testing.assert_array_equal(made, shown)
  expected = texture[:, 6 : 6 + 128].astype(int)
  away = np.abs(frames[3][16:-16, 16:-16] - expected[16:-16, 16:-16]).mean()
  still = np.abs(frames[2][16:-16, 16:-16] - expected[16:-16, 16:-16]).mean()
  assert away < 0.4 * still


def test_a_rate_that_does_not_divide_120_is_refused(source, tmp_path):
  with pytest.raises(InputError, match="give a video with 24, 30, 60 or 120"):
    frame_rates.bring_to_rate(tmp_path / "source.mkv", source)


def test_a_motion_is_compared_at_the_same_moments():
  body = smpl.load()
  reference = motions.walking(body, frames=40, fps=30.0)
  found = frame_rates.compare(reference, 1.0, reference)
  np.testing.assert_allclose(found, 0, atol=1e-6)
  shifted = reference._replace(
    joints_camera=reference.joints_camera + np.float32([0, 0, 1]),
    joints_world=reference.joints_world + np.float32([0, 0.02, 0]),
  )
  found = frame_rates.compare(shifted, 1.0, reference)
  np.testing.assert_allclose(found, [0, 20, 0], atol=1e-2)
  slow = reference._replace(times=reference.times * 2)
  np.testing.assert_allclose(frame_rates.compare(slow, 2.0, reference), 0, atol=1e-6)
  # Twice as long, but not said to be: 40 frames more, of half the rate.
  assert frame_rates.compare(slow, 1.0, reference).frames == pytest.approx(20)
