"""Videos as files hand them over: turned, damaged, with a wrong length."""

import math
import struct

import numpy as np
import pytest

from mhmr_jax.errors import InputError
from mhmr_jax.files import video, video_writer


def _write(path, frames=8, width=64, height=48, fps=25.0):
  with video_writer.writing(path, fps) as writer:
    for i in range(frames):
      frame = np.full((height, width, 3), 20 * i, np.uint8)
      frame[: height // 4, : width // 4] = [255, 0, 0]
      writer.write(frame)
  return path


def _turn(path, degrees):
  """Writes a rotation into the track header, as phones do."""
  data = bytearray(path.read_bytes())
  matrix = data.index(b"tkhd") + 4 + 40
  cos, sin = (round(f(math.radians(degrees))) for f in (math.cos, math.sin))
  data[matrix : matrix + 36] = struct.pack(
    ">9i", cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30
  )
  path.write_bytes(data)


def test_frames_are_rgb_in_order(tmp_path):
  path = _write(tmp_path / "video.mp4")
  assert video.probe(path) == (64, 48, 25.0, 8)
  frames = list(video.read_frames(path))
  assert len(frames) == 8
  for i, frame in enumerate(frames):
    assert frame.dtype == np.uint8
    np.testing.assert_allclose(frame[-8:, -8:], 20 * i, atol=8)
    np.testing.assert_allclose(frame[:8, :8].mean((0, 1)), [255, 0, 0], atol=25)


@pytest.mark.parametrize(("degrees", "corner"), [(90, (0, -1)), (270, (-1, 0))])
def test_portrait_frames_are_upright(tmp_path, degrees, corner):
  path = _write(tmp_path / "video.mp4")
  _turn(path, degrees)
  assert video.probe(path)[:2] == (48, 64)
  frame = next(video.read_frames(path))
  assert frame.shape == (64, 48, 3)
  pixel = frame[corner[0] * 4 if corner[0] else 4, corner[1] * 4 if corner[1] else 4]
  np.testing.assert_allclose(pixel, [255, 0, 0], atol=25)


def test_length_is_counted_not_believed(tmp_path):
  path = _write(tmp_path / "video.mp4")
  data = bytearray(path.read_bytes())
  # Half the samples are overwritten by what no decoder takes for a frame.
  start = data.index(b"mdat") + 4
  end = data.index(b"moov") - 4
  data[(start + end) // 2 : end] = bytes(end - (start + end) // 2)
  path.write_bytes(data)
  info = video.probe(path)
  assert 0 < info.num_frames < 8
  assert len(list(video.read_frames(path))) == info.num_frames


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100])
def test_unreadable_file(tmp_path, content, capfd):
  path = tmp_path / "video.mp4"
  path.write_bytes(content)
  with pytest.raises(InputError, match="is not a video that OpenCV can read"):
    video.probe(path)
  with pytest.raises(InputError, match="is not a video"):
    next(video.read_frames(path))
  assert not capfd.readouterr().err


def test_missing_file(tmp_path):
  with pytest.raises(InputError, match=r"There is no video .*absent"):
    video.probe(tmp_path / "absent.mp4")


def test_frame_rate_that_cannot_be(tmp_path, monkeypatch):
  path = _write(tmp_path / "video.mp4")
  monkeypatch.setattr(video.cv2, "CAP_PROP_FPS", video.cv2.CAP_PROP_POS_MSEC)
  assert video.probe(path).fps == 30.0


def test_real_video(shared_data):
  info = video.probe(shared_data / "video" / "runner.mp4")
  assert info == (1920, 1088, 30.0, 180)


def test_frame_times_are_the_files_own_or_even(tmp_path, monkeypatch):
  path = _write(tmp_path / "video.mp4", frames=7, fps=24.0)
  np.testing.assert_allclose(video.frame_times(path), np.arange(7) / 24, atol=1e-6)
  # Some containers give no times.
  monkeypatch.setattr(video.cv2, "CAP_PROP_POS_MSEC", video.cv2.CAP_PROP_FOURCC)
  np.testing.assert_allclose(video.frame_times(path), np.arange(7) / 24, atol=1e-6)
  (tmp_path / "no.mp4").write_bytes(b"\0" * 300)
  with pytest.raises(InputError, match="not a video"):
    video.frame_times(tmp_path / "no.mp4")
