"""Copies of a video at other rates and in other formats, and how they are compared."""

import numpy as np
import pytest

from mhmr_jax.body import smpl
from mhmr_jax.files import video
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
